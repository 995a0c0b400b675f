//! What was turned away, per connection: reason, count and when last; and which registered webhooks were refused since one
//! of their deliveries was last accepted. Never a body.
//!
//! In memory only: an invalid signature never costs a write.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::delivery::ConnectionId;
use crate::platforms::ClaimedWebhook;

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

/// Times of refusals that are remembered of one webhook.
const MAX_TIMES: usize = 16;

/// A webhook whose requests were refused since one of its deliveries was last accepted. The headers that name it prove
/// nothing: see `monitor::decide::confirmed`.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedWebhook {
    /// The webhook that the requests named.
    pub webhook: ClaimedWebhook,
    /// The last reason, as a bounded word.
    pub reason: &'static str,
    /// The latest refusals, oldest first.
    pub times: Vec<Timestamp>,
}

/// The rejections of all connections since the program started.
#[derive(Debug, Default)]
pub struct Rejections {
    counts: Mutex<BTreeMap<ConnectionId, Vec<RejectionCount>>>,
    webhooks: Mutex<BTreeMap<ConnectionId, Webhooks>>,
}

/// The registered webhooks of one connection, by their ids.
#[derive(Debug, Default)]
struct Webhooks {
    refused: BTreeMap<String, RefusedWebhook>,
    accepted: BTreeMap<String, Timestamp>,
}

impl Rejections {
    /// Counts one.
    pub fn count(&self, connection: &ConnectionId, reason: &'static str, now: Timestamp) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Only known connections come here, so their number bounds the map.
        if !all.contains_key(connection) {
            all.insert(connection.clone(), Vec::new());
        }
        let Some(counts) = all.get_mut(connection) else {
            return;
        };
        match counts.iter_mut().find(|count| count.reason == reason) {
            Some(count) => {
                count.count += 1;
                count.last_at = now;
            }
            None => counts.push(RejectionCount {
                reason,
                count: 1,
                last_at: now,
            }),
        }
    }

    /// Those of one connection.
    #[must_use]
    pub fn of(&self, connection: &ConnectionId) -> Vec<RejectionCount> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .cloned()
            .unwrap_or_default()
    }

    /// A request that names a registered webhook was refused. Only registered ones come here, so their number is bounded.
    pub fn refuse_webhook(
        &self,
        connection: &ConnectionId,
        webhook: ClaimedWebhook,
        reason: &'static str,
        now: Timestamp,
    ) {
        let mut all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = &mut all.entry(connection.clone()).or_default().refused;
        let entry = refused
            .entry(webhook.id.clone())
            .or_insert_with(|| RefusedWebhook {
                webhook,
                reason,
                times: Vec::new(),
            });
        entry.reason = reason;
        if entry.times.len() >= MAX_TIMES {
            entry.times.remove(0);
        }
        entry.times.push(now);
    }

    /// A delivery of a registered webhook was accepted: what was refused of it before says nothing any more.
    pub fn accept_webhook(&self, connection: &ConnectionId, id: &str, now: Timestamp) {
        let mut all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        let webhooks = all.entry(connection.clone()).or_default();
        webhooks.refused.remove(id);
        webhooks.accepted.insert(id.to_owned(), now);
    }

    /// The registered webhooks of a connection that were refused since they were last accepted.
    #[must_use]
    pub fn refused_webhooks(&self, connection: &ConnectionId) -> Vec<RefusedWebhook> {
        let all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection).map_or_else(Vec::new, |webhooks| {
            webhooks.refused.values().cloned().collect()
        })
    }

    /// When a delivery of a registered webhook was last accepted.
    #[must_use]
    pub fn webhook_accepted_at(&self, connection: &ConnectionId, id: &str) -> Option<Timestamp> {
        let all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection)?.accepted.get(id).copied()
    }
}
