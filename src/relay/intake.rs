//! What the relay takes in: claimed entries become tasks in their lanes, at once or when their store has told the rest.
//!
//! Here, too, an installation becomes a connection: the first time that something of it is seen.

use std::time::{Duration, Instant};

use super::assemble::{Assembled, assemble};
use super::completion::Target;
use super::lanes::Task;
use super::{Held, PAUSE, Relay, WINDOW};
use crate::connections::Standing;
use crate::delivery::{Completed, Completion, JournaledDelivery};
use crate::event::{Authority, Draft, Event};
use crate::journal::entry::{Entry, EntryKind, LoggedEvent, Outcome, Position, Settlement};
use crate::journal::{Changed, ConnectionChange, JournalError};
use crate::platforms::{ConnectionSignal, platform};
use crate::publisher::Publish;
use crate::report::ErrorChain;

/// Entries claimed by one read, and the bytes of bodies they may have.
const CLAIM: usize = 512;
const CLAIM_BYTES: usize = 4 << 20;
/// Under load the journal is read this often and not more: each read has a cost of its own.
const CLAIM_PACE: Duration = Duration::from_millis(10);

/// Why a delivery is a dead letter whose sender speaks in the name of somebody else's connection.
const FOREIGN: &str = "connection_of_another";
/// Why a delivery goes out as it is although its store could be asked.
const TOO_MANY: &str = "too_many_waiting";

impl<P: Publish> Relay<P> {
    pub(super) async fn claim(&mut self) {
        let room = CLAIM.min(WINDOW.saturating_sub(self.in_hand()));
        let in_hand = self.held.keys().copied().collect();
        let (paused, resting) = (self.paused.clone(), self.resting.clone());
        let claim = match self.journal.claim(self.cursor, room, CLAIM_BYTES, paused, resting, in_hand).await {
            Ok(claim) => claim,
            Err(error) => return self.journal_failed(&error),
        };
        let full = claim.entries.len() == room;
        self.claim_not_before = (!full).then(|| Instant::now() + CLAIM_PACE);
        self.passed_over |= claim.passed_over;
        // Asked again rather than guessed: an entry may have arrived while this was read.
        self.more = !claim.entries.is_empty();
        for entry in claim.entries {
            let position = entry.position;
            if let Err(error) = self.take_in(entry).await {
                return self.journal_failed(&error);
            }
            self.cursor = position;
        }
        self.cursor = claim.through;
    }

    fn journal_failed(&mut self, error: &JournalError) {
        tracing::error!(error = %ErrorChain(error), "the relay cannot use the journal; it tries again");
        self.claim_not_before = Some(Instant::now() + PAUSE);
    }

    async fn take_in(&mut self, mut entry: Entry) -> Result<(), JournalError> {
        let assembled = assemble(&entry);
        let Assembled::Events { events, signal } = assembled else {
            self.settle_without_events(&entry, &assembled);
            return Ok(());
        };
        if events.is_empty() {
            self.to_settle.push(settlement(&entry, Outcome::Ignored("no_events".into())));
            return Ok(());
        }
        let (events, signal, target) = match self.lacks(&entry, &events) {
            Some(_) if !self.completions.has_room() => {
                let outcome = Completed::GivenUp(TOO_MANY.to_owned());
                let completion = Completion { outcome, asked_at: jiff::Timestamp::now() };
                self.journal.complete(vec![entry.position], completion.clone()).await?;
                entry.delivery.completion = Some(completion);
                match assemble(&entry) {
                    Assembled::Events { events, signal } => (events, signal, None),
                    Assembled::Ignored(_) | Assembled::Unreadable(_) => (events, signal, None),
                }
            }
            target => (events, signal, target),
        };
        // Whether it is a real installation is part of what is asked.
        let later = target.is_some() && signal.is_some();
        if !later && !self.capture(&entry, signal).await? {
            return Ok(());
        }
        let held = Held {
            bytes: entry.delivery.body.len(),
            redriven: entry.redriven,
            attempts: entry.attempts,
            waiting: events.len(),
            endings: Vec::with_capacity(events.len()),
            events: events.iter().map(logged).collect(),
        };
        self.held_bytes += held.bytes;
        self.held.insert(entry.position, held);
        for event in events {
            let (position, endpoint) = (entry.position, entry.delivery.endpoint.clone());
            self.lanes.push(Task { position, attempts: 0, endpoint, lacks: target.is_some(), event });
        }
        if let Some(target) = target {
            self.completions.wait(target, entry, Instant::now());
        }
        Ok(())
    }

    fn settle_without_events(&mut self, entry: &Entry, assembled: &Assembled) {
        let outcome = match assembled {
            Assembled::Ignored(reason) => Outcome::Ignored(reason.clone()),
            Assembled::Unreadable(reason) => {
                tracing::warn!(delivery = %entry.key, connection = %entry.delivery.connection, reason, "a dead letter");
                Outcome::DeadLettered(reason)
            }
            Assembled::Events { .. } => return,
        };
        self.to_settle.push(settlement(entry, outcome));
    }

