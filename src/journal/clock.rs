//! The believed time, by which retention removes old entries.
//!
//! The system's clock may be wrong: ahead for seconds after a wrong synchronization, or since the start of the process. An
//! age by a wrong clock would remove entries that no consumer has read. So the believed time advances with the monotonic
//! clock. A system clock that is ahead is believed after [`SETTLE_TIME`]. One that is behind is believed at once, because it
//! removes less. The believed time is stored, so that a restart does not change it.

use std::time::{Duration, Instant};

/// How long a clock must be ahead before it is believed.
const SETTLE_TIME: Duration = Duration::from_secs(3_600);
/// Milliseconds by which the system's clock may be ahead without a wait, for small corrections.
const TOLERANCE: i64 = 2_000;

/// The believed time.
#[derive(Clone, Debug)]
pub(super) struct BelievedClock {
    /// Milliseconds since 1970, at the instant `at`.
    believed: i64,
    at: Instant,
    /// `false` until the first reading after a start.
    has_run: bool,
    /// For a system clock that is ahead: the lead in milliseconds, and since when.
    ahead: Option<(i64, Instant)>,
}

impl BelievedClock {
    pub(super) fn new(believed: i64, at: Instant) -> Self {
        Self {
            believed,
            at,
            has_run: false,
            ahead: None,
        }
    }

    /// The believed time at an instant. `system` is the time of the system's clock.
    pub(super) fn at(&mut self, system: i64, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.at).as_millis();
        self.believed = self
            .believed
            .saturating_add(i64::try_from(elapsed).unwrap_or(0));
        self.at = now;
        let has_run = std::mem::replace(&mut self.has_run, true);
        let ahead = system.saturating_sub(self.believed);
        if ahead <= TOLERANCE {
            self.believed = system;
            self.ahead = None;
            return self.believed;
        }
        match self.ahead {
            Some((offset, since)) if (ahead - offset).abs() <= TOLERANCE => {
                if now.saturating_duration_since(since) >= SETTLE_TIME {
                    self.believed = system;
                    self.ahead = None;
                }
            }
            _ => {
                report(ahead / 1_000, has_run);
                self.ahead = Some((ahead, now));
            }
        }
        self.believed
    }
}

fn report(ahead_seconds: i64, has_run: bool) {
    if has_run {
        tracing::warn!(
            ahead_seconds,
            "system clock was set ahead; retention by age ignores it for an hour"
        );
    } else {
        tracing::info!(
            ahead_seconds,
            "the gateway did not run for a time, or the system clock was set ahead; retention by age ignores that time for an hour"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_only() {
        let begin = Instant::now();
        let second = |seconds| begin + Duration::from_secs(seconds);
        let mut clock = BelievedClock::new(0, begin);
        assert_eq!(clock.at(1_000, second(1)), 1_000);
        assert_eq!(clock.at(31 * DAY, second(2)), 2_000, "not at once");
        assert_eq!(clock.at(31 * DAY + 8_000, second(10)), 10_000);
        assert_eq!(clock.at(11_000, second(11)), 11_000, "it was corrected");
        assert_eq!(clock.at(31 * DAY, second(12)), 12_000);
        assert_eq!(clock.at(31 * DAY + 3_599_000, second(3_611)), 3_611_000);
        let stood = 31 * DAY + 3_600_000;
        assert_eq!(clock.at(stood, second(3_612)), stood);
    }

    #[test]
    fn a_clock_that_is_behind_is_believed_at_once() {
        let begin = Instant::now();
        let mut clock = BelievedClock::new(10 * DAY, begin);
        assert_eq!(clock.at(DAY, begin), DAY);
        let later = begin + Duration::from_secs(1);
        assert_eq!(clock.at(10 * DAY, later), DAY + 1_000, "and back again");
    }
}
