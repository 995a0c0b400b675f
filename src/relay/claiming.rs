//! Claims entries from the journal. Claims are fair: connections take turns, and each gets at most its share of the space for
//! entries in flight.

use std::time::{Duration, Instant};

use super::backlog::Grant;
use super::state::{JOURNAL_RETRY_DELAY, Relay};
use super::take_in::TakenIn;
use crate::delivery::{ConnectionId, ReasonCode};
use crate::journal::entry::{Outcome, Position, Settlement};
use crate::journal::{Claimed, Damaged, Excluded, JournalError, Want};
use crate::publisher::Publish;
use crate::report::ErrorChain;

/// Maximum number of entries that one read claims.
const MAX_CLAIM_ENTRIES: usize = 512;
/// Maximum bytes of their bodies.
const MAX_CLAIM_BYTES: usize = 4 << 20;
/// Minimum number of entries that a claim grants to a connection.
const MIN_CLAIM_ENTRIES: usize = 8;
/// Minimum bytes that a claim grants to a connection.
const MIN_CLAIM_BYTES: usize = 64 << 10;
/// Minimum time between two claims, because each read of the journal has a fixed cost.
const CLAIM_INTERVAL: Duration = Duration::from_millis(10);

impl<P: Publish> Relay<P> {
    pub(super) async fn claim(&mut self) {
        if self.intake.has_arrivals
            && let Err(error) = self.search_arrivals().await
        {
            return self.journal_failed(&error);
        }
        let (wants, full) = self.wants();
        self.intake.is_drained = wants.is_empty();
        self.intake.not_before = Some(Instant::now() + CLAIM_INTERVAL);
        self.shed_load(&full).await;
        if wants.is_empty() {
            return;
        }
        let excluded = Excluded {
            in_flight: self.in_flight.entries.keys().copied().collect(),
            paused_endpoints: self.intake.paused.clone(),
        };
        let claimed = match self.journal.claim(wants.clone(), excluded).await {
            Ok(claimed) => claimed,
            Err(error) => {
                for want in wants {
                    self.intake
                        .backlog
                        .visited(want.connection, Some(want.from));
                }
                return self.journal_failed(&error);
            }
        };
        let positions = claimed
            .iter()
            .flat_map(|claimed| claimed.entries.iter().map(|entry| entry.position));
        self.trials.claimed(positions.collect());
        let mut excess = Vec::new();
        for (want, claimed) in wants.into_iter().zip(claimed) {
            let connection = want.connection.clone();
            let next = self.take_in_all(want, claimed, &mut excess).await;
            self.intake.backlog.visited(connection, next);
        }
        self.publish_without_data(excess).await;
    }

    async fn search_arrivals(&mut self) -> Result<(), JournalError> {
        // An arrival after the search notifies again.
        self.intake.has_arrivals = false;
        let since = self.intake.backlog.since();
        match self.journal.pending_connections(since).await {
            Ok(found) => {
                self.intake.has_arrivals = !found.is_complete;
                self.intake.backlog.found(found);
                Ok(())
            }
            Err(error) => {
                self.intake.has_arrivals = true;
                Err(error)
            }
        }
    }

    /// What to claim now, and the connections without free space.
    fn wants(&mut self) -> (Vec<Want>, Vec<ConnectionId>) {
        let mut full = Vec::new();
        let mut backlog = std::mem::take(&mut self.intake.backlog);
        let mut wants = backlog.wants(Instant::now(), |name| {
            // A damaged row may have an invalid name.
            let Ok(connection) = ConnectionId::new(name) else {
                return Grant::Some {
                    entries: MIN_CLAIM_ENTRIES,
                    bytes: MIN_CLAIM_BYTES,
                };
            };
            self.grant(connection, &mut full)
        });
        self.intake.backlog = backlog;
        let count = wants.len().max(1);
        for want in &mut wants {
            want.entries = want
                .entries
                .min((MAX_CLAIM_ENTRIES / count).max(MIN_CLAIM_ENTRIES));
            want.bytes = want
                .bytes
                .min((MAX_CLAIM_BYTES / count).max(MIN_CLAIM_BYTES));
        }
        (wants, full)
    }

