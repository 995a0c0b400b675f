//! Which lists of a store a read covers.

use jiff::{SignedDuration, Timestamp};

use super::report::ReconcileRequest;
use super::window::{Following, LAG, Stores, Window};
use crate::journal::{StoreRead, exchange_progress};
use crate::platforms::api::{ListKind, ReadableList};

/// The scheduled read of a list.
pub(super) struct ScheduledRead {
    pub(super) window: Window,
    pub(super) following: Following,
    pub(super) is_due: bool,
}

impl ScheduledRead {
    /// The next read of a list after `last`.
    pub(super) fn next(
        list: ReadableList,
        last: Option<&StoreRead>,
        following: Following,
        now: Timestamp,
    ) -> Self {
        let window = Window::next(last, following, now);
        let interval = if following.is_polled {
            Some(list.poll_interval)
        } else {
            list.kind.interval()
        };
        let is_due = interval.is_none_or(|interval| {
            // The first read of all entities of a store with webhooks is not urgent: its webhooks have begun.
            let finished_at = window.finished_at;
            let last = finished_at.or((!following.is_polled).then_some(following.from));
            let is_over = |last: Timestamp| last > now || now.duration_since(last) >= interval;
            window.cursor.is_some() || last.is_none_or(is_over)
        });
        Self {
            window,
            following,
            is_due,
        }
    }

    /// The read with the gap of its connection: a list of all entities that was read before the end of the gap is due.
    pub(super) fn after_gap(self, lists: &Lists, now: Timestamp) -> Self {
        let finished_at = self.window.finished_at.unwrap_or(self.following.from);
        let is_missed = lists.gap_ended_at().is_some_and(|ended_at| {
            // The window of an earlier read ends before the end of the gap.
            let covered_at = ended_at + LAG;
            let is_recent = now.duration_since(finished_at) < MIN_GAP_INTERVAL;
            covered_at <= now && finished_at < covered_at && !is_recent
        });
        Self {
            is_due: self.is_due || is_missed && !self.following.is_polled,
            ..self
        }
    }
}

/// A list of all entities is read at most once in this time because of gaps.
const MIN_GAP_INTERVAL: SignedDuration = SignedDuration::from_mins(2);

/// The lists of a store that are read.
pub(super) enum Lists {
    /// The lists of changes.
    Changes,
    /// The lists of all entities that are due.
    Full {
        /// When the connection was last well again, if it was degraded. A list that was read before is due.
        gap_ended_at: Option<Timestamp>,
    },
    /// The lists that a request of the command line names.
    Requested(ReconcileRequest),
}

impl Lists {
    /// The begin of a backfill; `None` for other reads.
    pub(super) fn backfill_since(&self) -> Option<Timestamp> {
        match self {
            Lists::Requested(request) => request.since.filter(|_| request.is_backfill),
            Lists::Changes | Lists::Full { .. } => None,
        }
    }

    /// When the connection was last well again, for lists of all entities.
    pub(super) fn gap_ended_at(&self) -> Option<Timestamp> {
        match self {
            Lists::Full { gap_ended_at } => *gap_ended_at,
            Lists::Changes | Lists::Requested(_) => None,
        }
    }

    /// The exchange for the past; `None` for a read whose changes are stored as deliveries.
    pub(super) fn exchange(&self) -> Option<&str> {
        match self {
            Lists::Requested(request) => request.exchange.as_deref(),
            Lists::Changes | Lists::Full { .. } => None,
        }
    }

    pub(super) fn is_for_exchange(&self) -> bool {
        self.exchange().is_some()
    }

    /// The name under which the progress of a list is stored. A backfill since the same time continues the one before. One to
    /// an exchange of its own begins from the start, because the consumer may have lost the events.
    pub(super) fn progress_name(&self, list: ReadableList) -> String {
        match self {
            Lists::Requested(request) if request.exchange.is_some() => {
                exchange_progress(request.id, list.name)
            }
            _ => match self.backfill_since() {
                Some(since) => format!("backfill/{}/{}", since.as_second(), list.name),
                None => list.name.to_owned(),
            },
        }
    }

