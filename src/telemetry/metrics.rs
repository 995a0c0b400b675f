//! The metrics of the gateway: the recorder, and a description of each metric.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// The upper bounds of the buckets of all histograms, in seconds.
const SECONDS_BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// Time between two runs of the recorder's upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the recorder.
///
/// # Errors
/// If the recorder cannot be created.
pub fn count() -> Result<PrometheusHandle, String> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .map_err(|e| e.to_string())?
        .build_recorder();
    let handle = recorder.handle();
    // A second gateway in one process (demo, tests) shares the metrics of the first one.
    match metrics::set_global_recorder(recorder) {
        Ok(()) => {
            DESCRIPTIONS.iter().for_each(Description::register);
            HANDLE.get_or_init(|| handle.clone());
            Ok(handle)
        }
        Err(_) => Ok(HANDLE.get().cloned().unwrap_or(handle)),
    }
}

/// Sorts measurements into the histograms' buckets, for as long as it is polled. Without this, the recorder stores each
/// measurement until the next request for the metrics, and without Prometheus there is no such request.
pub async fn keep_bounded(metrics: PrometheusHandle) {
    loop {
        metrics.run_upkeep();
        tokio::time::sleep(UPKEEP_INTERVAL).await;
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric with its help text.
struct Description {
    kind: Kind,
    name: &'static str,
    help: &'static str,
}

impl Description {
    fn register(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

const fn counter(name: &'static str, help: &'static str) -> Description {
    Description {
        kind: Kind::Counter,
        name,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Description {
    Description {
        kind: Kind::Gauge,
        name,
        help,
    }
}

const fn histogram(name: &'static str, help: &'static str) -> Description {
    Description {
        kind: Kind::Histogram,
        name,
        help,
    }
}

const DESCRIPTIONS: &[Description] = &[
    counter(
        "cartwire_webhooks_total",
        "Webhooks answered 200, by platform and answer (accepted, duplicate, ping)",
    ),
    counter(
        "cartwire_webhooks_refused_total",
        "Webhooks not answered 200, by platform and reason",
    ),
    histogram(
        "cartwire_webhook_seconds",
        "Time from a webhook's headers to its answer",
    ),
    histogram(
        "cartwire_journal_commit_seconds",
        "Commits of the journal, sync included",
    ),
    counter(
        "cartwire_journal_commit_failures_total",
        "Commits that failed",
    ),
    gauge(
        "cartwire_journal_bytes",
        "Bytes of the data file that are in use",
    ),
    gauge(
        "cartwire_journal_log_bytes",
        "Bytes of the journal's write-ahead log and its index",
    ),
    counter(
        "cartwire_journal_removed_total",
        "Settled entries that retention removed, by reason (size, age)",
    ),
    counter(
        "cartwire_log_lines_dropped_total",
        "Log lines dropped because the reader of the log was too slow",
    ),
    gauge(
        "cartwire_journal_writable",
        "1 while the journal can be written",
    ),
    gauge(
        "cartwire_disk_free_bytes",
        "Bytes by which the journal can still grow",
    ),
    gauge(
        "cartwire_pending_deliveries",
        "Deliveries that are stored and not settled",
    ),
    gauge(
        "cartwire_pending_oldest_seconds",
        "Age of the oldest pending delivery",
    ),
    gauge(
        "cartwire_unrouted_deliveries",
        "Deliveries whose queue or binding is gone, without the acknowledged ones",
    ),
    gauge(
        "cartwire_dead_letter_deliveries",
        "Dead letters, without the acknowledged ones",
    ),
    counter(
        "cartwire_deliveries_acknowledged_total",
        "Deliveries acknowledged by the admin API",
    ),
    counter(
        "cartwire_deliveries_settled_total",
        "Deliveries settled, by state",
    ),
    counter(
        "cartwire_events_ignored_total",
        "Events not published because their content is known (unchanged) or older than the known state (stale), by reason",
    ),
    counter(
        "cartwire_events_total",
        "Events settled, by platform, entity and outcome",
    ),
    counter(
        "cartwire_publish_retries_total",
        "Publishes that are retried, by reason",
    ),
    counter(
        "cartwire_repairs_total",
        "Repairs of webhooks at stores without an operator, by platform and result (done, failed)",
    ),
    counter(
        "cartwire_found_changes_total",
        "Changes that were found by reading a store, by platform and gap (missing, late, deleted, unreadable)",
    ),
    counter(
        "cartwire_backfilled_events_total",
        "Events that `backfill --exchange` published, by platform",
    ),
    gauge(
        "cartwire_broker_connected",
        "1 while connected to the broker",
    ),
    gauge(
        "cartwire_broker_trouble",
        "1 while there is a problem with the broker, by reason (broker_unreachable, topology_lost, events_unrouted)",
    ),
    gauge(
        "cartwire_broker_blocked",
        "1 while the broker blocks the connection",
    ),
    counter(
        "cartwire_broker_connect_failures_total",
        "Connections to the broker that failed",
    ),
    counter(
        "cartwire_bodies_dropped_total",
        "Incomplete bodies whose memory was given to another sender; answered 503",
    ),
    counter(
        "cartwire_http_errors_total",
        "Requests that were no valid HTTP, by status",
    ),
    counter(
        "cartwire_http_connections_ended_total",
        "Idle or slow connections that were closed because the listener had too many",
    ),
    counter(
        "cartwire_event_cursors_lost_total",
        "Reads of the event log by consumers that lost events to retention",
    ),
    counter(
        "cartwire_completions_total",
        "Fetches from stores for thin deliveries, by platform and result",
    ),
    counter(
        "cartwire_damaged_rows_total",
        "Rows of the database that cannot be read, by table",
    ),
    gauge(
        "cartwire_routes_hanging",
        "Routing keys whose confirms do not arrive",
    ),
    gauge(
        "cartwire_routes_refused",
        "Routing keys that the broker refuses",
    ),
    histogram(
        "cartwire_store_call_seconds",
        "Requests to stores' APIs, by platform",
    ),
    counter(
        "cartwire_store_calls_total",
        "Requests to stores' APIs, by platform, call and result",
    ),
    counter(
        "cartwire_unclean_ends_total",
        "Starts after a process that ended without a shutdown",
    ),
    gauge("cartwire_connections", "Connections, by status"),
    gauge(
        "cartwire_connection_healthy",
        "1 if the last check of a connection found no problem",
    ),
    counter(
        "cartwire_connection_checks_total",
        "Background checks of connections, by platform and result",
    ),
];
