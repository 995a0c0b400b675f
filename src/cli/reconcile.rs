//! `reconcile` and `gaps`: reads stores for changes that their webhooks did not report, and reports what was found.
//!
//! The running gateway reads the stores, so two reads of one store never overlap. The command writes its request into the
//! data file and waits for the report.

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};

use super::exit::{Exit, fail};
use super::output::{Output, bar, note, table};
use super::past_time::past_time;
use super::stores::{self, no_such};
use crate::config::DataArgs;
use crate::connections::Connection;
use crate::database;
use crate::journal::{DataFile, DayOfGaps, Reader};
use crate::reconcile::{EntityReport, ReconcileRequest, StoreReport};

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// AMQP's limit.
const MAX_EXCHANGE_NAME: usize = 255;
/// Days that `gaps` reports.
const DEFAULT_GAP_DAYS: i64 = 7;

#[derive(Args, Debug)]
pub(super) struct ReconcileArgs {
    /// Connections [default: all whose stores can be read]
    ids: Vec<String>,
    /// Changes since this time or age, for example 2026-11-21 or 7d [default: since the last read]
    #[arg(long, value_name = "TIME", value_parser = past_time)]
    since: Option<Timestamp>,
    /// Only this kind of entity, for example order
    #[arg(long, value_name = "ENTITY")]
    entity: Option<String>,
    /// Report what would be found, and publish nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
pub(super) struct BackfillArgs {
    /// Connection
    id: String,
    /// Begin of the past to publish, as a date, time or age, for example 2026-11-21 or 90d
    #[arg(long, value_name = "TIME", value_parser = past_time)]
    since: Timestamp,
    /// Only this kind of entity, for example order
    #[arg(long, value_name = "ENTITY")]
    entity: Option<String>,
    /// Publish to this exchange for a new consumer, also what is known already. Bind the consumer's queue first
    #[arg(long, value_name = "NAME", value_parser = exchange_name)]
    exchange: Option<String>,
}

/// The name of an exchange.
fn exchange_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_EXCHANGE_NAME {
        return Err(format!("a name of 1 to {MAX_EXCHANGE_NAME} bytes"));
    }
    Ok(text.to_owned())
}

#[derive(Args, Debug)]
pub(super) struct GapsArgs {
    /// Connection [default: all]
    id: Option<String>,
    /// Since this time or age, for example 2026-11-21 or 7d [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = past_time)]
    since: Option<Timestamp>,
}

pub(super) fn run(data: &DataArgs, args: ReconcileArgs, output: Output) -> anyhow::Result<Exit> {
    let request = ReconcileRequest {
        connections: args.ids,
        entity: args.entity,
        since: args.since,
        dry_run: args.dry_run,
        ..ReconcileRequest::default()
    };
    read(data, &request, output)
}

/// Publishes the past of a store. The running gateway does so, also after the command was aborted.
pub(super) fn backfill(
    data: &DataArgs,
    args: BackfillArgs,
    output: Output,
) -> anyhow::Result<Exit> {
    let request = ReconcileRequest {
        connections: vec![args.id],
        entity: args.entity,
        since: Some(args.since),
        dry_run: false,
        is_backfill: true,
        exchange: args.exchange,
        ..ReconcileRequest::default()
    };
    read(data, &request, output)
}

