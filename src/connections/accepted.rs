//! When a delivery of each connection was last accepted, since the program started. In memory only: the journal has the rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::delivery::ConnectionId;

/// Connections that are remembered: a sender with a key could name any number of installations.
const MOST: usize = 20_000;

/// The last deliveries of all connections.
#[derive(Debug, Default)]
pub struct Accepted(Mutex<HashMap<ConnectionId, Timestamp>>);

impl Accepted {
    /// A delivery of this connection was accepted.
    pub fn note(&self, connection: &ConnectionId, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = all.get_mut(connection) {
            *last = now;
        } else if all.len() < MOST {
            all.insert(connection.clone(), now);
        }
    }

    /// When the last one was.
    #[must_use]
    pub fn last(&self, connection: &ConnectionId) -> Option<Timestamp> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .copied()
    }
}
