//! Decides when the webhooks of a connection are repaired and when a repair is repeated.

use std::time::Duration;

use tokio::time::Instant;

/// Minimum wait after each repair of a connection, by the number of earlier repairs.
const WAITS: [Duration; 4] = [
    Duration::from_secs(600),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(24 * 3600),
];

/// The repairs of a connection since the gateway started.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    count: usize,
    not_before: Option<Instant>,
    /// `true` if the next check is a repair.
    pub(super) is_due: bool,
}

impl Repairs {
    /// Called when a check found webhooks to repair. The repair is due unless the wait after the last one has not
    /// ended.
    pub(super) fn request(&mut self, now: Instant) {
        self.is_due = self.not_before.is_none_or(|not_before| now >= not_before);
    }

    /// Called when a repair begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.is_due = false;
        self.not_before = Some(now + WAITS[self.count.min(WAITS.len() - 1)]);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_repairs_wait_at_least_the_configured_time() {
        let start = Instant::now();
        let mut repairs = Repairs::default();
        repairs.request(start);
        assert!(repairs.is_due);
        repairs.begin(start);
        for (count, wait) in WAITS.into_iter().chain([WAITS[3]]).enumerate() {
            let again = repairs.not_before.expect("a wait should be set");
            repairs.request(again - Duration::from_secs(1));
            assert!(!repairs.is_due, "{count}");
            repairs.request(again);
            assert!(repairs.is_due, "{count}");
            repairs.begin(again);
            assert!(repairs.not_before.expect("a wait should be set") >= again + wait);
        }
    }
}
