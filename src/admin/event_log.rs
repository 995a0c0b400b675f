//! Reading the event log for a consumer, and reporting the events that a consumer missed.

use tokio::sync::watch;

use super::query::ApiError;
use super::state::Admin;
use crate::journal::{EventCursor, EventFilter, LogPage, LogRead, PageLimit};
use crate::telemetry::Summary;

/// Reads with a cursor whose events were removed.
static LOST_CURSORS: Summary = Summary::new();

/// Logs each minute which cursors lost events, until the gateway shuts down.
pub async fn log_lost_cursors(shutdown: watch::Receiver<bool>) {
    let lost = LOST_CURSORS.log_each_minute(shutdown, |reason, counted| {
        tracing::warn!(
            reason,
            count = counted.count,
            cursors = counted.subjects(),
            example = counted.example(),
            first = counted.detail.as_deref().unwrap_or_default(),
            "event cursors lost events to retention"
        );
    });
    lost.await;
}

/// A read of the event log.
pub(super) struct LogQuery {
    /// The name of the parameter with the cursor.
    pub(super) parameter: &'static str,
    pub(super) after: EventCursor,
    pub(super) limit: PageLimit,
    pub(super) filter: EventFilter,
}

/// Reads a page of the event log. `read` receives the page and the cursor at which the page begins.
pub(super) async fn read_log<T, F>(admin: &Admin, query: LogQuery, read: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&LogPage, EventCursor) -> T + Send + 'static,
{
    let (name, after) = (query.parameter, query.after);
    let large_events = admin.limits.large_events.clone();
    let found = admin.limits.read(&admin.journal, move |reader| {
        let found = reader.log_after(query.after, query.limit, &query.filter)?;
        Ok(match found {
            LogRead::Page { page, from } => {
                let _turn = large_events.turn(page.bytes);
                Ok(read(&page, from))
            }
            LogRead::Ahead { newest } => Err(ApiError::CursorAhead { name, newest }),
            LogRead::Lost { first } => Err(ApiError::EventsLost { first }),
        })
    });
    let found = found.await?;
    if let Err(ApiError::EventsLost { first }) = &found {
        metrics::counter!("cartwire_event_cursors_lost_total").increment(1);
        tracing::debug!(cursor = %after, %first, "events were removed before a consumer read them");
        LOST_CURSORS.count(
            "events_removed",
            &after.to_string(),
            Some(first.to_string()),
        );
    }
    found
}
