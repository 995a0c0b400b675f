//! What the relay takes in: claimed entries become tasks in their lanes, at once or when their store has told the rest.
//!
//! Here, too, an installation becomes a connection: the first time that something of it is seen.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::completion::Target;
use super::lanes::Task;
use super::{Held, PAUSE, Relay, WINDOW};
use crate::connections::Standing;
use crate::delivery::{Completed, Completion, JournaledDelivery};
use crate::event::{Authority, Draft, Event, weight};
use crate::journal::entry::{Entry, EntryKind, LoggedEvent, Outcome, Position, Settlement};
use crate::journal::{Changed, ConnectionChange, JournalError};
use crate::normalize::{Assembled, assemble_within};
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
/// Why an installation or a removal tells nothing: a newer one was applied before it.
const STALE: &str = "stale";
/// Why a delivery goes out as it is although its store could be asked.
const TOO_MANY: &str = "too_many_waiting";

impl<P: Publish> Relay<P> {
    pub(super) async fn claim(&mut self) {
        let room = CLAIM.min(WINDOW.saturating_sub(self.in_hand()));
        let in_hand = self.held.keys().copied().collect();
        let (mut paused, resting) = (self.paused.clone(), self.resting.clone());
        paused.extend(self.trials.waiting().cloned());
        let claim = match self
            .journal
            .claim(self.cursor, room, CLAIM_BYTES, paused, resting, in_hand)
            .await
        {
            Ok(claim) => claim,
            Err(error) => return self.journal_failed(&error),
        };
        let full = claim.entries.len() == room;
        self.claim_not_before = (!full).then(|| Instant::now() + CLAIM_PACE);
        self.passed_over |= claim.passed_over;
        // Asked again rather than guessed: an entry may have arrived while this was read.
        self.more = !claim.entries.is_empty();
        self.trials.claimed(&claim.entries);
        let mut too_many = Vec::new();
        for entry in claim.entries {
            let position = entry.position;
            // What the events of an entry take is known when they are made: the rest stays in the journal.
            if !self.has_room() {
                self.cursor = position - 1;
                self.more = true;
                return self.give_up(too_many).await;
            }
            match self.take_in(entry).await {
                Ok(Waits::TooMany) => too_many.push(position),
                Ok(Waits::No | Waits::Yes) => {}
                Err(error) => {
                    self.cursor = position - 1;
                    self.give_up(too_many).await;
                    return self.journal_failed(&error);
                }
            }
        }
        self.cursor = claim.through;
        self.give_up(too_many).await;
    }

    /// These go out as they are, though their stores could be asked: too many wait.
    pub(super) async fn give_up(&mut self, positions: Vec<Position>) {
        if positions.is_empty() {
            return;
        }
        let count = positions.len() as u64;
        let completion = Completion {
            outcome: Completed::GivenUp(TOO_MANY.to_owned()),
            asked_at: Timestamp::now(),
        };
        match self
            .journal
            .complete(positions.clone(), completion.clone())
            .await
        {
            Ok(()) => {
                metrics::counter!("cartwire_completions_total", "platform" => "", "result" => TOO_MANY).increment(count);
                for position in positions {
                    self.completed(position, &completion).await;
                }
            }
            // They wait a little longer.
            Err(error) => self.journal_failed(&error),
        }
    }

    fn journal_failed(&mut self, error: &JournalError) {
        tracing::error!(error = %ErrorChain(error), "the relay cannot use the journal; it tries again");
        self.claim_not_before = Some(Instant::now() + PAUSE);
    }

