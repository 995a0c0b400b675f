//! When each connection's last delivery and last ping arrived, since the start of the program. In memory only.
//!
//! The journal has the deliveries. The gateway stores at most one ping of a connection in ten seconds, because pings are not
//! signed and an attacker could cause a commit with each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::delivery::ConnectionId;

/// Maximum number of connections in memory: a sender with a key can name any number of installations.
const MAX_CONNECTIONS: usize = 20_000;

/// Minimum time between two stored pings of a connection, in seconds.
const PING_INTERVAL_SECONDS: i64 = 10;

/// The last accepted deliveries and the last pings of all connections.
#[derive(Debug, Default)]
pub struct Accepted {
    deliveries: Mutex<HashMap<ConnectionId, Timestamp>>,
    pings: Mutex<HashMap<ConnectionId, Ping>>,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    at: Timestamp,
    is_taken: bool,
}

impl Accepted {
    /// Records an accepted delivery.
    pub fn note(&self, connection: &ConnectionId, now: Timestamp) {
        let mut all = self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = all.get_mut(connection) {
            *last = now;
        } else if all.len() < MAX_CONNECTIONS {
            all.insert(connection.clone(), now);
        }
    }

    /// When the last delivery of the connection was accepted.
    #[must_use]
    pub fn last(&self, connection: &ConnectionId) -> Option<Timestamp> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .copied()
    }

    /// Records a ping. The connection must exist: the number of connections bounds the memory.
    pub fn note_ping(&self, connection: &ConnectionId, now: Timestamp) {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = pings.get(connection).is_none_or(|last| {
            now.as_second().saturating_sub(last.at.as_second()) >= PING_INTERVAL_SECONDS
        });
        if is_due {
            let ping = Ping {
                at: now,
                is_taken: false,
            };
            pings.insert(connection.clone(), ping);
        }
    }

    /// Returns the recorded pings that were not returned before.
    pub fn take_pings(&self) -> Vec<(ConnectionId, Timestamp)> {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        for (connection, ping) in pings.iter_mut().filter(|(_, ping)| !ping.is_taken) {
            ping.is_taken = true;
            taken.push((connection.clone(), ping.at));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_pings_is_recorded_once_in_ten_seconds() {
        let (accepted, id) = (
            Accepted::default(),
            ConnectionId::new("shop").expect("an id"),
        );
        let at = |second| Timestamp::from_second(second).expect("a time");
        for second in 0..10 {
            accepted.note_ping(&id, at(second));
        }
        assert_eq!(accepted.take_pings(), [(id.clone(), at(0))]);
        assert_eq!(accepted.take_pings(), []);
        accepted.note_ping(&id, at(10));
        assert_eq!(accepted.take_pings(), [(id, at(10))]);
    }
}
