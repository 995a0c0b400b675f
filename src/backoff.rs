//! Exponential backoff: the delay before a retry, doubled with each failure. Pure.

use std::time::Duration;

/// The bounds of a backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The delay after this number of failures without a success between them.
    #[must_use]
    pub fn delay(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_its_maximum() {
        let backoff = Backoff {
            first: Duration::from_millis(250),
            max: Duration::from_secs(30),
        };
        assert_eq!(backoff.delay(0), Duration::from_millis(250));
        assert_eq!(backoff.delay(1), Duration::from_millis(250));
        assert_eq!(backoff.delay(3), Duration::from_secs(1));
        assert_eq!(backoff.delay(u32::MAX), Duration::from_secs(30));
    }
}
