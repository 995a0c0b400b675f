//! The trials of entries that were in flight when the last process ended uncleanly: which entries wait for one, and when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::delivery::ConnectionId;
use crate::journal::CrashGuard;
use crate::journal::entry::{Entry, Position};
use crate::normalize::{Assembled, assemble};
use crate::publisher::message::Message;

/// An entry that waits for its second trial, or to become a dead letter.
pub(super) struct Suspect {
    pub(super) position: Position,
    pub(super) connection: ConnectionId,
    pub(super) next: NextStep,
}

/// What a suspect waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    Trial,
    DeadLetter,
}

/// The trials of a running relay.
#[derive(Default)]
pub(super) struct Trials {
    /// `None` until the relay runs.
    guard: Option<CrashGuard>,
    pub(super) suspects: Vec<Suspect>,
    due: Option<Instant>,
}

impl Trials {
    pub(super) fn begin(&mut self, guard: CrashGuard) {
        self.guard = Some(guard);
    }

    /// Records entries that were claimed, before their events are made.
    pub(super) fn claimed(&mut self, positions: Vec<Position>) {
        if let Some(guard) = &mut self.guard {
            guard.claimed(&positions);
        }
    }

    /// The connections of the suspects. None of their entries may be claimed.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &ConnectionId> {
        self.suspects.iter().map(|suspect| &suspect.connection)
    }

    /// The time of the next trial.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.due
    }

    /// `true` once when the next trial is due.
    pub(super) fn take_due(&mut self) -> bool {
        let is_due = self.due.is_some_and(|due| Instant::now() >= due);
        if is_due {
            self.due = None;
        }
        is_due
    }

    /// Keeps a suspect for another attempt after a delay.
    pub(super) fn retry(&mut self, suspect: Suspect, delay: Duration) {
        self.suspects.push(suspect);
        self.delay(delay);
    }

    pub(super) fn delay(&mut self, delay: Duration) {
        self.due = Some(Instant::now() + delay);
    }

    /// The process ends cleanly.
    pub(super) fn close(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.close();
        }
    }

    /// Tries an entry alone: makes and renders its events, and drops them.
    pub(super) fn rehearse(&mut self, entry: &Entry) {
        let Some(guard) = &mut self.guard else {
            return;
        };
        guard.trying(entry.position);
        match assemble(entry) {
            Assembled::Events { events, .. } => {
                for event in &events {
                    // A panic does not end the process: the publisher handles it in the same way.
                    let _ = catch_unwind(AssertUnwindSafe(|| Message::render(event)));
                }
            }
            Assembled::Ignored(_) | Assembled::Unreadable(_) => {}
        }
        guard.survived(entry.position);
    }

    /// The entry is no longer a suspect.
    pub(super) fn clear(&mut self, position: Position) {
        if let Some(guard) = &mut self.guard {
            guard.survived(position);
        }
    }
}