    /// What its store is to be asked for, where it can be asked.
    fn lacks(&self, entry: &Entry, events: &[Event]) -> Option<Target> {
        self.asking.as_ref()?;
        let delivery = &entry.delivery;
        let is_asked = match &delivery.completion {
            None => false,
            // Redriven, it is tried once more.
            Some(Completion { outcome: Completed::GivenUp(_), .. }) => !entry.redriven,
            Some(_) => true,
        };
        let is_whole = events.iter().all(|event| event.draft.authority == Authority::Full);
        if is_asked || is_whole || entry.kind == EntryKind::Announcement {
            return None;
        }
        if !self.directory.may_ask(&delivery.connection, &delivery.endpoint) {
            return None;
        }
        let drafts: Vec<Draft> = events.iter().map(|event| event.draft.clone()).collect();
        let lacking = platform(&delivery.platform)?.lacks(delivery, &drafts)?;
        let JournaledDelivery { connection, endpoint, platform, .. } = delivery.clone();
        Some(Target { connection, endpoint, platform, lacking })
    }

    /// An installation that was not seen before becomes a connection, and one that tells of itself changes. `false` where the
    /// delivery speaks in the name of somebody else's connection: it is a dead letter.
    async fn capture(&mut self, entry: &Entry, signal: Option<ConnectionSignal>) -> Result<bool, JournalError> {
        let delivery = &entry.delivery;
        let installation = (delivery.connection.clone(), delivery.endpoint.clone());
        let unknown = match self.directory.standing(&delivery.connection) {
            _ if delivery.connection == delivery.endpoint || self.captured.contains(&installation) => false,
            Standing::Unknown => true,
            Standing::Known { parent } if parent.as_ref() == Some(&delivery.endpoint) => false,
            Standing::Known { .. } => {
                self.to_settle.push(settlement(entry, Outcome::DeadLettered(FOREIGN)));
                return Ok(false);
            }
        };
        // A redriven delivery tells old news of its connection.
        if (unknown || signal.is_some()) && !entry.redriven {
            let (id, parent) = (delivery.connection.clone(), delivery.endpoint.clone());
            let platform = delivery.platform.clone();
            let seen = ConnectionChange::Seen { id, parent, platform, signal };
            match self.journal.change_connection(seen).await? {
                Changed::Yes | Changed::No => drop(self.captured.insert(installation)),
                // The app was removed meanwhile; what it sent before goes out all the same.
                Changed::NoSuchConnection => {}
                Changed::Taken => {
                    self.to_settle.push(settlement(entry, Outcome::DeadLettered(FOREIGN)));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Asking for an entry's rest has ended, and what was said is in the journal: its events can go.
    pub(super) async fn completed(&mut self, position: Position, completion: &Completion) {
        // It may have been let go meanwhile; then it is claimed again with its completion.
        let Some(mut entry) = self.completions.take(position) else { return };
        let before = match assemble(&entry) {
            Assembled::Events { events, .. } => events,
            Assembled::Ignored(_) | Assembled::Unreadable(_) => Vec::new(),
        };
        let keys: Vec<String> = before.iter().map(Event::partition_key).collect();
        entry.delivery.completion = Some(completion.clone());
        let (events, signal) = match assemble(&entry) {
            Assembled::Events { events, signal } => (events, signal),
            nothing @ (Assembled::Ignored(_) | Assembled::Unreadable(_)) => {
                self.lanes.complete(position, &keys, Vec::new());
                self.settle_without_events(&entry, &nothing);
                return;
            }
        };
        let same = events.len() == before.len() && events.iter().zip(&keys).all(|(event, key)| event.partition_key() == *key);
        if !same {
            // Ids, order and keys hang on it: a platform's mistake must not lose an event.
            tracing::error!(delivery = %entry.key, "a completed delivery tells other events than before; it goes out as it was");
        }
        let captured = match signal {
            Some(signal) => self.capture(&entry, Some(signal)).await,
            None => Ok(true),
        };
        match captured {
            Ok(true) => self.lanes.complete(position, &keys, if same { events } else { before }),
            Ok(false) => self.lanes.complete(position, &keys, Vec::new()),
            Err(error) => {
                // It stays pending, and is claimed again.
                self.journal_failed(&error);
                self.lanes.complete(position, &keys, Vec::new());
                self.let_go(position);
                self.look_from_the_start();
            }
        }
    }
}

fn settlement(entry: &Entry, outcome: Outcome) -> Settlement {
    Settlement { position: entry.position, redriven: entry.redriven, attempts: entry.attempts, outcome }
}

fn logged(event: &Event) -> LoggedEvent {
    LoggedEvent { index: event.id.index, event_type: event.event_type(), subject: event.subject() }
}
