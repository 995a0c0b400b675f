//! Logs and metrics: set up once, used everywhere through the `tracing` and `metrics` macros.
//!
//! Logs go to standard error through a queue that never waits. lapin's own lines are cut off at errors whatever the filter says: its warnings print whole
//! messages, and no body may ever reach a log.

mod queue;
mod summary;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use queue::LogQueue;
pub use summary::{Counted, Summary};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

static QUEUE: OnceLock<LogQueue> = OnceLock::new();
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// How long the last lines may take at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Begins to log. `filter` is in the form of `RUST_LOG` (`info`, `cartwire=debug`).
///
/// # Errors
/// An invalid filter, or a system without another thread.
pub fn log(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = parse_filter(filter)?;
    let queue = LogQueue::start().map_err(|error| error.to_string())?;
    let silent = filter_fn(|metadata| {
        let noisy =
            metadata.target().starts_with("lapin") || metadata.target().starts_with("amq_protocol");
        // A passive declaration of a missing queue closes its channel: that is an answer, and lapin logs it as an error.
        let is_answer = metadata.target().starts_with("lapin::channel");
        !noisy || (*metadata.level() == tracing::Level::ERROR && !is_answer)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(queue.clone())
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let layer = lines.with_filter(silent).with_filter(filter);
    // A second call in one process (tests) keeps the first.
    if tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .is_ok()
    {
        let _ = QUEUE.set(queue);
        let _ = FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Logs by another filter from now on.
///
/// # Errors
/// An invalid filter: the one before stays.
pub fn set_log_filter(filter: &str) -> Result<(), String> {
    let filter = parse_filter(filter)?;
    if let Some(set) = FILTER.get() {
        set(filter);
    }
    Ok(())
}

/// Waits a second at most until all lines are written.
pub fn flush_log() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    // The web server's start and stop are logged by the gateway; a filter can ask for the server's own lines. The
    // certificate verifier logs each failure as an error without the connection; the gateway's own line names it.
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(format!(
            "actix_server=warn,rustls_platform_verifier=off,{filter}"
        ))
        .map_err(|error| error.to_string())
}

/// The library's own hook writes to standard error directly, which can wait for ever.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        thread = thread.name().unwrap_or("unnamed"),
        location = panic.location().map(tracing::field::display),
        reason = panic.payload_as_str().unwrap_or("unknown"),
        "thread panicked"
    );
}

/// Begins to count.
///
/// # Errors
/// Where the recorder cannot be made.
pub fn count() -> Result<PrometheusHandle, String> {
    let seconds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    ];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
        .map_err(|e| e.to_string())?
        .build_recorder();
    let handle = recorder.handle();
    // A second gateway in one process (demo, tests) shares the first one's counters.
    match metrics::set_global_recorder(recorder) {
        Ok(()) => {
            describe();
            HANDLE.get_or_init(|| handle.clone());
            Ok(handle)
        }
        Err(_) => Ok(HANDLE.get().cloned().unwrap_or(handle)),
    }
}

