//! The delay before an event or a request to a store is retried. Pure.

use std::time::Duration;

use crate::backoff::Backoff;

const RETRY_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    max: Duration::from_secs(30),
};

/// The delay after this number of failed attempts.
#[must_use]
pub(super) fn after(attempts: u32) -> Duration {
    RETRY_BACKOFF.delay(attempts)
}
