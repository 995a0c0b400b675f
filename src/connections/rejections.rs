//! Rejected requests of each connection, and the webhooks that they name. Never a body.
//!
//! In memory only, so that a request with an invalid signature causes no write.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::delivery::ConnectionId;
use crate::platforms::ClaimedWebhook;

/// The rejections of a connection for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RejectionCount {
    /// The reason code.
    pub reason: &'static str,
    /// Number of rejections since the start of the program.
    pub count: u64,
    pub last_at: Timestamp,
}

/// Maximum number of refusals of one webhook whose times are kept.
const MAX_REFUSAL_TIMES: usize = 16;

/// A webhook whose requests were refused since one of its deliveries was last accepted. The headers that name it prove
/// nothing: see `monitor::rejections`.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedWebhook {
    /// The webhook that the requests named.
    pub webhook: ClaimedWebhook,
    /// The last reason code.
    pub reason: &'static str,
    /// The latest refusals, oldest first.
    pub times: Vec<Timestamp>,
}

/// Maximum number of unregistered webhooks of one connection that are kept.
const MAX_UNREGISTERED: usize = 16;
/// Age at which an unregistered webhook is dropped.
const UNREGISTERED_MAX_AGE: SignedDuration = SignedDuration::from_mins(15);

/// A webhook that accepted deliveries named and that the store was not known to have. It may be new at the store, or the
/// headers of a captured delivery were replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct UnregisteredWebhook {
    /// The webhook that the deliveries named.
    pub webhook: ClaimedWebhook,
    /// When the first of these deliveries arrived.
    pub first_at: Timestamp,
}

/// The rejections of all connections since the program started.
#[derive(Debug, Default)]
pub struct Rejections {
    counts: Mutex<BTreeMap<ConnectionId, Vec<RejectionCount>>>,
    unregistered: Mutex<BTreeMap<ConnectionId, Vec<UnregisteredWebhook>>>,
    webhooks: Mutex<BTreeMap<ConnectionId, Webhooks>>,
}

/// The registered webhooks of one connection, by their ids.
#[derive(Debug, Default)]
struct Webhooks {
    refused: BTreeMap<String, RefusedWebhook>,
    accepted: BTreeMap<String, Timestamp>,
}

impl Rejections {
    /// Counts a rejected request. The connection must exist: the number of connections bounds the memory.
    pub fn count(&self, connection: &ConnectionId, reason: &'static str, now: Timestamp) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// The rejections of a connection, by reason.
    #[must_use]
    pub fn of(&self, connection: &ConnectionId) -> Vec<RejectionCount> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(connection)
            .cloned()
            .unwrap_or_default()
    }

    /// Records a rejected request that names a webhook. The webhook must be registered: the number of registered webhooks
    /// bounds the memory.
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
        if entry.times.len() >= MAX_REFUSAL_TIMES {
            entry.times.remove(0);
        }
        entry.times.push(now);
    }

    /// Records an accepted delivery of a registered webhook. It ends the refusals of the webhook.
    pub fn accept_webhook(&self, connection: &ConnectionId, id: &str, now: Timestamp) {
        let mut all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        let webhooks = all.entry(connection.clone()).or_default();
        webhooks.refused.remove(id);
        webhooks.accepted.insert(id.to_owned(), now);
    }

    /// The registered webhooks of a connection that were refused since their last accepted delivery.
    #[must_use]
    pub fn refused_webhooks(&self, connection: &ConnectionId) -> Vec<RefusedWebhook> {
        let all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection).map_or_else(Vec::new, |webhooks| {
            webhooks.refused.values().cloned().collect()
        })
    }

    /// When the last delivery of a registered webhook was accepted.
    #[must_use]
    pub fn webhook_accepted_at(&self, connection: &ConnectionId, id: &str) -> Option<Timestamp> {
        let all = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection)?.accepted.get(id).copied()
    }

    /// Records an accepted delivery that names a webhook which the store is not known to have.
    ///
    /// Only the first delivery of a webhook is recorded. Of too many webhooks the oldest is dropped.
    pub fn note_unregistered(
        &self,
        connection: &ConnectionId,
        webhook: ClaimedWebhook,
        now: Timestamp,
    ) {
        let mut all = self.unregistered();
        let noted = all.entry(connection.clone()).or_default();
        noted.retain(|noted| now.duration_since(noted.first_at) < UNREGISTERED_MAX_AGE);
        if noted.iter().any(|noted| noted.webhook == webhook) {
            return;
        }
        if noted.len() >= MAX_UNREGISTERED {
            noted.remove(0);
        }
        noted.push(UnregisteredWebhook {
            webhook,
            first_at: now,
        });
    }

    /// When the newest unregistered webhook of a connection was first seen.
    #[must_use]
    pub fn unregistered_at(&self, connection: &ConnectionId) -> Option<Timestamp> {
        let all = self.unregistered();
        all.get(connection)?.last().map(|noted| noted.first_at)
    }

    /// Removes and returns the webhooks that are registered by now.
    pub fn take_registered(
        &self,
        is_registered: impl Fn(&ConnectionId, &ClaimedWebhook) -> bool,
    ) -> Vec<(ConnectionId, UnregisteredWebhook)> {
        let mut registered = Vec::new();
        self.unregistered().retain(|connection, noted| {
            noted.retain(|noted| {
                let is_known = is_registered(connection, &noted.webhook);
                if is_known {
                    registered.push((connection.clone(), noted.clone()));
                }
                !is_known
            });
            !noted.is_empty()
        });
        registered
    }

    fn unregistered(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Vec<UnregisteredWebhook>>> {
        self.unregistered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unregistered_webhooks_are_bounded_and_taken_once() {
        let rejections = Rejections::default();
        let shop = ConnectionId::new("shop").expect("an id");
        let webhook = |id: u64| ClaimedWebhook {
            id: id.to_string(),
            topic: "order.updated".to_owned(),
        };
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        for second in 0..40_i64 {
            rejections.note_unregistered(&shop, webhook(99), at(0));
            rejections.note_unregistered(&shop, webhook(second.unsigned_abs()), at(second));
        }
        assert_eq!(rejections.unregistered_at(&shop), Some(at(39)));
        let taken = rejections.take_registered(|_, webhook| webhook.id == "39");
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].1.first_at, at(39));
        assert!(
            rejections
                .take_registered(|_, webhook| webhook.id == "39")
                .is_empty()
        );
        let left = rejections.take_registered(|_, _| true);
        assert_eq!(left.len(), MAX_UNREGISTERED - 1);
        assert_eq!(rejections.unregistered_at(&shop), None);
    }
}
