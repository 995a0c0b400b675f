//! Limits the request rate of each connection: an average per minute, with a burst after an idle time.
//!
//! Waiting requests are sent in the order of their arrival.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::ConnectionId;
use crate::platforms::api::Pace;

/// The rate limiters of all connections.
#[derive(Debug, Default)]
pub(super) struct RateLimiters(Mutex<HashMap<ConnectionId, RateLimiter>>);

/// Number of connections above which idle ones are removed.
const MAX_CONNECTIONS: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct RateLimiter {
    /// When the average rate will have covered all requests so far.
    used_until: Instant,
    /// No request before this time, because the store refused one for its rate.
    blocked_until: Instant,
    /// Average time between two requests.
    spacing: Duration,
    /// Time that a burst may be ahead of the average rate.
    burst_lead: Duration,
}

impl RateLimiters {
    /// Waits until a request may be sent. Does not wait if the store requires a wait above `max_wait`.
    ///
    /// # Errors
    /// The wait that the store requires, if it is above `max_wait`.
    pub(super) async fn wait(
        &self,
        connection: &ConnectionId,
        pace: Pace,
        max_wait: Duration,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let blocked_until = self
            .all()
            .get(connection)
            .map(|limiter| limiter.blocked_until);
        if let Some(until) = blocked_until {
            let wait = until.saturating_duration_since(now);
            if wait > max_wait {
                return Err(wait);
            }
        }
        let turn = self.take_turn(connection, pace, now);
        tokio::time::sleep_until(turn).await;
        Ok(())
    }

    /// Sends no request for this time. Afterwards requests are sent at the average rate, without a burst.
    pub(super) fn back_off(&self, connection: &ConnectionId, wait: Duration) {
        if let Some(limiter) = self.all().get_mut(connection) {
            limiter.blocked_until = limiter.blocked_until.max(Instant::now() + wait);
            let spent_burst = limiter.burst_lead.saturating_sub(limiter.spacing);
            limiter.used_until = limiter.used_until.max(limiter.blocked_until + spent_burst);
        }
    }

    /// Reserves the time of the next request.
    fn take_turn(&self, connection: &ConnectionId, pace: Pace, now: Instant) -> Instant {
        let spacing = Duration::from_secs(60) / pace.per_minute.max(1);
        let burst_lead = spacing * pace.burst.max(1);
        let mut all = self.all();
        if all.len() >= MAX_CONNECTIONS {
            all.retain(|_, limiter| limiter.used_until > now || limiter.blocked_until > now);
        }
        let limiter = all.entry(connection.clone()).or_insert(RateLimiter {
            used_until: now,
            blocked_until: now,
            spacing,
            burst_lead,
        });
        limiter.used_until = limiter.used_until.max(now).max(limiter.blocked_until) + spacing;
        let turn = limiter.used_until.checked_sub(burst_lead).unwrap_or(now);
        turn.max(now).max(limiter.blocked_until)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ConnectionId, RateLimiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        per_minute: 60,
        burst: 3,
    };

    fn id(name: &str) -> ConnectionId {
        ConnectionId::new(name).expect("the connection id should be valid")
    }

    #[tokio::test]
    async fn requests_after_a_burst_are_spaced() {
        let (limiters, now) = (RateLimiters::default(), Instant::now());
        let (shop, other) = (id("shop"), id("other"));
        let turns: Vec<u64> = (0..6)
            .map(|_| (limiters.take_turn(&shop, PACE, now) - now).as_secs())
            .collect();
        assert_eq!(turns, [0, 0, 0, 1, 2, 3]);
        assert_eq!(
            limiters.take_turn(&other, PACE, now),
            now,
            "connections should not wait for each other"
        );
        let later = now + Duration::from_secs(60);
        assert_eq!(
            limiters.take_turn(&shop, PACE, later),
            later,
            "a burst should be possible again after an idle time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn requests_after_a_back_off_are_spaced_without_a_burst() {
        let (limiters, max_wait) = (RateLimiters::default(), Duration::from_secs(40));
        let shop = id("shop");
        let wait = || limiters.wait(&shop, PACE, max_wait);
        assert_eq!(wait().await, Ok(()));
        let started = Instant::now();
        limiters.back_off(&shop, Duration::from_secs(30));
        assert_eq!(wait().await, Ok(()));
        assert!(started.elapsed() >= Duration::from_secs(30));
        let after = Instant::now();
        assert_eq!((wait().await, wait().await), (Ok(()), Ok(())));
        assert!(after.elapsed() >= Duration::from_secs(2));
        limiters.back_off(&shop, Duration::from_secs(3600));
        assert!(wait().await.is_err_and(|wait| wait > max_wait));
    }
}
