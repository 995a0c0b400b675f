//! The window of a read: which changes it covers, and what it stores.

use jiff::{SignedDuration, Timestamp};

use crate::journal::StoreRead;

/// The window of a read begins this long before the watermark, for changes that became visible late.
const OVERLAP: SignedDuration = SignedDuration::from_secs(120);
/// The window of a store with webhooks ends this long before now, so that webhooks on their way are not counted as missing.
pub(super) const LAG: SignedDuration = SignedDuration::from_secs(60);

/// How the store of a read is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Following {
    /// The first read begins here.
    pub(super) from: Timestamp,
    pub(super) is_polled: bool,
}

impl Following {
    fn end(self, now: Timestamp) -> Timestamp {
        if self.is_polled { now } else { now - LAG }
    }
}

/// The window of a read.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Changes up to this time have been read when the whole window was read.
    pub(super) watermark: Timestamp,
    pub(super) after: Timestamp,
    pub(super) until: Timestamp,
    pub(super) cursor: Option<String>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) stores: Stores,
    /// Reason code, if the last read of the list failed.
    pub(super) last_failure: Option<String>,
}

/// What a read stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stores {
    /// The changes, and how far the store has been read. It continues after a crash.
    ChangesAndProgress,
    /// The changes. The read has a window of its own, so the scheduled reads do not continue it.
    Changes,
    /// Nothing: a dry run.
    Nothing,
}

impl Window {
    /// The window of the next read: the rest of an unfinished one, or what changed since the watermark.
    pub(super) fn next(read: Option<&StoreRead>, following: Following, now: Timestamp) -> Self {
        // The clock of the gateway may have been ahead at the last read.
        let watermark = read.map_or(following.from, |read| {
            read.watermark.min(following.end(now))
        });
        Self {
            watermark,
            after: (watermark - OVERLAP).max(Timestamp::UNIX_EPOCH),
            until: read
                .and_then(|read| read.until)
                .unwrap_or(following.end(now)),
            cursor: read.and_then(|read| read.cursor.clone()),
            finished_at: read.and_then(|read| read.finished_at),
            stores: Stores::ChangesAndProgress,
            last_failure: read.and_then(|read| read.failure.clone()),
        }
    }

    /// The window of a request for changes since a time. Its read does not move the watermark.
    pub(super) fn since(since: Timestamp, following: Following, now: Timestamp) -> Self {
        Self {
            watermark: since,
            after: since,
            until: following.end(now),
            cursor: None,
            finished_at: None,
            stores: Stores::Changes,
            last_failure: None,
        }
    }

    pub(super) fn read(&self, entity: &str) -> StoreRead {
        StoreRead {
            entity: entity.to_owned(),
            watermark: self.watermark,
            until: Some(self.until),
            cursor: self.cursor.clone(),
            finished_at: self.finished_at,
            failure: None,
        }
    }
}

/// The begin of a window in the time of a store. It moves only back: a wrong date of a response must not hide a change.
pub(super) fn earlier(time: Timestamp, clock_lead: SignedDuration) -> Timestamp {
    let lead = clock_lead.min(SignedDuration::ZERO);
    time.saturating_add(lead).unwrap_or(time)
}

/// The end of a window in the time of a store. It moves only forward.
pub(super) fn later(time: Timestamp, clock_lead: SignedDuration) -> Timestamp {
    let lead = clock_lead.max(SignedDuration::ZERO);
    time.saturating_add(lead).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermark_from_a_clock_that_was_ahead_moves_back() {
        let now = Timestamp::from_second(10_000).expect("a time");
        let read = StoreRead {
            entity: "order".to_owned(),
            watermark: now + SignedDuration::from_hours(1),
            until: None,
            cursor: None,
            finished_at: None,
            failure: None,
        };
        let following = Following {
            from: Timestamp::UNIX_EPOCH,
            is_polled: true,
        };
        let window = Window::next(Some(&read), following, now);
        assert_eq!((window.watermark, window.until), (now, now));
        assert_eq!(window.after, now - OVERLAP);
    }
}
