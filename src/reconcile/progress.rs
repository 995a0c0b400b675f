//! How each connection is followed, and how far its store has been read. Pure.

use jiff::Timestamp;
use serde::Serialize;

use crate::connections::{Connection, Polling};
use crate::journal::StoreRead;
use crate::platforms::api::ReadableList;
use crate::platforms::store_api;

/// How a connection is followed, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadProgress {
    /// `webhooks` or `polling`.
    pub followed_by: &'static str,
    /// Age of the time up to which the store's orders have been read; `None` if they were never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<u64>,
}

impl ReadProgress {
    /// `reads` are the stored reads of the connection's store.
    #[must_use]
    pub fn of(connection: &Connection, reads: &[StoreRead], now: Timestamp) -> Self {
        let lists = store_api(&connection.platform).map_or(&[][..], |api| api.readable_lists());
        let is_urgent = |read: &StoreRead| {
            let is_of = |list: &&ReadableList| list.name == read.entity;
            lists
                .iter()
                .find(is_of)
                .is_some_and(|list| list.poll_interval.is_zero())
        };
        let urgent = reads.iter().filter(|read| is_urgent(read));
        let behind = urgent.map(|read| now.duration_since(read.watermark)).max();
        Self {
            followed_by: match Polling::of(connection) {
                Some(_) => "polling",
                None => "webhooks",
            },
            behind_seconds: behind.map(|behind| behind.as_secs().try_into().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ConnectionId;

    #[test]
    fn connection_is_as_far_behind_as_its_orders() {
        let id = ConnectionId::new("shop").expect("an id");
        let connection = Connection::new(id, "wix", "wix-site", Timestamp::UNIX_EPOCH);
        let read = |entity: &str, second: i64| StoreRead {
            entity: entity.to_owned(),
            watermark: Timestamp::from_second(second).expect("a time"),
            until: None,
            cursor: None,
            finished_at: None,
            failure: None,
        };
        let now = Timestamp::from_second(100).expect("a time");
        let progress =
            ReadProgress::of(&connection, &[read("order", 70), read("product", 10)], now);
        assert_eq!(progress.followed_by, "polling");
        assert_eq!(progress.behind_seconds, Some(30));
        let webhooks = Connection {
            kind: "wix-app".to_owned(),
            ..connection
        };
        let progress = ReadProgress::of(&webhooks, &[], now);
        assert_eq!(
            (progress.followed_by, progress.behind_seconds),
            ("webhooks", None)
        );
    }
}
