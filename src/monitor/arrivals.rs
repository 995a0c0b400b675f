//! The arrival times of each connection's deliveries, and the detection of silent connections. This module does no I/O.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::delivery::ConnectionId;
use crate::journal::Arrival;
use crate::journal::entry::Position;

/// Maximum number of arrivals that are read from the journal at once. If more arrived since the last read, the others are
/// skipped: the pauses between them are short.
pub const MAX_ARRIVALS_READ: u32 = 5_000;

/// Arrivals older than this do not count as part of the usual rhythm.
const RHYTHM_WINDOW: SignedDuration = SignedDuration::from_hours(14 * 24);
/// If many deliveries arrive within this time, only the first and the last are stored. Two are enough to measure
/// pauses.
const BURST_TIME: SignedDuration = SignedDuration::from_mins(15);
/// Maximum number of arrivals that are stored for one connection.
const MAX_ARRIVALS: usize = 500;
/// Minimum number of arrivals for a known rhythm.
const MIN_ARRIVALS: usize = 10;
/// Minimum time between the first and the last arrival for which the pauses at night count as known.
const NIGHTS_TIME: SignedDuration = SignedDuration::from_hours(48);
/// Minimum silence of a connection whose pauses at night are known.
const MIN_SILENCE: SignedDuration = SignedDuration::from_hours(1);
/// Minimum silence of a connection whose pauses at night are not known.
const MIN_SILENCE_WITHOUT_NIGHTS: SignedDuration = SignedDuration::from_hours(24);

/// The arrivals of all connections. An arrival of an app's installation also counts for the app.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// The newest position of the journal that was added.
    through: Position,
    times: HashMap<ConnectionId, VecDeque<Timestamp>>,
}

impl Arrivals {
    /// The position after which the next arrivals are read.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }

    /// Adds arrivals, newest first.
    pub fn add(&mut self, newest_first: &[Arrival]) {
        for arrival in newest_first.iter().rev() {
            self.through = self.through.max(arrival.position);
            self.add_time(&arrival.connection, arrival.received_at);
            if arrival.endpoint != arrival.connection {
                self.add_time(&arrival.endpoint, arrival.received_at);
            }
        }
    }

    /// Removes the connections for which `exists` returns `false`.
    pub fn retain(&mut self, exists: impl Fn(&ConnectionId) -> bool) {
        self.times.retain(|id, _| exists(id));
    }

    fn add_time(&mut self, id: &ConnectionId, at: Timestamp) {
        let times = match self.times.get_mut(id) {
            Some(times) => times,
            None => self.times.entry(id.clone()).or_default(),
        };
        let second = times.get(1);
        if second.is_some_and(|second| at.duration_since(*second) < BURST_TIME) {
            times.pop_front();
        }
        times.push_front(at);
        times.truncate(MAX_ARRIVALS);
    }

    /// When the last delivery of a connection arrived.
    #[must_use]
    pub fn last(&self, id: &ConnectionId) -> Option<Timestamp> {
        self.times.get(id)?.front().copied()
    }

    /// `true` if a connection is silent for more than twice its longest pause.
    #[must_use]
    pub fn is_silent(&self, id: &ConnectionId, now: Timestamp) -> bool {
        self.times
            .get(id)
            .is_some_and(|times| is_silent(times.iter().copied(), now))
    }
}

fn is_silent(newest_first: impl Iterator<Item = Timestamp>, now: Timestamp) -> bool {
    let times: Vec<Timestamp> = newest_first
        .take_while(|at| now.duration_since(*at) <= RHYTHM_WINDOW)
        .collect();
    let (Some(last), Some(first)) = (times.first(), times.last()) else {
        return false;
    };
    let longest_pause = times
        .windows(2)
        .map(|pair| pair[0].duration_since(pair[1]))
        .max()
        .unwrap_or_default();
    let min_silence = if last.duration_since(*first) >= NIGHTS_TIME {
        MIN_SILENCE
    } else {
        MIN_SILENCE_WITHOUT_NIGHTS
    };
    let usual = min_silence.max(longest_pause.saturating_mul(2));
    times.len() >= MIN_ARRIVALS && now.duration_since(*last) > usual
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ConnectionId {
        ConnectionId::new(name).expect("the connection id should be valid")
    }

    /// The result of `is_silent` for arrivals at these minutes, oldest first, at the minute `now`.
    fn silent(minutes: &[i64], now: i64) -> bool {
        let at = |minute: i64| {
            Timestamp::from_second(1_700_000_000 + minute * 60).expect("the time should be valid")
        };
        is_silent(minutes.iter().rev().map(|minute| at(*minute)), at(now))
    }

    #[test]
    fn a_connection_is_silent_after_twice_its_longest_pause() {
        // Every six hours for five days.
        let steady: Vec<i64> = (0..20).map(|number| number * 360).collect();
        assert!(!silent(&steady, 19 * 360 + 719));
        assert!(silent(&steady, 19 * 360 + 721));
        // Every ten minutes by day, and nothing during twelve hours of the night.
        let days: Vec<i64> = (0..4)
            .flat_map(|day| (0..72).map(move |number| day * 1440 + number * 10))
            .collect();
        let last = days[days.len() - 1];
        assert!(!silent(&days, last + 23 * 60));
        assert!(silent(&days, last + 25 * 60));
    }

    #[test]
    fn a_short_silence_or_a_short_history_is_not_silent() {
        let busy: Vec<i64> = (0..6000).collect();
        assert!(!silent(&busy, 5999 + 60) && silent(&busy, 5999 + 61));
        let few: Vec<i64> = (0..9).map(|number| number * 600).collect();
        assert!(!silent(&few, 17_000));
        let first_day: Vec<i64> = (0..30).collect();
        assert!(!silent(&first_day, 29 + 60) && !silent(&first_day, 29 + 1439));
        assert!(silent(&first_day, 29 + 1441));
        assert!(!silent(&[], 0));
        assert!(
            !silent(&first_day, 29 + 30 * 1440),
            "old arrivals should not count"
        );
    }

    #[test]
    fn only_some_arrivals_of_a_burst_are_stored_and_always_the_last() {
        let arrival = |number: i64| Arrival {
            position: number,
            endpoint: id("app"),
            connection: id("site"),
            received_at: Timestamp::from_second(1_700_000_000 + number)
                .expect("the time should be valid"),
        };
        let mut arrivals = Arrivals::default();
        let newest_first: Vec<Arrival> = (1..=7200).rev().map(arrival).collect();
        arrivals.add(&newest_first);
        assert_eq!(arrivals.through(), 7200);
        for name in ["app", "site"] {
            assert_eq!(arrivals.last(&id(name)), Some(arrival(7200).received_at));
            let stored = arrivals.times[&id(name)].len();
            assert!(
                (8..=18).contains(&stored),
                "{stored} arrivals of two hours are stored"
            );
        }
        arrivals.retain(|known| *known == id("app"));
        assert_eq!(arrivals.last(&id("site")), None);
    }
}
