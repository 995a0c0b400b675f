//! A summary of refused requests each minute, in place of one log line per request.

use tokio::sync::watch;

use crate::telemetry::Summary;

/// Requests to known connections that were refused, by reason and connection.
pub(super) static REFUSED: Summary = Summary::new();
/// Requests whose delivery the journal could not store.
pub(super) static UNKEPT: Summary = Summary::new();

/// Logs each minute which requests were refused, until the gateway shuts down.
pub async fn log_refusals(shutdown: watch::Receiver<bool>) {
    let refused = REFUSED.log_each_minute(shutdown.clone(), |reason, counted| {
        tracing::warn!(
            reason,
            count = counted.count,
            connections = counted.subjects(),
            example = counted.example(),
            "webhooks refused"
        );
    });
    let unkept = UNKEPT.log_each_minute(shutdown, |reason, counted| {
        tracing::error!(
            reason,
            count = counted.count,
            connections = counted.subjects(),
            example = counted.example(),
            error = counted.detail.as_deref().unwrap_or_default(),
            "webhooks answered 503"
        );
    });
    tokio::join!(refused, unkept);
}
