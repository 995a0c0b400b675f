//! Tries entries alone that were in flight when the last process ended uncleanly.
//!
//! [`CrashGuard`] has the protocol, and the reasons for it. Here are its two trials: the first before the relay claims
//! anything, the second some seconds later, while the entry's own connection waits and all others go on.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{PAUSE, Relay, is_over};
use crate::delivery::ConnectionId;
use crate::journal::entry::{Entry, Outcome, Position, Settlement};
use crate::journal::{CRASHED_GATEWAY, CrashGuard, JournalError, Suspects};
use crate::normalize::{Assembled, assemble};
use crate::publisher::Publish;
use crate::publisher::message::Message;
use crate::report::ErrorChain;

/// How long a process has been up at least before an entry that ended the last one is tried again, and the longest random
/// time on top: so that kills at fixed times do not hit it.
const SECOND_TRIAL_DELAY: Duration = Duration::from_secs(4);
const SECOND_TRIAL_JITTER: Duration = Duration::from_secs(4);

/// The trials of a running relay.
#[derive(Default)]
pub(super) struct Trials {
    /// `None` until the relay runs.
    guard: Option<CrashGuard>,
    /// Entries that wait for their second trial, or to become dead letters.
    waiting: Vec<(Position, ConnectionId, Next)>,
    due: Option<Instant>,
}

/// What an entry waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Trial,
    DeadLetter,
}

impl Trials {
    /// Notes entries that were claimed, before anything is made of them.
    pub(super) fn claimed(&mut self, positions: Vec<Position>) {
        if let Some(guard) = &mut self.guard {
            guard.claimed(&positions);
        }
    }

    /// The connections that wait for a trial of one of their entries. Nothing of them may be claimed.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &ConnectionId> {
        self.waiting.iter().map(|(_, connection, _)| connection)
    }

    /// When the next trial is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.due
    }

    /// The process ends cleanly.
    pub(super) fn close(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.close();
        }
    }

    /// Makes and renders the entry's events, and drops them.
    fn rehearse(&mut self, entry: &Entry) {
        let Some(guard) = &mut self.guard else {
            return;
        };
        guard.trying(entry.position);
        match assemble(entry) {
            Assembled::Events { events, .. } => {
                for event in &events {
                    // A panic is no end of the process: the publisher handles it as it does in flight.
                    let _ = catch_unwind(AssertUnwindSafe(|| Message::render(event)));
                }
            }
            Assembled::Ignored(_) | Assembled::Unreadable(_) => {}
        }
        guard.survived(entry.position);
    }
}

impl<P: Publish> Relay<P> {
    /// Tries what was in flight when the last process ended uncleanly, before anything is claimed.
    pub(super) async fn try_suspects(&mut self, shutdown: &watch::Receiver<bool>) {
        let (guard, suspects) = CrashGuard::open(self.journal.folder());
        self.trials.guard = Some(guard);
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
        for (positions, next) in [(guilty, Next::DeadLetter), (ended_once, Next::Trial)] {
            for position in positions {
                self.wait_for_trial(position, next).await;
            }
        }
        self.settle_guilty().await;
        for position in untried {
            if *shutdown.borrow() {
                return;
            }
            if let Ok(Some(entry)) = self.suspect(position).await {
                self.trials.rehearse(&entry);
            }
            tokio::task::yield_now().await;
        }
        if !self.trials.waiting.is_empty() {
            let random = RandomState::new().hash_one(0_u8) % SECOND_TRIAL_JITTER.as_millis() as u64;
            let delay = SECOND_TRIAL_DELAY + Duration::from_millis(random);
            self.trials.due = Some(Instant::now() + delay);
        }
    }

    /// Runs the second trials that are due.
    pub(super) async fn try_again(&mut self) {
        if self.trials.due.is_none() || !is_over(self.trials.due) {
            return;
        }
        self.trials.due = None;
        self.settle_guilty().await;
        for (position, connection, next) in std::mem::take(&mut self.trials.waiting) {
            match self.suspect(position).await {
                Ok(Some(entry)) if next == Next::Trial => self.trials.rehearse(&entry),
                Ok(None) => self.acquit(position),
                Ok(Some(_)) | Err(_) => {
                    self.trials.waiting.push((position, connection, next));
                    self.trials.due = Some(Instant::now() + PAUSE);
                }
            }
        }
        self.look_from_the_start();
    }

    /// A pending entry, or `None` if it was settled or removed.
    async fn suspect(&mut self, position: Position) -> Result<Option<Entry>, JournalError> {
        let found = self.journal.pending(position).await;
        if let Err(error) = &found {
            tracing::error!(position, error = %ErrorChain(error), "an entry cannot be read for its trial");
        }
        found
    }

    async fn wait_for_trial(&mut self, position: Position, next: Next) {
        match self.suspect(position).await {
            Ok(Some(entry)) => {
                let connection = entry.delivery.connection;
                self.trials.waiting.push((position, connection, next));
            }
            Ok(None) => self.acquit(position),
            Err(_) => {}
        }
    }

    /// Makes dead letters of the entries that ended two processes. Those that cannot be settled now wait.
    async fn settle_guilty(&mut self) {
        let is_guilty = |(_, _, next): &(Position, ConnectionId, Next)| *next == Next::DeadLetter;
        let guilty: Vec<_> = self
            .trials
            .waiting
            .extract_if(.., |w| is_guilty(w))
            .collect();
        for (position, connection, next) in guilty {
            let settled = match self.suspect(position).await {
                Ok(Some(entry)) => {
                    tracing::error!(
                        delivery = %entry.key,
                        connection = %connection,
                        "delivery dead-lettered: it ended the gateway twice while it was tried alone"
                    );
                    let settlement = Settlement {
                        position,
                        redriven: entry.redriven,
                        attempts: entry.attempts,
                        outcome: Outcome::DeadLettered(CRASHED_GATEWAY),
                    };
                    self.journal.settle(vec![settlement]).await
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            match settled {
                Ok(()) => self.acquit(position),
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), "a dead letter cannot be settled; retrying");
                    self.trials.waiting.push((position, connection, next));
                    self.trials.due = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    /// Nothing is held against the entry any more.
    fn acquit(&mut self, position: Position) {
        if let Some(guard) = &mut self.trials.guard {
            guard.survived(position);
        }
    }
}
