//! Limits the request rate of each connection: an average per minute, with a burst after an idle time.
//!
//! Waiting requests are sent in the order of their arrival.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::ConnectionId;
use crate::platforms::api::Pace;

/// The rate limiters of all connections.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<ConnectionId, Turns>>);

#[derive(Clone, Copy, Debug)]
struct Turns {
    /// When the average rate will have covered all requests so far.
    used_until: Instant,
    /// No request before this time, because the store sent `Retry-After`.
    rests_until: Instant,
    /// Average time between two requests.
    each: Duration,
    /// Time that a burst may be ahead of the average rate.
    ahead: Duration,
}

/// Number of connections above which idle ones are removed.
const MAX_CONNECTIONS: usize = 10_000;

impl Paces {
    /// Waits until a request may be sent. Does not wait if the store requires a wait above `longest`.
    ///
    /// # Errors
    /// The wait that the store requires, if it is above `longest`.
    pub(super) async fn wait(
        &self,
        connection: &ConnectionId,
        pace: Pace,
        longest: Duration,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let rests_until = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .map(|turns| turns.rests_until);
        if let Some(rest) = rests_until
            .map(|until| until.saturating_duration_since(now))
            .filter(|rest| *rest > longest)
        {
            return Err(rest);
        }
        tokio::time::sleep_until(self.turn(connection, pace, now)).await;
        Ok(())
    }

    /// Sends no request for this time. Afterwards requests are sent at the average rate, without a burst.
    pub(super) fn rest(&self, connection: &ConnectionId, rest: Duration) {
        if let Some(turns) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(connection)
        {
            turns.rests_until = turns.rests_until.max(Instant::now() + rest);
            turns.used_until = turns
                .used_until
                .max(turns.rests_until + turns.ahead.saturating_sub(turns.each));
        }
    }

    fn turn(&self, connection: &ConnectionId, pace: Pace, now: Instant) -> Instant {
        let each = Duration::from_secs(60) / pace.per_minute.max(1);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_CONNECTIONS {
            all.retain(|_, turns| turns.used_until > now || turns.rests_until > now);
        }
        let ahead = each * pace.burst.max(1);
        let turns = all.entry(connection.clone()).or_insert(Turns {
            used_until: now,
            rests_until: now,
            each,
            ahead,
        });
        turns.used_until = turns.used_until.max(now).max(turns.rests_until) + each;
        // A burst may be ahead of the average rate.
        turns
            .used_until
            .checked_sub(ahead)
            .map_or(now, |turn| turn.max(now))
            .max(turns.rests_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        per_minute: 60,
        burst: 3,
    };

    #[tokio::test]
    async fn a_burst_goes_at_once_and_then_each_waits_for_its_turn() {
        let (paces, now) = (Paces::default(), Instant::now());
        let (shop, other) = (
            ConnectionId::new("shop").expect("an id"),
            ConnectionId::new("other").expect("an id"),
        );
        let turns: Vec<u64> = (0..6)
            .map(|_| (paces.turn(&shop, PACE, now) - now).as_secs())
            .collect();
        assert_eq!(turns, [0, 0, 0, 1, 2, 3]);
        assert_eq!(
            paces.turn(&other, PACE, now),
            now,
            "connections do not wait for each other"
        );
        let later = now + Duration::from_secs(60);
        assert_eq!(
            paces.turn(&shop, PACE, later),
            later,
            "after a rest a burst goes at once again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_wants_rest_gets_it_and_no_burst_afterwards() {
        let (paces, longest) = (Paces::default(), Duration::from_secs(40));
        let shop = ConnectionId::new("shop").expect("an id");
        let wait = || paces.wait(&shop, PACE, longest);
        assert_eq!(wait().await, Ok(()));
        let started = Instant::now();
        paces.rest(&shop, Duration::from_secs(30));
        assert_eq!(wait().await, Ok(()));
        assert!(started.elapsed() >= Duration::from_secs(30));
        let after = Instant::now();
        assert_eq!((wait().await, wait().await), (Ok(()), Ok(())));
        assert!(
            after.elapsed() >= Duration::from_secs(2),
            "one after another"
        );
        paces.rest(&shop, Duration::from_secs(3600));
        assert!(
            wait().await.is_err_and(|rest| rest > longest),
            "an hour is not waited for"
        );
    }
}
