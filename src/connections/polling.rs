//! Connections that are followed by polling: their stores send no webhooks, so the gateway reads them at short intervals.

use std::time::Duration;

use jiff::Timestamp;

use super::connection::{Connection, INSTALLATION_KIND};
use crate::platforms::{FOLLOWED_BY, POLLING};

/// The setting with the time from which changes are published, RFC 3339.
pub const POLL_FROM: &str = "poll_from";
/// The setting with the seconds between two polls.
pub const POLL_INTERVAL_SECONDS: &str = "poll_interval_seconds";

/// How a store is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    /// Time between two polls; `None` for the gateway's default.
    pub interval: Option<Duration>,
    /// Changes after this time are published.
    pub from: Timestamp,
}

impl Polling {
    /// `None` for a connection that is followed by webhooks.
    #[must_use]
    pub fn of(connection: &Connection) -> Option<Self> {
        let setting = |name: &str| connection.settings.get(name);
        let has_webhooks = connection.kind == INSTALLATION_KIND
            || connection
                .described_kind()
                .is_none_or(|kind| kind.receives_webhooks);
        if has_webhooks && setting(FOLLOWED_BY).is_none_or(|mode| mode != POLLING) {
            return None;
        }
        let seconds = setting(POLL_INTERVAL_SECONDS).and_then(|seconds| seconds.parse().ok());
        let from = setting(POLL_FROM).and_then(|time| time.parse().ok());
        Some(Self {
            interval: seconds.map(Duration::from_secs),
            from: from.unwrap_or(connection.created_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ConnectionId;

    fn polling(kind: &str, settings: &[(&str, &str)]) -> Option<Polling> {
        let id = ConnectionId::new("shop").expect("an id");
        let mut connection = Connection::new(id, "any", kind, Timestamp::UNIX_EPOCH);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        connection.settings = settings.iter().map(owned).collect();
        Polling::of(&connection)
    }

    #[test]
    fn kinds_without_webhooks_and_followed_stores_are_polled() {
        let by_default = Polling {
            interval: None,
            from: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(polling("wix-site", &[]), Some(by_default));
        assert_eq!(polling("woocommerce", &[]), None);
        assert_eq!(polling("wix-app", &[]), None);
        assert_eq!(polling(INSTALLATION_KIND, &[]), None);
        let settings = [
            (FOLLOWED_BY, POLLING),
            (POLL_FROM, "2026-01-01T00:00:00Z"),
            (POLL_INTERVAL_SECONDS, "30"),
        ];
        let followed = polling("woocommerce", &settings).expect("it is polled");
        assert_eq!(followed.interval, Some(Duration::from_secs(30)));
        assert_eq!(followed.from.to_string(), "2026-01-01T00:00:00Z");
    }
}