    /// How much a connection may claim now. A connection without free space is added to `full`.
    fn grant(&self, connection: ConnectionId, full: &mut Vec<ConnectionId>) -> Grant {
        let is_in_trial = self.trials.waiting().any(|waiting| *waiting == connection);
        if is_in_trial || self.intake.to_release.contains(&connection) {
            return Grant::None;
        }
        if self.is_paused(&connection) {
            return Grant::Paused;
        }
        let free = self.in_flight.shares.available(&connection);
        if free.count == 0 || free.bytes == 0 {
            full.push(connection);
            return Grant::None;
        }
        let own = self.in_flight.shares.of(&connection).count;
        let quota = self.in_flight.quotas.of(&connection).saturating_sub(own);
        Grant::Some {
            // Entries behind a slow store make no progress, and the broker is not the reason.
            entries: if self.enrichment.queue.is_waiting(&connection) {
                free.count
            } else {
                free.count.min(quota)
            },
            bytes: free.bytes,
        }
    }

    /// Takes in the claimed entries of one connection. Returns the position at which its next claim begins.
    async fn take_in_all(
        &mut self,
        want: Want,
        claimed: Claimed,
        excess: &mut Vec<Position>,
    ) -> Option<Position> {
        if claimed.passed_over
            && let Ok(connection) = ConnectionId::new(&want.connection)
        {
            self.intake.passed_over.insert(connection);
        }
        for damaged in claimed.damaged {
            self.dead_letter_damaged(&want.connection, damaged);
        }
        for entry in claimed.entries {
            let position = entry.position;
            // The size of an entry's events is known only after they were made. Further entries stay in the journal.
            let free = self.in_flight.shares.available(&entry.delivery.connection);
            if free.count == 0 || free.bytes == 0 {
                return Some(position);
            }
            match self.take_in(entry).await {
                Ok(TakenIn::Excess) => excess.push(position),
                Ok(TakenIn::Ready | TakenIn::Waiting) => {}
                // This entry and all later ones stay in the journal until there is space.
                Ok(TakenIn::Postponed) => {
                    let until = Instant::now() + JOURNAL_RETRY_DELAY;
                    self.intake.backlog.back_off(want.connection, until);
                    return Some(position);
                }
                Err(error) => {
                    self.journal_failed(&error);
                    return Some(position);
                }
            }
        }
        claimed.next
    }

    /// Dead-letters a row that cannot be read, so that it does not block others.
    fn dead_letter_damaged(&mut self, connection: &str, damaged: Damaged) {
        let Damaged {
            position,
            error,
            is_final,
        } = damaged;
        if !is_final {
            tracing::error!(
                position,
                connection,
                error,
                "a pending delivery cannot be read at the moment; retrying"
            );
            let until = Instant::now() + JOURNAL_RETRY_DELAY;
            self.intake.backlog.back_off(connection.to_owned(), until);
            return;
        }
        tracing::error!(
            position,
            connection,
            error,
            "delivery dead-lettered: its row in the journal is damaged"
        );
        metrics::counter!("cartwire_damaged_rows_total").increment(1);
        if let Ok(connection) = ConnectionId::new(connection) {
            self.track_until_settled(connection, position);
        }
        self.settling.waiting.push(Settlement {
            position,
            redriven: false,
            attempts: 0,
            comparison: None,
            outcome: Outcome::DeadLettered(ReasonCode::DamagedRow),
        });
    }

    /// Publishes thin deliveries without their data if the entries behind them use up a connection's share. Deletions keep
    /// waiting: they are never published without a confirmation or a known entity.
    async fn shed_load(&mut self, full: &[ConnectionId]) {
        for connection in full {
            if !self.enrichment.queue.is_waiting(connection) {
                continue;
            }
            let (behind, before) = self.partitions.held_up(connection);
            if 2 * behind <= self.in_flight.shares.of(connection).count {
                continue;
            }
            let thin: Vec<Position> = before
                .into_iter()
                .filter(|position| !self.enrichment.queue.is_deletion(*position))
                .collect();
            if !thin.is_empty() {
                tracing::warn!(connection = %connection, waiting = thin.len(), behind, "too many deliveries wait behind deliveries whose store is away; publishing the latter without their data");
                self.publish_without_data(thin).await;
            }
        }
    }

    pub(super) fn journal_failed(&mut self, error: &JournalError) {
        tracing::error!(error = %ErrorChain(error), "the relay cannot use the journal; it tries again");
        self.intake.not_before = Some(Instant::now() + JOURNAL_RETRY_DELAY);
    }
}
