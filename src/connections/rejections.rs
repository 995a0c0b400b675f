//! What was turned away, per connection: reason, count and when last. Never a body, never more than one line a reason.
//!
//! In memory only: an invalid signature never costs a write.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::delivery::ConnectionId;

/// How often a reason was met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RejectionCount {
    /// A bounded word.
    pub reason: &'static str,
    /// Times since the start of the program.
    pub count: u64,
    /// The last time.
    pub last_at: Timestamp,
}

/// The rejections of all connections since the program started.
#[derive(Debug, Default)]
pub struct Rejections(Mutex<BTreeMap<ConnectionId, Vec<RejectionCount>>>);

impl Rejections {
    /// Counts one. Is it the first of its kind, or the first for a minute? Then it is worth a line in the log.
    pub fn count(&self, connection: &ConnectionId, reason: &'static str, now: Timestamp) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only known connections come here, so their number bounds the map.
        if !all.contains_key(connection) {
            all.insert(connection.clone(), Vec::new());
        }
        let Some(counts) = all.get_mut(connection) else {
            return false;
        };
        match counts.iter_mut().find(|count| count.reason == reason) {
            Some(count) => {
                let quiet = now.as_second() - count.last_at.as_second() >= 60;
                count.count += 1;
                count.last_at = now;
                quiet
            }
            None => {
                counts.push(RejectionCount {
                    reason,
                    count: 1,
                    last_at: now,
                });
                true
            }
        }
    }

    /// Those of one connection.
    #[must_use]
    pub fn of(&self, connection: &ConnectionId) -> Vec<RejectionCount> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .cloned()
            .unwrap_or_default()
    }
}
