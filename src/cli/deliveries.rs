//! `deliveries`: what was received and what became of it, read from the data folder; and redrive.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::exit::{Exit, fail};
use super::output::{Output, bar, table};
use crate::config::DataArgs;
use crate::delivery::{ConnectionId, DeliveryKey};
use crate::journal::entry::{Position, STATES, State};
use crate::journal::{DataFile, DeliveryFilter, DeliverySummary};

#[derive(Subcommand, Debug)]
pub(super) enum DeliveriesCommand {
    /// Deliveries, newest first
    List(List),
    /// One delivery with its events
    Show(Show),
    /// Publish settled deliveries once more: their events keep their ids
    Redrive(Redrive),
}

#[derive(Args, Debug)]
pub(super) struct Filter {
    /// Only in these states (pending, logged, published, unrouted, ignored, dead_lettered)
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<State>,
    /// Only of this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Only of this platform
    #[arg(long, value_name = "NAME")]
    platform: Option<String>,
    /// Only of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only with this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those that arrived at or after this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: Option<Timestamp>,
    /// Only those that arrived before this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<Timestamp>,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The delivery's id
    id: String,
    /// Show what was received, too; it may hold personal data
    #[arg(long)]
    body: bool,
}

#[derive(Args, Debug)]
pub(super) struct Redrive {
    /// Only these deliveries
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All settled deliveries
    #[arg(long)]
    all: bool,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
}

fn state(text: &str) -> Result<State, String> {
    let names: Vec<&str> = STATES.iter().map(|state| state.as_str()).collect();
    State::parse(text).ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "an instant such as 2026-11-21T00:00:00Z".to_owned())
}

fn key(text: &str) -> anyhow::Result<DeliveryKey> {
    DeliveryKey::parse(text).ok_or_else(|| {
        fail(
            Exit::Usage,
            format!("{text:?} is no delivery's id: those have 32 hexadecimal digits"),
        )
    })
}

impl Filter {
    fn filter(&self) -> anyhow::Result<DeliveryFilter> {
        let connection = self
            .connection
            .as_deref()
            .map(ConnectionId::new)
            .transpose();
        Ok(DeliveryFilter {
            key: None,
            states: self.state.clone(),
            connection: connection
                .map_err(|error| fail(Exit::Usage, format!("--connection: {error}")))?,
            platform: self.platform.clone(),
            topic: self.topic.clone(),
            reason: self.reason.clone(),
            since: self.since.map(Timestamp::as_millisecond),
            until: self.until.map(Timestamp::as_millisecond),
        })
    }

    fn is_empty(&self) -> bool {
        let words = [&self.connection, &self.platform, &self.topic, &self.reason];
        self.state.is_empty()
            && words.iter().all(|word| word.is_none())
            && self.since.is_none()
            && self.until.is_none()
    }
}

pub(super) fn run(
    data: &DataArgs,
    command: DeliveriesCommand,
    output: Output,
) -> anyhow::Result<Exit> {
    match command {
        DeliveriesCommand::List(list) => {
            let deliveries = super::open_data(data)?.deliveries(
                &list.filter.filter()?,
                Position::MAX,
                list.limit,
            )?;
            output.value(&json!({"deliveries": deliveries}), || {
                let rows: Vec<Vec<String>> = deliveries.iter().map(row).collect();
                table(
                    &[
                        "ID",
                        "RECEIVED",
                        "CONNECTION",
                        "TOPIC",
                        "STATE",
                        "REASON",
                        "AGAIN",
                    ],
                    &rows,
                )
            })?;
            Ok(Exit::Success)
        }
        DeliveriesCommand::Show(args) => show(data, &args, output),
        DeliveriesCommand::Redrive(args) => redrive(data, &args, output),
    }
}

fn row(delivery: &DeliverySummary) -> Vec<String> {
    vec![
        delivery.id.clone(),
        format!("{:.0}", delivery.received_at),
        delivery.connection.to_string(),
        delivery.topic.clone(),
        delivery.state.as_str().to_owned(),
        delivery.reason.clone().unwrap_or_else(|| "-".to_owned()),
        delivery.duplicates.to_string(),
    ]
}

fn show(data: &DataArgs, args: &Show, output: Output) -> anyhow::Result<Exit> {
    let reader = super::open_data(data)?;
    let missing = || fail(Exit::No, format!("there is no delivery {}", args.id));
    let (summary, entry) = reader.delivery(key(&args.id)?)?.ok_or_else(missing)?;
    let events: Vec<_> = reader
        .events_of(summary.position)?
        .into_iter()
        .map(|(index, event_type, subject)| json!({"id": entry.event_id(index), "type": event_type, "subject": subject}))
        .collect();
    let mut value = json!({"delivery": summary, "events": events});
    // What is kept of the headers may tell of people as well.
    if args.body {
        value["headers"] = json!(entry.delivery.headers);
        value["body"] = String::from_utf8_lossy(&entry.delivery.body).into();
    }
    output.value(&value, || {
        serde_json::to_string_pretty(&value).unwrap_or_default()
    })?;
    Ok(Exit::Success)
}

fn redrive(data: &DataArgs, args: &Redrive, output: Output) -> anyhow::Result<Exit> {
    if args.ids.is_empty() && args.filter.is_empty() && !args.all {
        return Err(fail(
            Exit::Usage,
            "which deliveries? Name ids, give a filter, or --all",
        ));
    }
    let mut filters = Vec::new();
    for id in &args.ids {
        filters.push(DeliveryFilter {
            key: Some(key(id)?),
            ..args.filter.filter()?
        });
    }
    if filters.is_empty() {
        filters.push(args.filter.filter()?);
    }
    let reader = super::open_data(data)?;
    let mut chosen = 0;
    for filter in &filters {
        chosen += reader.count_redrivable(filter)?;
    }
    let mut redriven = 0;
    if !args.dry_run && chosen > 0 {
        let mut file = DataFile::open(&data.data_dir)?;
        let progress = bar(chosen, "redriving");
        for filter in &filters {
            let mut after = 0;
            loop {
                let step = file.redrive(filter, after)?;
                redriven += step.reopened;
                progress.inc(step.reopened);
                match step.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        progress.finish_and_clear();
    }
    output.value(
        &json!({"chosen": chosen, "redriven": redriven, "dry_run": args.dry_run}),
        || {
            if args.dry_run {
                format!("{chosen} deliveries would be redriven")
            } else {
                format!("{redriven} deliveries are pending again")
            }
        },
    )?;
    Ok(if chosen == 0 { Exit::No } else { Exit::Success })
}
