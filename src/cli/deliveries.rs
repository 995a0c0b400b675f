//! `deliveries`: lists, shows, redrives, acknowledges and exports received deliveries from the data folder.

use clap::{Args, Subcommand};
use serde_json::json;

use super::choose::{DeliverySelection, key};
use super::exit::{Exit, fail};
use super::output::{Output, bar, table};
use crate::config::DataArgs;
use crate::journal::entry::Position;
use crate::journal::{DataFile, DeliveryFilter, DeliverySummary, Progress, Reader};

#[derive(Subcommand, Debug)]
pub(super) enum DeliveriesCommand {
    /// List deliveries, newest first
    List(ListDeliveries),
    /// Show one delivery with its events
    Show(ShowDelivery),
    /// Publish settled deliveries again; their events keep their ids
    Redrive(Choice),
    /// Remove dead letters and unrouted deliveries from lists, counts and alerts; their state stays
    Acknowledge(Choice),
}

#[derive(Args, Debug)]
pub(super) struct ListDeliveries {
    #[command(flatten)]
    filter: DeliverySelection,
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Args, Debug)]
pub(super) struct ShowDelivery {
    /// Id of the delivery
    id: String,
    /// Show the body and the headers too; they may contain personal data
    #[arg(long)]
    body: bool,
}

#[derive(Args, Debug)]
pub(super) struct Choice {
    /// Ids of the deliveries
    ids: Vec<String>,
    #[command(flatten)]
    filter: DeliverySelection,
    /// All deliveries
    #[arg(long)]
    all: bool,
    /// Count the deliveries, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(
    data: &DataArgs,
    command: DeliveriesCommand,
    output: Output,
) -> anyhow::Result<Exit> {
    match command {
        DeliveriesCommand::List(list) => {
            let reader = super::data::open_data(data)?;
            let deliveries = list.filter.list(&reader, list.limit)?;
            super::data::note_damaged(&reader);
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
        DeliveriesCommand::Redrive(args) => change(data, &args, Deed::Redrive, output),
        DeliveriesCommand::Acknowledge(args) => change(data, &args, Deed::Acknowledge, output),
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

fn show(data: &DataArgs, args: &ShowDelivery, output: Output) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    let missing = || fail(Exit::No, format!("there is no delivery {}", args.id));
    let found = reader.delivery(key(&args.id)?)?;
    super::data::note_damaged(&reader);
    let (summary, entry) = found.ok_or_else(missing)?;
    let events: Vec<_> = reader
        .events_of(summary.position)?
        .into_iter()
        .map(|event| json!({"id": entry.event_id(event.index), "type": event.event_type, "subject": event.subject}))
        .collect();
    let mut value = json!({"delivery": summary, "events": events});
    // The stored headers may contain personal data too.
    if args.body {
        value["headers"] = json!(entry.delivery.headers);
        value["body"] = String::from_utf8_lossy(&entry.delivery.body).into();
    }
    output.value(&value, || {
        serde_json::to_string_pretty(&value).unwrap_or_default()
    })?;
    Ok(Exit::Success)
}

/// What to do with the chosen deliveries.
#[derive(Clone, Copy)]
enum Deed {
    Redrive,
    Acknowledge,
}

impl Deed {
    fn count(self, reader: &Reader, filter: &DeliveryFilter) -> anyhow::Result<u64> {
        Ok(match self {
            Deed::Redrive => reader.count_redrivable(filter)?,
            Deed::Acknowledge => reader.count_acknowledgeable(filter)?,
        })
    }

    fn step(
        self,
        file: &mut DataFile,
        filter: &DeliveryFilter,
        after: Position,
    ) -> anyhow::Result<Progress> {
        Ok(match self {
            Deed::Redrive => file.redrive(filter, after)?,
            Deed::Acknowledge => file.acknowledge(filter, after)?,
        })
    }

    /// The name as the JSON member, as the label of the progress bar, and as the participle in a sentence.
    fn word(self) -> (&'static str, &'static str) {
        match self {
            Deed::Redrive => ("redriven", "redriving"),
            Deed::Acknowledge => ("acknowledged", "acknowledging"),
        }
    }
}

fn change(data: &DataArgs, args: &Choice, deed: Deed, output: Output) -> anyhow::Result<Exit> {
    if args.ids.is_empty() && args.filter.is_empty() && !args.all {
        return Err(fail(
            Exit::Usage,
            "no deliveries are named: give ids, a filter, or --all",
        ));
    }
    let reader = super::data::open_data(data)?;
    let filters = args.filter.filters(&reader, &args.ids)?;
    let mut chosen = 0;
    for filter in &filters {
        chosen += deed.count(&reader, filter)?;
    }
    let (done, label) = deed.word();
    let mut changed = 0;
    if !args.dry_run && chosen > 0 {
        let mut file = DataFile::open(&data.data_dir)?;
        let progress = bar(chosen, label);
        for filter in &filters {
            let mut after = 0;
            loop {
                let step = deed.step(&mut file, filter, after)?;
                changed += step.changed;
                progress.inc(step.changed);
                match step.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        progress.finish_and_clear();
    }
    output.value(
        &json!({"chosen": chosen, done: changed, "dry_run": args.dry_run}),
        || match (args.dry_run, deed) {
            (true, _) => format!("{chosen} deliveries would be {done}"),
            (false, Deed::Redrive) => format!("{changed} deliveries are pending again"),
            (false, Deed::Acknowledge) => format!("{changed} deliveries are acknowledged"),
        },
    )?;
    Ok(if chosen == 0 { Exit::No } else { Exit::Success })
}
