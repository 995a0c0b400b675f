//! Settles finished entries in the journal.
//!
//! Each settlement has a fixed cost, and a broker confirms many events as fast as a few. So settlements wait for others for
//! [`SETTLE_INTERVAL`] under load. The first one after an idle time does not wait.

use std::time::{Duration, Instant};

use super::outcome;
use super::state::{Finished, JOURNAL_RETRY_DELAY, Relay, is_reached};
use crate::connections::Ownership;
use crate::delivery::ConnectionId;
use crate::event::Event;
use crate::journal::JournalError;
use crate::journal::entry::{Outcome, Position, Settlement};
use crate::publisher::{Publish, PublishOutcome};

/// Minimum time between two settlements.
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);
/// Number of settlements that do not wait for others.
const SETTLE_AT_ONCE: usize = 256;

impl<P: Publish> Relay<P> {
    pub(super) fn is_settling_due(&self) -> bool {
        self.settling.waiting.len() >= SETTLE_AT_ONCE || is_reached(self.settling.not_before)
    }

    pub(super) fn start_settling(&mut self) {
        if self.settling.is_running || self.settling.waiting.is_empty() {
            return;
        }
        self.settling.is_running = true;
        self.settling.not_before = Some(Instant::now() + SETTLE_INTERVAL);
        let settlements = std::mem::take(&mut self.settling.waiting);
        let journal = self.journal.clone();
        self.work.push(Box::pin(async move {
            let result = journal.settle(settlements.clone()).await;
            if result.is_err() {
                tokio::time::sleep(JOURNAL_RETRY_DELAY).await;
            }
            Finished::Settled {
                settlements,
                result,
            }
        }));
    }

    /// Settlements are on disk, or must be tried again.
    pub(super) fn settled(
        &mut self,
        mut settlements: Vec<Settlement>,
        result: Result<(), JournalError>,
    ) {
        self.settling.is_running = false;
        if result.is_err() {
            settlements.append(&mut self.settling.waiting);
            self.settling.waiting = settlements;
            return;
        }
        for settlement in settlements {
            self.forget(settlement.position);
            let state = settlement.outcome.state().as_str();
            metrics::counter!("cartwire_deliveries_settled_total", "state" => state).increment(1);
        }
    }

    /// A settled entry is not in flight any more.
    fn forget(&mut self, position: Position) {
        if let Some(entry) = self.enrichment.queue.take(position) {
            self.end_installation(&entry);
        }
        self.allow_claims();
        let Some(entry) = self.in_flight.entries.remove(&position) else {
            return;
        };
        self.release_states(&entry);
        let connection = entry.connection;
        if entry.is_counted {
            self.in_flight.shares.remove(&connection, entry.bytes);
        }
        // A connection with a backlog makes progress, also if all its entries in flight are settled at once.
        let has_more =
            self.in_flight.shares.of(&connection).count > 0 || self.intake.backlog.has(&connection);
        if has_more {
            self.in_flight.quotas.done(&connection);
        } else {
            self.in_flight.quotas.reset(&connection);
        }
        // The entry may have been redriven during its settlement, or the announcement of a pause may be behind it.
        if self.intake.passed_over.remove(&connection) || self.is_paused(&connection) {
            self.intake.backlog.reopen(connection.to_string(), 0);
        }
    }

    /// `true` if the connection or its app is paused.
    pub(super) fn is_paused(&self, connection: &ConnectionId) -> bool {
        let paused = &self.intake.paused;
        if paused.is_empty() {
            return false;
        }
        let is_parent_paused = match self.directory.ownership(connection) {
            Ownership::Known {
                parent: Some(parent),
            } => paused.contains(&parent),
            Ownership::Known { parent: None } | Ownership::Unknown => false,
        };
        is_parent_paused || paused.contains(connection)
    }

    /// An event of an entry is finished, with its outcome if it was published. After the last one, the entry is settled.
    pub(super) fn event_finished(
        &mut self,
        position: Position,
        attempts: u32,
        outcome: Option<PublishOutcome>,
    ) {
        let Some(entry) = self.in_flight.entries.get_mut(&position) else {
            return;
        };
        entry.waiting = entry.waiting.saturating_sub(1);
        entry.attempts = entry.attempts.saturating_add(attempts);
        entry.outcomes.extend(outcome);
        if entry.waiting == 0 {
            entry.events.sort_by_key(|event| event.index);
            let outcome = match entry.reason_ignored {
                Some(reason) if entry.outcomes.is_empty() => Outcome::Ignored(reason.into()),
                _ => outcome::of_delivery(&entry.outcomes, entry.events.clone()),
            };
            self.settling.waiting.push(Settlement {
                position,
                redriven: entry.redriven,
                attempts: entry.attempts,
                comparison: entry.comparison(),
                outcome,
            });
        }
    }
}

/// Counts a finished event.
pub(super) fn count_event(event: &Event, outcome: PublishOutcome) {
    let ending = match outcome {
        PublishOutcome::Impossible(_) => "dead",
        outcome => outcome::state_of(outcome).map_or("dead", |state| state.as_str()),
    };
    let (platform, entity) = (event.platform.clone(), event.normalized.entity.name());
    metrics::counter!("cartwire_events_total", "platform" => platform, "entity" => entity, "ending" => ending).increment(1);
}
