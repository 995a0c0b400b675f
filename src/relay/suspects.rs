//! Tries entries alone that were in flight when the last process ended uncleanly.
//!
//! [`CrashGuard`] has the protocol with its reasons. The first trial of an entry comes before the relay claims anything. The
//! second trial comes some seconds later, while only the entry's own connection waits.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::sync::watch;

use super::state::{JOURNAL_RETRY_DELAY, Relay};
use super::trials::{NextStep, Suspect};
use crate::delivery::ReasonCode;
use crate::journal::entry::{Entry, Outcome, Position, Settlement};
use crate::journal::{CrashGuard, JournalError, Suspects};
use crate::publisher::Publish;
use crate::report::ErrorChain;

/// Minimum uptime of the process before the second trial of an entry.
const SECOND_TRIAL_DELAY: Duration = Duration::from_secs(4);
/// Maximum random addition to it, so that a process that is killed at fixed times is not killed during the trial.
const SECOND_TRIAL_JITTER: Duration = Duration::from_secs(4);

impl<P: Publish> Relay<P> {
    /// Tries the suspects of the last process, before anything is claimed.
    pub(super) async fn try_suspects(&mut self, shutdown: &watch::Receiver<bool>) {
        let (guard, suspects) = CrashGuard::open(self.journal.folder());
        self.trials.begin(guard);
        let Suspects {
            untried,
            ended_once,
            guilty,
        } = suspects;
        if !untried.is_empty() || !ended_once.is_empty() || !guilty.is_empty() {
            tracing::warn!(
                in_flight = untried.len(),
                ended_once = ended_once.len(),
                guilty = guilty.len(),
                "the last process ended uncleanly; trying the entries that were in flight one at a time"
            );
            metrics::counter!("cartwire_unclean_ends_total").increment(1);
        }
        for (positions, next) in [
            (guilty, NextStep::DeadLetter),
            (ended_once, NextStep::Trial),
        ] {
            for position in positions {
                self.add_suspect(position, next).await;
            }
        }
        self.settle_guilty().await;
        for position in untried {
            if *shutdown.borrow() {
                return;
            }
            if let Ok(Some(entry)) = self.suspect_entry(position).await {
                self.trials.rehearse(&entry);
            }
            tokio::task::yield_now().await;
        }
        if !self.trials.suspects.is_empty() {
            let random = RandomState::new().hash_one(0_u8) % SECOND_TRIAL_JITTER.as_millis() as u64;
            self.trials
                .delay(SECOND_TRIAL_DELAY + Duration::from_millis(random));
        }
    }

    /// Runs the second trials when they are due.
    pub(super) async fn retry_suspects(&mut self) {
        if !self.trials.take_due() {
            return;
        }
        self.settle_guilty().await;
        for suspect in std::mem::take(&mut self.trials.suspects) {
            match self.suspect_entry(suspect.position).await {
                Ok(Some(entry)) if suspect.next == NextStep::Trial => {
                    self.trials.rehearse(&entry);
                }
                Ok(None) => self.trials.clear(suspect.position),
                Ok(Some(_)) | Err(_) => self.trials.retry(suspect, JOURNAL_RETRY_DELAY),
            }
        }
        self.search_from_start();
    }

    /// The pending entry of a suspect; `None` if it was settled or removed.
    async fn suspect_entry(&mut self, position: Position) -> Result<Option<Entry>, JournalError> {
        let found = self.journal.pending(position).await;
        if let Err(error) = &found {
            tracing::error!(position, error = %ErrorChain(error), "an entry cannot be read for its trial");
        }
        found
    }

    async fn add_suspect(&mut self, position: Position, next: NextStep) {
        match self.suspect_entry(position).await {
            Ok(Some(entry)) => self.trials.suspects.push(Suspect {
                position,
                connection: entry.delivery.connection,
                next,
            }),
            Ok(None) => self.trials.clear(position),
            Err(_) => {}
        }
    }

    /// Dead-letters the entries that ended two processes. Those that cannot be settled now wait.
    async fn settle_guilty(&mut self) {
        let is_guilty = |suspect: &mut Suspect| suspect.next == NextStep::DeadLetter;
        let guilty: Vec<Suspect> = self.trials.suspects.extract_if(.., is_guilty).collect();
        for suspect in guilty {
            match self.dead_letter(&suspect).await {
                Ok(()) => self.trials.clear(suspect.position),
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), "a dead letter cannot be settled; retrying");
                    self.trials.retry(suspect, JOURNAL_RETRY_DELAY);
                }
            }
        }
    }

    async fn dead_letter(&mut self, suspect: &Suspect) -> Result<(), JournalError> {
        let Some(entry) = self.suspect_entry(suspect.position).await? else {
            return Ok(());
        };
        tracing::error!(
            delivery = %entry.key,
            connection = %suspect.connection,
            "delivery dead-lettered: it ended the gateway twice while it was tried alone"
        );
        let settlement = Settlement {
            position: suspect.position,
            redriven: entry.redriven,
            attempts: entry.attempts,
            comparison: None,
            outcome: Outcome::DeadLettered(ReasonCode::CrashedGateway),
        };
        self.journal.settle(vec![settlement]).await
    }
}