/// Sorts what was measured into the histograms' buckets, for as long as it is polled. Every measurement would be kept
/// until somebody asks for the metrics otherwise, and without Prometheus nobody does.
pub async fn keep_bounded(metrics: PrometheusHandle) {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        metrics.run_upkeep();
        tokio::time::sleep(PAUSE).await;
    }
}

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "cartwire_webhooks_total",
        "Webhooks answered 200, by platform and answer (accepted, duplicate, ping)"
    );
    describe_counter!(
        "cartwire_webhooks_refused_total",
        "Webhooks not answered 200, by platform and reason"
    );
    describe_histogram!(
        "cartwire_webhook_seconds",
        "From a webhook's headers to its answer"
    );
    describe_histogram!(
        "cartwire_journal_commit_seconds",
        "Commits of the journal, sync included"
    );
    describe_counter!(
        "cartwire_journal_commit_failures_total",
        "Commits that failed"
    );
    describe_gauge!(
        "cartwire_journal_bytes",
        "Bytes of the journal's data file that hold something"
    );
    describe_gauge!(
        "cartwire_journal_log_bytes",
        "Bytes of the journal's write-ahead log and its index"
    );
    describe_counter!(
        "cartwire_journal_removed_total",
        "Settled entries that retention removed, by reason (size, age)"
    );
    describe_counter!(
        "cartwire_log_lines_dropped_total",
        "Log lines dropped because the reader of the log was too slow"
    );
    describe_gauge!(
        "cartwire_journal_writable",
        "1 while the journal can be written"
    );
    describe_gauge!(
        "cartwire_disk_free_bytes",
        "Bytes that the journal can still grow by"
    );
    describe_gauge!(
        "cartwire_pending_deliveries",
        "Deliveries that are stored and not settled"
    );
    describe_gauge!(
        "cartwire_pending_oldest_seconds",
        "Age of the oldest pending delivery"
    );
    describe_gauge!(
        "cartwire_unrouted_deliveries",
        "Deliveries whose queue or binding is gone, without the acknowledged ones"
    );
    describe_gauge!(
        "cartwire_dead_letter_deliveries",
        "Dead letters, without the acknowledged ones"
    );
    describe_counter!(
        "cartwire_deliveries_acknowledged_total",
        "Deliveries acknowledged by the admin API"
    );
    describe_counter!(
        "cartwire_deliveries_settled_total",
        "Deliveries settled, by state"
    );
    describe_counter!(
        "cartwire_events_total",
        "Events settled, by platform, entity and outcome"
    );
    describe_counter!(
        "cartwire_publish_retries_total",
        "Publishes that are retried, by reason"
    );
    describe_gauge!(
        "cartwire_broker_connected",
        "1 while connected to the broker"
    );
    describe_gauge!(
        "cartwire_broker_trouble",
        "1 while the broker makes trouble, by reason (broker_unreachable, topology_lost, events_unrouted)"
    );
    describe_gauge!(
        "cartwire_broker_blocked",
        "1 while the broker blocks the connection"
    );
    describe_counter!(
        "cartwire_broker_connect_failures_total",
        "Connections to the broker that failed"
    );
    describe_counter!(
        "cartwire_bodies_dropped_total",
        "Unfinished bodies whose memory went to another sender; answered 503"
    );
    describe_counter!(
        "cartwire_http_errors_total",
        "Requests that were no valid HTTP, by status"
    );
    describe_counter!(
        "cartwire_http_connections_ended_total",
        "Idle or slow connections that ended because their listener had too many"
    );
    describe_counter!(
        "cartwire_event_cursors_lost_total",
        "Reads of the event log by consumers that lost events to retention"
    );
    describe_counter!(
        "cartwire_completions_total",
        "Requests to stores for what a thin delivery lacks, by platform and result"
    );
    describe_counter!(
        "cartwire_damaged_rows_total",
        "Rows of the database that cannot be read, by table"
    );
    describe_gauge!(
        "cartwire_routes_hanging",
        "Routing keys whose confirms do not arrive"
    );
    describe_gauge!(
        "cartwire_routes_refused",
        "Routing keys that the broker refuses"
    );
    describe_histogram!(
        "cartwire_store_call_seconds",
        "Requests to stores' APIs, by platform"
    );
    describe_counter!(
        "cartwire_store_calls_total",
        "Requests to stores' APIs, by platform, call and result"
    );
    describe_counter!(
        "cartwire_unclean_ends_total",
        "Starts after the process had ended without a shutdown"
    );
    describe_gauge!("cartwire_connections", "Connections, by status");
    describe_gauge!(
        "cartwire_connection_healthy",
        "1 if the last check of a connection found no problem"
    );
    describe_counter!(
        "cartwire_connection_checks_total",
        "Background checks of connections, by platform and result"
    );
}
