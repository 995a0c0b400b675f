//! How a store is read for a purpose. Pure.

use std::time::Duration;

use super::lists::Lists;
use super::window::Following;
use crate::connections::{Connection, Polling};
use crate::journal::entry::EntryKind;
use crate::platforms::StoreApi;
use crate::platforms::api::ReadableList;

/// A scheduled read of a store ends after this time, so that others get their turn.
const MAX_READ_TIME: Duration = Duration::from_secs(120);
/// As [`MAX_READ_TIME`], for a part of a backfill. Then the store's scheduled read gets its turn.
const MAX_BACKFILL_TIME: Duration = Duration::from_secs(20);

/// Maximum number of pending deliveries of a polled store with which its urgent lists are read, and its others. A broker that is
/// away for days, or details that are fetched for hours, must not fill the disk for all stores.
const MAX_PENDING_OF_URGENT: usize = 50_000;
const MAX_PENDING_OF_OTHERS: usize = 1_000;
/// More pending deliveries are not counted.
pub(super) const MAX_COUNTED_PENDING: usize = MAX_PENDING_OF_URGENT + 1;

/// The pending deliveries of a store.
pub(super) struct PendingDeliveries {
    /// `true` if one of them has been pending for long.
    pub(super) is_old: bool,
    pub(super) count: usize,
}

/// How a store is read.
pub(super) struct ReadPlan {
    pub(super) following: Following,
    /// The kind of the entries for found changes.
    pub(super) kind: EntryKind,
    /// The read makes room for others after this time; `None` for a read that reads all.
    pub(super) max_time: Option<Duration>,
    /// Time between two pages.
    pub(super) pause: Duration,
    /// `true` if no deliveries are stored.
    is_for_exchange: bool,
    /// `true` if the store is not read while deliveries of it are pending.
    pub(super) waits_for_pending: bool,
}

impl ReadPlan {
    /// The number of pending deliveries with which a list is still read.
    pub(super) fn max_pending(&self, list: ReadableList) -> usize {
        match (
            self.waits_for_pending || self.is_for_exchange,
            list.poll_interval.is_zero(),
        ) {
            (true, _) => usize::MAX,
            (false, true) => MAX_PENDING_OF_URGENT,
            (false, false) => MAX_PENDING_OF_OTHERS,
        }
    }

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
                Lists::Changes | Lists::Full { .. } => Some(MAX_READ_TIME),
                Lists::Requested(_) => backfill_since.map(|_| MAX_BACKFILL_TIME),
            },
            is_for_exchange: lists.is_for_exchange(),
            pause: backfill_since.map_or(Duration::ZERO, |_| pause),
            // What is pending would be counted as a gap. A backfill makes no more work than is done.
            waits_for_pending: !lists.is_for_exchange()
                && (polling.is_none() || backfill_since.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::delivery::ConnectionId;
    use crate::platforms::store_api;

    const FULL: Lists = Lists::Full { gap_ended_at: None };

    fn max_pending(kind: &str, lists: &Lists) -> [usize; 2] {
        let id = ConnectionId::new("shop").expect("an id");
        let connection = Connection::new(id, "wix", kind, Timestamp::UNIX_EPOCH);
        let api = store_api("wix").expect("an API");
        let plan = ReadPlan::of(lists, &connection, api);
        let intervals = [SignedDuration::ZERO, SignedDuration::from_mins(5)];
        intervals.map(|interval| plan.max_pending(ReadableList::changes("any", interval)))
    }

    #[test]
    fn many_pending_deliveries_of_a_polled_store_delay_its_slow_lists() {
        assert_eq!(
            max_pending("wix-site", &Lists::Changes),
            [MAX_PENDING_OF_URGENT, MAX_PENDING_OF_OTHERS]
        );
        assert_eq!(max_pending("wix-app", &FULL), [usize::MAX; 2]);
    }
}