    async fn take_in(&mut self, mut entry: Entry) -> Result<Waits, JournalError> {
        if entry.redriven && entry.delivery.completed().is_none() {
            // What the store did not tell then, it may tell now.
            entry.delivery.completion = None;
        }
        let assembled = assemble_within(&entry, self.max_event_bytes.bytes());
        let Assembled::Events { events, signal } = assembled else {
            self.settle_without_events(&entry, &assembled);
            return Ok(Waits::No);
        };
        if events.is_empty() {
            self.to_settle
                .push(settlement(&entry, Outcome::Ignored("no_events".into())));
            return Ok(Waits::No);
        }
        if self.is_foreign(&entry.delivery) {
            self.to_settle
                .push(settlement(&entry, Outcome::DeadLettered(FOREIGN)));
            return Ok(Waits::No);
        }
        let target = self.lacks(&entry, &events);
        let waits = match &target {
            None => Waits::No,
            Some(target) if self.completions.has_room(&target.connection) => Waits::Yes,
            Some(_) => Waits::TooMany,
        };
        // Whether it is a real installation is part of what is asked; what comes after it waits for that, too.
        if let (Some(_), Some(signal)) = (&target, &signal) {
            self.installing
                .entry(entry.delivery.connection.clone())
                .or_default()
                .insert(entry.position, signal.signed_at());
        } else if !self.capture(&entry, signal).await? {
            return Ok(Waits::No);
        }
        let bytes = weight(&events);
        let held = Held {
            bytes,
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
            self.lanes.push(Task {
                position,
                attempts: 0,
                endpoint,
                lacks: target.is_some(),
                bytes,
                event,
            });
        }
        if let Some(target) = target {
            self.completions.wait(target, entry, Instant::now());
        }
        Ok(waits)
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
        let is_whole = events
            .iter()
            .all(|event| event.draft.authority == Authority::Full && !event.draft.lacks_currency());
        if delivery.completion.is_some() || is_whole || entry.kind == EntryKind::Announcement {
            return None;
        }
        if !self
            .directory
            .may_ask(&delivery.connection, &delivery.endpoint)
        {
            return None;
        }
        let drafts: Vec<Draft> = events.iter().map(|event| event.draft.clone()).collect();
        let lacking = platform(&delivery.platform)?.lacks(delivery, &drafts)?;
        let JournaledDelivery {
            connection,
            endpoint,
            platform,
            ..
        } = delivery.clone();
        Some(Target {
            connection,
            endpoint,
            platform,
            lacking,
        })
    }

    fn is_known(&self, delivery: &JournaledDelivery) -> bool {
        let installation = (delivery.connection.clone(), delivery.endpoint.clone());
        delivery.connection == delivery.endpoint
            || self.captured.contains(&installation)
            || self.directory.standing(&delivery.connection) != Standing::Unknown
    }

    /// Does it speak in the name of somebody else's connection?
    fn is_foreign(&self, delivery: &JournaledDelivery) -> bool {
        match self.directory.standing(&delivery.connection) {
            Standing::Known { parent } => {
                delivery.connection != delivery.endpoint
                    && parent.as_ref() != Some(&delivery.endpoint)
            }
            Standing::Unknown => false,
        }
    }

