//! `events`: lists published events from the data folder.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::exit::{Exit, fail};
use super::output::{Output, bar, json, note};
use crate::config::DataArgs;
use crate::event::{Event, EventId};
use crate::journal::entry::Position;
use crate::journal::{EventCursor, EventFilter, Reader};
use crate::normalize::{assemble_page, assemble_row};

const PAGE_ROWS: usize = 200;
const TAIL_POLL_INTERVAL: Duration = Duration::from_millis(300);

#[derive(Subcommand, Debug)]
pub(super) enum EventsCommand {
    /// List published events, oldest first
    List(ListEvents),
    /// Print events as they are published
    Tail(Tail),
    /// Print one event
    Show(ShowEvent),
    /// Print all published events as JSON lines
    Export(EventSelection),
}

#[derive(Args, Debug)]
pub(super) struct EventSelection {
    /// Events after this cursor
    #[arg(long, value_name = "CURSOR", default_value_t)]
    after: EventCursor,
    /// Events of this type; cartwire.order.* matches all types with this prefix
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Events of this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Events of this subject, for example order/17
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Events of deliveries received at or after this time
    #[arg(long, value_name = "INSTANT", value_parser = super::choose::instant)]
    since: Option<Timestamp>,
    /// Events of deliveries received before this time
    #[arg(long, value_name = "INSTANT", value_parser = super::choose::instant)]
    until: Option<Timestamp>,
}

#[derive(Args, Debug)]
pub(super) struct ListEvents {
    #[command(flatten)]
    filter: EventSelection,
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// List the newest events, newest first
    #[arg(long, conflicts_with = "after")]
    newest: bool,
}

#[derive(Args, Debug)]
pub(super) struct Tail {
    #[command(flatten)]
    filter: EventSelection,
    /// Begin with the existing events
    #[arg(long)]
    from_start: bool,
}

#[derive(Args, Debug)]
pub(super) struct ShowEvent {
    /// Id of the event
    id: String,
}

impl EventSelection {
    fn filter(&self) -> EventFilter {
        EventFilter {
            event_type: self.event_type.clone(),
            connection: self.connection.clone(),
            subject: self.subject.clone(),
            since: self.since.map(Timestamp::as_millisecond),
            until: self.until.map(Timestamp::as_millisecond),
        }
    }
}

pub(super) fn run(data: &DataArgs, command: EventsCommand, output: Output) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    match command {
        EventsCommand::List(list) => {
            note_gap(&reader, &list.filter)?;
            let filter = list.filter.filter();
            if list.newest {
                newest(&reader, list.limit, &filter, output)?;
            } else {
                let printer = Printer::new(&reader, &filter, output);
                printer.page(list.filter.after.position, list.limit)?;
            }
        }
        EventsCommand::Tail(tail) => follow(&reader, &tail, output)?,
        EventsCommand::Show(show) => {
            let id = EventId::parse(&show.id)
                .ok_or_else(|| fail(Exit::Usage, format!("{:?} is not an event id", show.id)))?;
            let row = reader.event(id.delivery, id.index)?;
            let event = row.and_then(|row| assemble_row(&row));
            let event = event.ok_or_else(|| {
                fail(
                    Exit::No,
                    format!("event {id} does not exist or is not published"),
                )
            })?;
            json(&event)?;
        }
        EventsCommand::Export(selection) => export(&reader, &selection)?,
    }
    Ok(Exit::Success)
}

/// Prints events as they are published, until the command is stopped.
fn follow(reader: &Reader, tail: &Tail, output: Output) -> anyhow::Result<()> {
    note_gap(reader, &tail.filter)?;
    let mut after = tail.filter.after.position;
    if !tail.from_start && after == 0 {
        after = reader.log_bounds()?.1;
    }
    let filter = tail.filter.filter();
    let printer = Printer::new(reader, &filter, output);
    loop {
        after = printer.page(after, PAGE_ROWS)?;
        std::thread::sleep(TAIL_POLL_INTERVAL);
    }
}

/// Prints all stored events as JSON lines.
fn export(reader: &Reader, selection: &EventSelection) -> anyhow::Result<()> {
    note_gap(reader, selection)?;
    let (mut after, filter) = (selection.after.position, selection.filter());
    let (first, last) = reader.log_bounds()?;
    let progress = bar(
        last.saturating_sub(first.max(after)).unsigned_abs(),
        "exporting",
    );
    let printer = Printer::new(reader, &filter, Output { json: true });
    while after < last {
        let next = printer.page(after, PAGE_ROWS)?;
        if next == after {
            break;
        }
        after = next;
        progress.set_position(after.saturating_sub(first).unsigned_abs());
    }
    progress.finish_and_clear();
    Ok(())
}

/// Prints the newest events, newest first.
fn newest(
    reader: &Reader,
    limit: usize,
    filter: &EventFilter,
    output: Output,
) -> anyhow::Result<()> {
    let mut after = reader.cursor_of_newest(limit, filter)?;
    let mut events = Vec::new();
    // A page ends early if its payloads are large.
    while events.len() < limit {
        let page = reader.log(after, limit, filter)?;
        if page.rows.is_empty() {
            break;
        }
        after = page.next;
        events.extend(assemble_page(&page));
    }
    for (_, event) in events.iter().rev().take(limit) {
        output.row(event, || summary(event))?;
    }
    Ok(())
}

/// Prints a note on standard error if retention has removed events after the cursor.
fn note_gap(reader: &Reader, filter: &EventSelection) -> anyhow::Result<()> {
    let connection = filter.filter().connection;
    let gap = reader.log_gap(filter.after.known(), connection.as_deref())?;
    if let Some(gap) = gap
        && filter.after.position > 0
    {
        note(&format!(
            "retention removed events between the cursors {} and {}",
            filter.after.known(),
            gap.removed_through
        ));
    }
    Ok(())
}

/// Prints pages of the event log.
struct Printer<'a> {
    reader: &'a Reader,
    filter: &'a EventFilter,
    output: Output,
}

impl<'a> Printer<'a> {
    fn new(reader: &'a Reader, filter: &'a EventFilter, output: Output) -> Self {
        Self {
            reader,
            filter,
            output,
        }
    }

    /// Prints a page, and returns the cursor after it.
    fn page(&self, after: Position, limit: usize) -> anyhow::Result<Position> {
        let page = self.reader.log(after, limit, self.filter)?;
        super::data::note_damaged(self.reader);
        for (_, event) in assemble_page(&page) {
            self.output.row(&event, || summary(&event))?;
        }
        Ok(page.next)
    }
}

/// An event as one line of text.
pub(super) fn summary(event: &Event) -> String {
    let authority = event.normalized.authority.as_str();
    format!(
        "{:.0}  {:<38} {:<48} {:<20} {authority:<9} {}",
        event.time,
        event.event_type(),
        event.subject(),
        event.connection,
        event.id
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: EventSelection,
    }

    #[test]
    fn cursor_that_knows_of_a_loss_is_taken_and_other_text_is_refused() {
        let parse = |cursor: &str| Line::try_parse_from(["events", "--after", cursor]);
        for text in ["0", "17", "17~40"] {
            let line = parse(text).expect("a cursor");
            assert_eq!(line.filter.after.to_string(), text);
        }
        for text in ["-1", "1~", "newest"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let default = Line::try_parse_from(["events"]).expect("the default");
        assert_eq!(default.filter.after, EventCursor::default());
    }
}
