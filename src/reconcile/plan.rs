//! How a store is read for a purpose. Pure.

use std::time::Duration;

use super::lists::Lists;
use super::window::Following;
use crate::connections::{Connection, Polling};
use crate::journal::entry::EntryKind;
use crate::platforms::StoreApi;

/// A scheduled read of a store ends after this time, so that others get their turn.
const MAX_READ_TIME: Duration = Duration::from_secs(120);
/// As [`MAX_READ_TIME`], for a part of a backfill. Then the store's scheduled read gets its turn.
const MAX_BACKFILL_TIME: Duration = Duration::from_secs(20);

/// How a store is read.
pub(super) struct ReadPlan {
    pub(super) following: Following,
    /// The kind of the entries for found changes.
    pub(super) kind: EntryKind,
    /// The read makes room for others after this time; `None` for a read that reads all.
    pub(super) max_time: Option<Duration>,
    /// Time between two pages.
    pub(super) pause: Duration,
    /// `true` if the store is not read while deliveries of it are pending.
    pub(super) waits_for_pending: bool,
}

impl ReadPlan {
    pub(super) fn of(lists: &Lists, connection: &Connection, api: &dyn StoreApi) -> Self {
        let polling = Polling::of(connection);
        let followed_from = polling.map_or(connection.created_at, |polling| polling.from);
        let backfill_since = lists.backfill_since();
        let is_polled = polling.is_some() || backfill_since.is_some();
        // Half of the request rate of the store.
        let pause = Duration::from_secs(60) / api.pace().per_minute.max(1);
        Self {
            following: Following {
                from: backfill_since.unwrap_or(followed_from),
                is_polled,
            },
            kind: if is_polled {
                EntryKind::Polled
            } else {
                EntryKind::Found
            },
            max_time: match lists {
                Lists::Changes | Lists::Full => Some(MAX_READ_TIME),
                Lists::Requested(_) => backfill_since.map(|_| MAX_BACKFILL_TIME),
            },
            pause: backfill_since.map_or(Duration::ZERO, |_| pause),
            // What is pending would be counted as a gap. A backfill makes no more work than is done.
            waits_for_pending: polling.is_none() || backfill_since.is_some(),
        }
    }
}