/// Lets the running gateway read stores, and prints its report.
fn read(data: &DataArgs, request: &ReconcileRequest, output: Output) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    for text in &request.connections {
        let id = stores::id(text)?;
        reader.connection(&id)?.ok_or_else(|| no_such(&id))?;
    }
    if !database::is_served(&data.data_dir) {
        let text =
            "no gateway serves this data folder: start `cartwire serve`, which reads the stores";
        return Err(fail(Exit::Unavailable, text.to_owned()));
    }
    let id = DataFile::open(&data.data_dir)?.request_reconcile(&serde_json::to_string(request)?)?;
    let (spinner, progress) = (ProgressBar::new_spinner(), bar(0, "rows"));
    spinner.set_message("reading stores");
    let reports = loop {
        if let Some(report) = reader.reconcile_report(id)? {
            break serde_json::from_str::<Vec<StoreReport>>(&report)?;
        }
        if !database::is_served(&data.data_dir) {
            let text = "the gateway ended before the stores were read; the read continues after its next start";
            return Err(fail(Exit::Unavailable, text.to_owned()));
        }
        let count = reader.row_count(id)?;
        if count.expected == 0 {
            spinner.tick();
        } else {
            spinner.finish_and_clear();
            progress.set_length(count.expected);
            progress.set_position(count.read);
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    spinner.finish_and_clear();
    progress.finish_and_clear();
    output.value(&serde_json::json!({"stores": reports}), || {
        if request.exchange.is_some() {
            published_table(&reports)
        } else {
            report_table(&reports)
        }
    })?;
    note_unrouted(&reports);
    let has_failed = |report: &StoreReport| {
        report.skipped.is_some()
            || report
                .entities
                .iter()
                .any(|entity| entity.failure.is_some())
    };
    let is_complete = !reports.iter().any(has_failed);
    Ok(if is_complete { Exit::Success } else { Exit::No })
}

fn report_table(reports: &[StoreReport]) -> String {
    let head = [
        "CONNECTION",
        "ENTITY",
        "READ",
        "MISSING",
        "LATE",
        "DELETED",
        "UNREADABLE",
        "RESULT",
    ];
    let mut rows = Vec::new();
    for report in reports {
        rows.extend(skipped_row(report, head.len()));
        let of_entity = |entity: &EntityReport| {
            vec![
                report.connection.clone(),
                entity.entity.clone(),
                entity.read.to_string(),
                entity.missing.count.to_string(),
                entity.late.count.to_string(),
                entity.deleted.count.to_string(),
                entity.unreadable.to_string(),
                result_of(entity),
            ]
        };
        rows.extend(report.entities.iter().map(of_entity));
    }
    if rows.is_empty() {
        return "no connection has a store that can be read, with credentials for its API"
            .to_owned();
    }
    table(&head, &rows)
}

/// The report of a backfill to an exchange of its own.
fn published_table(reports: &[StoreReport]) -> String {
    let head = [
        "CONNECTION",
        "ENTITY",
        "READ",
        "PUBLISHED",
        "UNROUTED",
        "UNREADABLE",
        "RESULT",
    ];
    let mut rows = Vec::new();
    for report in reports {
        rows.extend(skipped_row(report, head.len()));
        rows.extend(report.entities.iter().map(|entity| {
            let published = entity.published.unwrap_or_default();
            vec![
                report.connection.clone(),
                entity.entity.clone(),
                entity.read.to_string(),
                published.events.to_string(),
                published.unrouted.to_string(),
                entity.unreadable.to_string(),
                result_of(entity),
            ]
        }));
    }
    table(&head, &rows)
}

/// The row of a store that was not read.
fn skipped_row(report: &StoreReport, columns: usize) -> Option<Vec<String>> {
    let reason = report.skipped.as_ref()?;
    let mut row = vec![report.connection.clone()];
    row.resize(columns - 1, "-".to_owned());
    row.push(format!("not read: {reason}"));
    Some(row)
}

fn result_of(entity: &EntityReport) -> String {
    match &entity.failure {
        Some(reason) => format!("stopped: {reason}"),
        None => "complete".to_owned(),
    }
}

fn note_unrouted(reports: &[StoreReport]) {
    let entities = reports.iter().flat_map(|report| &report.entities);
    let unrouted: u64 = entities
        .filter_map(|entity| entity.published)
        .map(|published| published.unrouted)
        .sum();
    if unrouted > 0 {
        note(&format!(
            "{unrouted} events reached no queue: bind a queue to the exchange, then run the command again"
        ));
    }
}

/// Prints what webhooks reported on each day, and what was found by reading only.
pub(super) fn gaps(data: &DataArgs, args: &GapsArgs, output: Output) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    let default = SignedDuration::from_hours(24 * DEFAULT_GAP_DAYS);
    let since = args.since.unwrap_or_else(|| Timestamp::now() - default);
    let connections = chosen(&reader, args.id.as_deref())?;
    let mut days = Vec::new();
    for connection in &connections {
        days.extend(reader.gaps(&connection.id, since)?);
    }
    output.value(&serde_json::json!({"days": days}), || gap_table(&days))?;
    Ok(Exit::Success)
}

fn chosen(reader: &Reader, id: Option<&str>) -> anyhow::Result<Vec<Connection>> {
    let Some(text) = id else {
        return Ok(reader.connections()?);
    };
    let id = stores::id(text)?;
    let connection = reader.connection(&id)?.ok_or_else(|| no_such(&id))?;
    Ok(vec![connection])
}

fn gap_table(days: &[DayOfGaps]) -> String {
    if days.is_empty() {
        note("nothing was received and nothing was found in this time");
    }
    let head = [
        "DAY",
        "CONNECTION",
        "WEBHOOKS",
        "POLLED",
        "MISSING",
        "LATE",
        "DELETED",
        "UNREADABLE",
    ];
    let row = |day: &DayOfGaps| {
        vec![
            day.day.clone(),
            day.connection.clone(),
            day.webhooks.to_string(),
            day.polled.to_string(),
            day.missing.len().to_string(),
            day.late.len().to_string(),
            day.deleted.len().to_string(),
            day.unreadable.len().to_string(),
        ]
    };
    let mut text = table(&head, &days.iter().map(row).collect::<Vec<_>>());
    for day in days {
        for (gap, ids) in [
            ("missing", &day.missing),
            ("late", &day.late),
            ("deleted", &day.deleted),
        ] {
            if !ids.is_empty() {
                text.push_str(&format!(
                    "\n{} {} {gap}: {}",
                    day.day,
                    day.connection,
                    ids.join(" ")
                ));
            }
        }
    }
    text
}
