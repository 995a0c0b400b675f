//! Tells the journal what became of entries.
//!
//! Under load not more often than each [`SETTLE_PACE`]: each settlement has a cost of its own, and a broker confirms many
//! events at once as fast as a few. After a rest it happens at once.

use std::time::{Duration, Instant};

use super::{Finished, PAUSE, Relay, disposition, is_over};
use crate::connections::Ownership;
use crate::delivery::ConnectionId;
use crate::event::Event;
use crate::journal::JournalError;
use crate::journal::entry::{Position, Settlement};
use crate::publisher::Publish;
use disposition::Ending;

const SETTLE_PACE: Duration = Duration::from_millis(50);
/// So many settlements do not wait for each other.
const MANY: usize = 256;

impl<P: Publish> Relay<P> {
    pub(super) fn is_settling_due(&self) -> bool {
        self.to_settle.len() >= MANY || is_over(self.settle_not_before)
    }

    pub(super) fn start_settling(&mut self) {
        if self.is_settling || self.to_settle.is_empty() {
            return;
        }
        self.is_settling = true;
        self.settle_not_before = Some(Instant::now() + SETTLE_PACE);
        let settlements = std::mem::take(&mut self.to_settle);
        let journal = self.journal.clone();
        self.work.push(Box::pin(async move {
            let result = journal.settle(settlements.clone()).await;
            if result.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            Finished::Settled(settlements, result)
        }));
    }

    pub(super) fn settled(
        &mut self,
        mut settlements: Vec<Settlement>,
        result: Result<(), JournalError>,
    ) {
        self.is_settling = false;
        if result.is_err() {
            settlements.append(&mut self.to_settle);
            self.to_settle = settlements;
            return;
        }
        for settlement in settlements {
            self.forget(settlement.position);
            let state = settlement.outcome.state().as_str();
            metrics::counter!("cartwire_deliveries_settled_total", "state" => state).increment(1);
        }
    }

    /// A settled entry is in hand no more.
    fn forget(&mut self, position: Position) {
        if let Some(entry) = self.enrichment.take(position) {
            self.installed(&entry);
        }
        self.reopen_claims();
        let Some(held) = self.held.remove(&position) else {
            return;
        };
        if held.is_counted {
            self.shares.remove(&held.connection, held.bytes);
        }
        if self.shares.of(&held.connection).count == 0 {
            self.quotas.reset(&held.connection);
        } else {
            self.quotas.done(&held.connection);
        }
        // It may have been redriven while it was being settled; a pause may wait to be announced behind it.
        if self.passed_over.remove(&held.connection) || self.is_paused(&held.connection) {
            self.backlog.reopen(held.connection.to_string(), 0);
        }
    }

    /// `true` if the connection or the app that it belongs to is paused.
    pub(super) fn is_paused(&self, connection: &ConnectionId) -> bool {
        if self.paused.is_empty() {
            return false;
        }
        let is_parent_paused = match self.directory.ownership(connection) {
            Ownership::Known {
                parent: Some(parent),
            } => self.paused.contains(&parent),
            Ownership::Known { parent: None } | Ownership::Unknown => false,
        };
        is_parent_paused || self.paused.contains(connection)
    }

    /// One of an entry's events is done; with the last one the entry can be settled.
    pub(super) fn event_done(&mut self, position: Position, attempts: u32, ending: Ending) {
        let Some(held) = self.held.get_mut(&position) else {
            return;
        };
        held.waiting = held.waiting.saturating_sub(1);
        held.attempts = held.attempts.saturating_add(attempts);
        held.endings.push(ending);
        if held.waiting == 0 {
            let outcome = disposition::outcome(&held.endings, held.events.clone());
            let (redriven, attempts) = (held.redriven, held.attempts);
            self.to_settle.push(Settlement {
                position,
                redriven,
                attempts,
                outcome,
            });
        }
    }
}

pub(super) fn count(event: &Event, ending: Ending) {
    let ending = match ending {
        Ending::Logged => "logged",
        Ending::Published => "published",
        Ending::Unrouted => "unrouted",
        Ending::Unsubscribed => "unsubscribed",
        Ending::Dead(_) => "dead",
    };
    let (platform, entity) = (event.platform.clone(), event.normalized.entity.name());
    metrics::counter!("cartwire_events_total", "platform" => platform, "entity" => entity, "ending" => ending).increment(1);
}