    /// An installation that was not seen before becomes a connection, and one that tells of itself changes. `false` where the
    /// entry is settled without events: it is about another app's connection, or older than the state that is known.
    async fn capture(
        &mut self,
        entry: &Entry,
        signal: Option<ConnectionSignal>,
    ) -> Result<bool, JournalError> {
        let delivery = &entry.delivery;
        if let Some(installing) = self.installing.get_mut(&delivery.connection) {
            let Some(signal) = &signal else {
                // Its installation is on its way, and becomes a connection with all that is known of it, or none.
                return Ok(true);
            };
            let is_newer = |(position, signed_at): (&Position, &Option<Timestamp>)| {
                *position < entry.position && *signed_at > signal.signed_at()
            };
            if installing.iter().any(is_newer) {
                self.to_settle
                    .push(settlement(entry, Outcome::Ignored(STALE.into())));
                return Ok(false);
            }
            // An earlier delivery does not change the connection any more.
            installing.retain(|position, _| *position > entry.position);
        }
        let installation = (delivery.connection.clone(), delivery.endpoint.clone());
        let unknown = !self.is_known(delivery);
        // A redriven delivery tells old news of its connection.
        if (unknown || signal.is_some()) && !entry.redriven {
            let (id, parent) = (delivery.connection.clone(), delivery.endpoint.clone());
            let platform = delivery.platform.clone();
            let seen = ConnectionChange::Seen {
                id,
                parent,
                platform,
                signal,
                position: entry.position,
            };
            match self.journal.change_connection(seen).await? {
                Changed::Yes | Changed::No => drop(self.captured.insert(installation)),
                // The app was removed meanwhile; what it sent before goes out all the same.
                Changed::NoSuchConnection => {}
                Changed::Stale => {
                    self.captured.insert(installation);
                    self.to_settle
                        .push(settlement(entry, Outcome::Ignored(STALE.into())));
                    return Ok(false);
                }
                Changed::Taken => {
                    self.to_settle
                        .push(settlement(entry, Outcome::DeadLettered(FOREIGN)));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Asking for an entry's rest has ended, and what was said is in the journal: its events can go.
    pub(super) async fn completed(&mut self, position: Position, completion: &Completion) {
        // It may have been let go meanwhile; then it is claimed again with its completion.
        let Some(mut entry) = self.completions.take(position) else {
            return;
        };
        let before = match assemble_within(&entry, self.max_event_bytes.bytes()) {
            Assembled::Events { events, .. } => events,
            Assembled::Ignored(_) | Assembled::Unreadable(_) => Vec::new(),
        };
        let keys: HashSet<String> = before.iter().map(Event::partition_key).collect();
        entry.delivery.completion = Some(completion.clone());
        let was_installing = self.installed(&entry);
        let (mut events, signal) = match assemble_within(&entry, self.max_event_bytes.bytes()) {
            Assembled::Events { events, signal } => (events, signal),
            nothing @ (Assembled::Ignored(_) | Assembled::Unreadable(_)) => {
                self.lanes.complete(position, &keys, 0, Vec::new());
                self.settle_without_events(&entry, &nothing);
                return;
            }
        };
        let same = |(before, now): (&Event, &Event)| before.partition_key() == now.partition_key();
        if events.len() != before.len() || !before.iter().zip(&events).all(same) {
            // Ids, order and keys hang on it: a platform's mistake must not lose an event.
            tracing::error!(delivery = %entry.key, "a completed delivery tells other events than before; it goes out as it was");
            events = before;
        }
        let captured = match signal {
            Some(signal) if was_installing => self.capture(&entry, Some(signal)).await,
            _ => Ok(true),
        };
        let bytes = weight(&events);
        match captured {
            Ok(true) => {
                if let Some(held) = self.held.get_mut(&position) {
                    self.held_bytes = self.held_bytes - held.bytes + bytes;
                    held.bytes = bytes;
                }
                self.lanes.complete(position, &keys, bytes, events);
            }
            Ok(false) => self.lanes.complete(position, &keys, 0, Vec::new()),
            Err(error) => {
                // All that waits of the connection is put back, and claimed again in order, with what the store said.
                self.journal_failed(&error);
                self.to_put_back.insert(entry.delivery.connection.clone());
            }
        }
    }

    /// An installation waits no more. Does it still say how the connection stands?
    pub(super) fn installed(&mut self, entry: &Entry) -> bool {
        let connection = &entry.delivery.connection;
        let Some(installing) = self.installing.get_mut(connection) else {
            return false;
        };
        let was_there = installing.remove(&entry.position).is_some();
        // The last one that waited.
        if installing.is_empty() {
            self.installing.remove(connection);
        }
        was_there
    }
}

/// Does an entry that was taken in wait for its store?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
    /// It would, but too many do.
    TooMany,
}

fn settlement(entry: &Entry, outcome: Outcome) -> Settlement {
    Settlement {
        position: entry.position,
        redriven: entry.redriven,
        attempts: entry.attempts,
        outcome,
    }
}

fn logged(event: &Event) -> LoggedEvent {
    LoggedEvent {
        index: event.id.index,
        event_type: event.event_type(),
        subject: event.subject(),
        omits_raw: event.omits_raw,
    }
}
