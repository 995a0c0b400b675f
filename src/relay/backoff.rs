//! How long to wait before an event is tried again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(30);

/// After that many failed attempts: doubling from a quarter of a second to half a minute.
#[must_use]
pub fn after(attempts: u32) -> Duration {
    FIRST
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_and_has_an_end() {
        assert_eq!(after(1), Duration::from_millis(250));
        assert_eq!(after(3), Duration::from_secs(1));
        assert_eq!(after(u32::MAX), Duration::from_secs(30));
    }
}