    /// The window in which a list is read; `None` if it is not read.
    pub(super) fn window(&self, list: ReadableList, scheduled: ScheduledRead) -> Option<Window> {
        let ScheduledRead {
            window: scheduled,
            following,
            is_due,
        } = scheduled;
        let is_full = list.kind.interval().is_some();
        match self {
            Lists::Changes => (!is_full && is_due).then_some(scheduled),
            Lists::Full { .. } => (is_full && is_due).then_some(scheduled),
            Lists::Requested(request) => {
                let is_named = request.entity.as_deref() == Some(list.entity);
                let is_wanted =
                    is_named || request.entity.is_none() && (is_due || request.since.is_some());
                let is_finished = request.finished_lists.iter().any(|name| name == list.name);
                if is_finished {
                    return None;
                }
                if request.is_backfill {
                    // Ids show only deletions, and the list of changes has the recent entities too.
                    let is_past =
                        !matches!(list.kind, ListKind::Ids { .. } | ListKind::Recent { .. });
                    return (is_wanted && is_past).then_some(scheduled);
                }
                let window = match request.since {
                    Some(since) => Window::since(since, following, Timestamp::now()),
                    None => scheduled,
                };
                is_wanted.then_some(if request.dry_run {
                    Window {
                        stores: Stores::Nothing,
                        ..window
                    }
                } else {
                    window
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const FULL: Lists = Lists::Full { gap_ended_at: None };

    fn list(kind: ListKind, poll_interval: SignedDuration) -> ReadableList {
        ReadableList {
            name: "list",
            entity: "order",
            kind,
            poll_interval,
        }
    }

    /// Whether a list is read this long after its last read.
    fn reads(lists: &Lists, list: ReadableList, is_polled: bool, age: SignedDuration) -> bool {
        let last = StoreRead {
            entity: "list".to_owned(),
            watermark: Timestamp::UNIX_EPOCH,
            until: None,
            cursor: None,
            finished_at: Some(Timestamp::UNIX_EPOCH),
            failure: None,
        };
        let following = Following {
            from: Timestamp::UNIX_EPOCH,
            is_polled,
        };
        let now = Timestamp::UNIX_EPOCH + age;
        let scheduled =
            ScheduledRead::next(list, Some(&last), following, now).after_gap(lists, now);
        lists.window(list, scheduled).is_some()
    }

    /// Whether a list of changes, and lists of all entities that are due and not due, are read.
    fn read(lists: &Lists) -> [bool; 3] {
        let all = list(ListKind::All { interval: HOUR }, HOUR);
        let changes = list(ListKind::Changes, SignedDuration::ZERO);
        [
            reads(lists, changes, false, HOUR),
            reads(lists, all, false, HOUR),
            reads(lists, all, false, HOUR / 2),
        ]
    }

    #[test]
    fn scheduled_reads_of_changes_do_not_wait_for_lists_of_all_entities() {
        assert_eq!(read(&Lists::Changes), [true, false, false]);
        assert_eq!(read(&FULL), [false, true, false]);
        let after_gap = Lists::Full {
            gap_ended_at: Some(Timestamp::UNIX_EPOCH + HOUR / 4),
        };
        assert_eq!(read(&after_gap), [false, true, true]);
        let before_the_last_read = Lists::Full {
            gap_ended_at: Some(Timestamp::UNIX_EPOCH - HOUR),
        };
        assert_eq!(read(&before_the_last_read), [false, true, false]);
    }

    #[test]
    fn each_poll_reads_urgent_lists_and_the_others_after_their_interval() {
        let urgent = list(ListKind::Changes, SignedDuration::ZERO);
        let slow = list(ListKind::Changes, HOUR);
        let polls = |list, age| reads(&Lists::Changes, list, true, age);
        assert!(polls(urgent, SignedDuration::from_secs(1)));
        assert!(!polls(slow, HOUR / 2) && polls(slow, HOUR));
        assert!(reads(&Lists::Changes, slow, false, HOUR / 2));
    }

    #[test]
    fn request_reads_all_lists_that_it_names() {
        let requested = |entity: Option<&str>, since: Option<Timestamp>| {
            read(&Lists::Requested(ReconcileRequest {
                entity: entity.map(str::to_owned),
                since,
                ..ReconcileRequest::default()
            }))
        };
        assert_eq!(requested(None, None), [true, true, false]);
        assert_eq!(requested(Some("order"), None), [true; 3]);
        assert_eq!(requested(None, Some(Timestamp::UNIX_EPOCH)), [true; 3]);
        assert_eq!(requested(Some("coupon"), None), [false; 3]);
    }
}
