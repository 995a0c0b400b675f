//! When deliveries arrived, per connection, and whether it is quieter than usual: pure.
//!
//! It is told of arrivals and asks nobody.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::delivery::ConnectionId;
use crate::journal::Arrival;
use crate::journal::entry::Position;

/// Older arrivals tell nothing of what is usual.
const WINDOW: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Of many arrivals within that time, the first and the last are enough to know the pauses.
const MOMENT: SignedDuration = SignedDuration::from_mins(15);
/// Arrivals remembered of each connection.
const REMEMBERED: usize = 500;
/// With fewer, nobody knows what is usual.
const FEW: usize = 10;
/// Whoever was heard of for less than that has shown no night yet.
const NIGHTS: SignedDuration = SignedDuration::from_hours(48);
/// Never silent before that, where nights are known.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// Never silent before that, where they are not.
const LONG_PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// The arrivals of all connections. Those of an app's installations count for the app as well.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Everything up to here was heard of.
    through: Position,
    times: HashMap<ConnectionId, VecDeque<Timestamp>>,
}

impl Arrivals {
    /// Where to go on.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }

    /// Hears of arrivals, newest first.
    pub fn hear(&mut self, newest_first: &[Arrival]) {
        for arrival in newest_first.iter().rev() {
            self.through = self.through.max(arrival.position);
            self.add(&arrival.connection, arrival.received_at);
            if arrival.endpoint != arrival.connection {
                self.add(&arrival.endpoint, arrival.received_at);
            }
        }
    }

    /// Forgets connections that are there no more.
    pub fn retain(&mut self, is_there: impl Fn(&ConnectionId) -> bool) {
        self.times.retain(|id, _| is_there(id));
    }

    fn add(&mut self, id: &ConnectionId, at: Timestamp) {
        let times = match self.times.get_mut(id) {
            Some(times) => times,
            None => self.times.entry(id.clone()).or_default(),
        };
        if times
            .get(1)
            .is_some_and(|second| at.duration_since(*second) < MOMENT)
        {
            times.pop_front();
        }
        times.push_front(at);
        times.truncate(REMEMBERED);
    }

    /// When the last delivery of a connection arrived.
    #[must_use]
    pub fn last(&self, id: &ConnectionId) -> Option<Timestamp> {
        self.times.get(id)?.front().copied()
    }

    /// Is a connection silent against its usual rhythm: for more than twice its longest pause?
    #[must_use]
    pub fn is_silent(&self, id: &ConnectionId, now: Timestamp) -> bool {
        self.times
            .get(id)
            .is_some_and(|times| is_silent(times.iter().copied(), now))
    }
}

fn is_silent(newest_first: impl Iterator<Item = Timestamp>, now: Timestamp) -> bool {
    let times: Vec<Timestamp> = newest_first
        .take_while(|at| now.duration_since(*at) <= WINDOW)
        .collect();
    let (Some(last), Some(first)) = (times.first(), times.last()) else {
        return false;
    };
    let longest = times
        .windows(2)
        .map(|pair| pair[0].duration_since(pair[1]))
        .max()
        .unwrap_or_default();
    let patience = if last.duration_since(*first) >= NIGHTS {
        PATIENCE
    } else {
        LONG_PATIENCE
    };
    times.len() >= FEW && now.duration_since(*last) > patience.max(longest.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ConnectionId {
        ConnectionId::new(name).expect("an id")
    }

    /// Minutes since some day, newest first.
    fn silent(minutes: &[i64], now: i64) -> bool {
        let at = |minute: i64| Timestamp::from_second(1_700_000_000 + minute * 60).expect("a time");
        is_silent(minutes.iter().rev().map(|minute| at(*minute)), at(now))
    }

    #[test]
    fn a_connection_is_silent_after_twice_its_longest_pause() {
        // Every six hours for five days.
        let steady: Vec<i64> = (0..20).map(|number| number * 360).collect();
        assert!(!silent(&steady, 19 * 360 + 719));
        assert!(silent(&steady, 19 * 360 + 721));
        // Every ten minutes by day, twelve hours of night.
        let days: Vec<i64> = (0..4)
            .flat_map(|day| (0..72).map(move |number| day * 1440 + number * 10))
            .collect();
        let last = days[days.len() - 1];
        assert!(
            !silent(&days, last + 23 * 60),
            "longer than any pause, and not twice as long"
        );
        assert!(silent(&days, last + 25 * 60));
    }

    #[test]
    fn nobody_is_silent_within_an_hour_nor_on_few_deliveries_nor_on_a_first_afternoon() {
        let busy: Vec<i64> = (0..6000).collect();
        assert!(!silent(&busy, 5999 + 60) && silent(&busy, 5999 + 61));
        assert!(!silent(
            &(0..9).map(|number| number * 600).collect::<Vec<_>>(),
            17_000
        ));
        let tried: Vec<i64> = (0..30).collect();
        assert!(
            !silent(&tried, 29 + 60) && !silent(&tried, 29 + 1439),
            "its nights are not known yet"
        );
        assert!(silent(&tried, 29 + 1441));
        assert!(!silent(&[], 0));
        assert!(
            !silent(&tried, 29 + 30 * 1440),
            "what is that old tells nothing"
        );
    }

    #[test]
    fn many_arrivals_within_a_moment_are_remembered_as_few_and_keep_the_last() {
        let arrival = |number: i64| Arrival {
            position: number,
            endpoint: id("app"),
            connection: id("site"),
            received_at: Timestamp::from_second(1_700_000_000 + number).expect("a time"),
        };
        let mut arrivals = Arrivals::default();
        let newest_first: Vec<Arrival> = (1..=7200).rev().map(arrival).collect();
        arrivals.hear(&newest_first);
        assert_eq!(arrivals.through(), 7200);
        for name in ["app", "site"] {
            assert_eq!(arrivals.last(&id(name)), Some(arrival(7200).received_at));
            let remembered = arrivals.times[&id(name)].len();
            assert!((8..=18).contains(&remembered), "{remembered} of two hours");
        }
        arrivals.retain(|known| *known == id("app"));
        assert_eq!(arrivals.last(&id("site")), None);
    }
}
