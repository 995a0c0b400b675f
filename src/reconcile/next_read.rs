//! When one store is read next.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::window::LAG;

/// A degraded connection is read this often.
const DEGRADED_INTERVAL: Duration = Duration::from_secs(60);

/// When one store is read next.
pub(super) struct NextRead {
    at: Instant,
    /// When the lists of all entities are read next, if one is due.
    full_at: Instant,
    is_degraded: bool,
    /// `true` if the last read failed because the store was away.
    is_away: bool,
    /// When the connection was last well again. Webhooks may have been lost before.
    gap_ended_at: Option<Timestamp>,
}

impl NextRead {
    pub(super) fn new(first: Instant) -> Self {
        Self {
            at: first,
            full_at: first,
            is_degraded: false,
            is_away: false,
            gap_ended_at: None,
        }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at <= now
    }

    pub(super) fn gap_ended_at(&self) -> Option<Timestamp> {
        self.gap_ended_at
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away
    }

    /// A read has ended.
    pub(super) fn ended(&mut self, is_away: bool) {
        self.is_away = is_away;
    }

    /// `true` if lists of all entities may be due, and wait longer than the lists of changes.
    pub(super) fn is_full_first(&self, now: Instant) -> bool {
        self.full_at <= now && (self.at > now || self.full_at < self.at)
    }

    /// A read of the due lists of all entities begins: the next one begins after the interval.
    pub(super) fn read_full(&mut self, interval: Duration, now: Instant) {
        self.full_at = now + interval;
    }

    /// A connection that is degraded may have lost webhooks, and is read at once. One that is well again is read as soon as the
    /// window of a read has its last lost webhooks, with the lists of all entities.
    pub(super) fn update(&mut self, is_degraded: bool, now: Instant) {
        if self.is_degraded == is_degraded {
            return;
        }
        self.is_degraded = is_degraded;
        let due = if is_degraded {
            now
        } else {
            self.is_away = false;
            self.gap_ended_at = Some(Timestamp::now());
            let due = now + LAG.unsigned_abs();
            self.full_at = self.full_at.min(due);
            due
        };
        self.at = self.at.min(due);
    }

    /// A read begins: the next one begins after the interval.
    pub(super) fn read(&mut self, interval: Duration, now: Instant) {
        let interval = if self.is_degraded {
            interval.min(DEGRADED_INTERVAL)
        } else {
            interval
        };
        self.at = now + interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    #[test]
    fn store_is_away_until_a_read_succeeds_or_it_is_well_again() {
        let now = Instant::now();
        let mut next = NextRead::new(now);
        next.update(true, now);
        next.ended(true);
        assert!(next.is_away());
        next.ended(false);
        assert!(!next.is_away());
        next.ended(true);
        next.update(false, now);
        assert!(!next.is_away());
    }

    #[test]
    fn degraded_store_is_read_at_once_and_again_when_it_is_well() {
        let now = Instant::now();
        let mut next = NextRead::new(now);
        next.read(INTERVAL, now);
        next.update(false, now);
        assert_eq!(next.at, now + INTERVAL);
        next.update(true, now);
        assert_eq!(next.at, now);
        next.read(INTERVAL, now);
        assert_eq!(next.at, now + DEGRADED_INTERVAL);
        next.read(INTERVAL, now);
        next.update(false, now);
        assert_eq!(next.at, now + LAG.unsigned_abs());
        next.read(INTERVAL, now);
        assert_eq!(next.at, now + INTERVAL);
        assert!(next.gap_ended_at().is_some());
    }
}
