//! When a delivery or a ping of each connection last arrived, since the program started.
//!
//! In memory only: the journal has the deliveries, and the gateway writes the pings down a few at a time, because a ping is
//! not signed and must not cost a commit each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::delivery::ConnectionId;

/// Connections that are remembered: a sender with a key could name any number of installations.
const MOST: usize = 20_000;

/// Seconds between two pings of a connection that are worth writing down.
const PING_INTERVAL_SECONDS: i64 = 10;

/// The last deliveries and pings of all connections.
#[derive(Debug, Default)]
pub struct Accepted {
    deliveries: Mutex<HashMap<ConnectionId, Timestamp>>,
    pings: Mutex<HashMap<ConnectionId, Ping>>,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    at: Timestamp,
    is_written: bool,
}

impl Accepted {
    /// A delivery of this connection was accepted.
    pub fn note(&self, connection: &ConnectionId, now: Timestamp) {
        let mut all = self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = all.get_mut(connection) {
            *last = now;
        } else if all.len() < MOST {
            all.insert(connection.clone(), now);
        }
    }

    /// When the last one was.
    #[must_use]
    pub fn last(&self, connection: &ConnectionId) -> Option<Timestamp> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .copied()
    }

    /// A ping of this connection arrived. Only known connections come here, so their number bounds the map.
    pub fn note_ping(&self, connection: &ConnectionId, now: Timestamp) {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_worth = pings.get(connection).is_none_or(|last| {
            now.as_second().saturating_sub(last.at.as_second()) >= PING_INTERVAL_SECONDS
        });
        if is_worth {
            let ping = Ping {
                at: now,
                is_written: false,
            };
            pings.insert(connection.clone(), ping);
        }
    }

    /// The pings that were not taken yet.
    pub fn take_pings(&self) -> Vec<(ConnectionId, Timestamp)> {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        for (connection, ping) in pings.iter_mut().filter(|(_, ping)| !ping.is_written) {
            ping.is_written = true;
            taken.push((connection.clone(), ping.at));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_pings_is_taken_once_in_a_while() {
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
