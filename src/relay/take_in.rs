//! Takes in claimed entries: their events enter their partitions, at once or after the enrichment.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::compared::Comparing;
use super::fetch::FetchTarget;
use super::state::{InFlightEntry, Relay};
use super::task::{Suspicion, Task};
use crate::connections::UnreadableDelivery;
use crate::delivery::{ConnectionId, ReasonCode};
use crate::event::{Event, weight};
use crate::journal::JournalError;
use crate::journal::entry::{Entry, EntryKind, LoggedEvent, Outcome, Position, Settlement};
use crate::normalize::{Assembled, assemble_within};
use crate::platforms::{ConnectionSignal, Content};
use crate::publisher::Publish;

/// Reason codes of dead letters whose cause is not the store.
const OWN_REASONS: [ReasonCode; 3] = [
    ReasonCode::EventTooLarge,
    ReasonCode::NormalizerFailed,
    ReasonCode::UnknownPlatform,
];

/// What became of an entry that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakenIn {
    /// It can be published, or it is settled.
    Ready,
    /// It waits for its enrichment.
    Waiting,
    /// It should wait for its enrichment, but too many wait already.
    Excess,
    /// It was not taken in: it must not be published without its data, and too many wait already.
    Postponed,
}

impl<P: Publish> Relay<P> {
    pub(super) async fn take_in(&mut self, mut entry: Entry) -> Result<TakenIn, JournalError> {
        if entry.redriven && entry.delivery.response().is_none() {
            // The store may send data now that was missing before.
            if entry.delivery.enriched.take().is_some() {
                entry.record = None;
            }
        }
        let assembled = assemble_within(&entry, self.max_event_bytes.bytes());
        let Assembled::Events {
            events,
            signal,
            content,
        } = assembled
        else {
            self.settle_unassembled(&entry, &assembled);
            return Ok(TakenIn::Ready);
        };
        if let Some(outcome) = self.refusal(&entry, &events) {
            self.settle_without_publishing(&entry, outcome);
            return Ok(TakenIn::Ready);
        }
        let describes_entities = !matches!(signal, Some(ConnectionSignal::Degraded(_)));
        if entry.kind == EntryKind::Delivery && !entry.redriven && describes_entities {
            self.unreadable
                .end(&entry.delivery.connection, Timestamp::now());
        }
        let target = self.fetch_target(&entry, &events);
        let bytes = entry.delivery.bytes();
        let taken_in = match &target {
            None => TakenIn::Ready,
            Some(target) if self.enrichment.queue.has_space(&target.connection, bytes) => {
                TakenIn::Waiting
            }
            Some(target) if target.deletion.is_some() => return Ok(TakenIn::Postponed),
            Some(_) => TakenIn::Excess,
        };
        if target.is_none() && self.is_unknown_deletion(&mut entry, &events).await? {
            let outcome = Outcome::Ignored(ReasonCode::UnconfirmedDeletion.into());
            self.settle_without_publishing(&entry, outcome);
            return Ok(TakenIn::Ready);
        }
        // The fetch also confirms an installation. Later deliveries of the installation wait for this.
        if let (Some(_), Some(signal)) = (&target, &signal) {
            let connection = entry.delivery.connection.clone();
            let installing = self.enrichment.installing.entry(connection).or_default();
            installing.insert(entry.position, signal.signed_at());
        } else if !self.capture(&entry, signal).await? {
            return Ok(TakenIn::Ready);
        }
        let (events, content) = self.with_enrichment(&entry, events, content);
        self.enqueue(entry, events, content, target);
        Ok(taken_in)
    }

    /// The outcome of an entry whose events must not be published.
    fn refusal(&self, entry: &Entry, events: &[Event]) -> Option<Outcome> {
        if events.is_empty() {
            return Some(Outcome::Ignored(ReasonCode::NoEvents.into()));
        }
        if !self.directory.is_registered(&entry.delivery) {
            self.count_unreadable(entry, ReasonCode::TopicMismatch);
            return Some(Outcome::DeadLettered(ReasonCode::TopicMismatch));
        }
        self.is_foreign(&entry.delivery)
            .then_some(Outcome::DeadLettered(ReasonCode::ConnectionOfAnother))
    }

    /// Adds an entry's events to their partitions, and the entry to the queue of its store if it has a target.
    fn enqueue(
        &mut self,
        entry: Entry,
        events: Vec<Event>,
        content: Option<Content>,
        target: Option<FetchTarget>,
    ) {
        // The events of a thin delivery need no state before they have their data.
        let entities = match target {
            None => self.acquire_states(&events),
            Some(_) => Vec::new(),
        };
        let bytes = weight(&events);
        let connection = &entry.delivery.connection;
        let in_flight = InFlightEntry {
            connection: connection.clone(),
            bytes,
            is_counted: target.is_none(),
            redriven: entry.redriven,
            attempts: entry.attempts,
            waiting: events.len(),
            outcomes: Vec::with_capacity(events.len()),
            events: events.iter().map(logged).collect(),
            event_count: events.len(),
            entities,
            reason_ignored: None,
            records: Vec::new(),
            states: Vec::new(),
        };
        if in_flight.is_counted {
            self.in_flight.shares.add(connection, bytes);
        }
        self.in_flight.entries.insert(entry.position, in_flight);
        for event in events {
            self.partitions.push(Task {
                position: entry.position,
                attempts: 0,
                endpoint: entry.delivery.endpoint.clone(),
                is_incomplete: target.is_some(),
                bytes,
                comparing: Comparing::of(&event, content),
                suspicion: Suspicion::default(),
                event: Arc::new(event),
            });
        }
        if let Some(target) = target {
            self.enrichment.queue.wait(target, entry, Instant::now());
        }
    }

    /// Settles an entry without events: it is ignored by design, or it cannot be read.
    pub(super) fn settle_unassembled(&mut self, entry: &Entry, assembled: &Assembled) {
        let outcome = match assembled {
            Assembled::Ignored(reason) => Outcome::Ignored(reason.clone()),
            Assembled::Unreadable(reason) => {
                let reason = *reason;
                tracing::warn!(delivery = %entry.key, connection = %entry.delivery.connection, %reason, "delivery dead-lettered");
                self.count_unreadable(entry, reason);
                Outcome::DeadLettered(reason)
            }
            Assembled::Events { .. } => return,
        };
        self.settle_without_publishing(entry, outcome);
    }

    /// Counts a dead letter whose cause is the store. A redriven delivery says nothing about the current state of the store.
    fn count_unreadable(&self, entry: &Entry, reason: ReasonCode) {
        let is_own = OWN_REASONS.contains(&reason);
        if entry.kind != EntryKind::Delivery || entry.redriven || is_own {
            return;
        }
        let id = entry.key.to_string();
        let delivery = UnreadableDelivery {
            id: &id,
            reason,
            body: &entry.delivery.body,
        };
        self.unreadable
            .count(&entry.delivery.connection, delivery, Timestamp::now());
    }

    /// Settles an entry of which no event is published.
    pub(super) fn settle_without_publishing(&mut self, entry: &Entry, outcome: Outcome) {
        self.track_until_settled(entry.delivery.connection.clone(), entry.position);
        self.settling.waiting.push(Settlement {
            position: entry.position,
            redriven: entry.redriven,
            attempts: entry.attempts,
            comparison: None,
            outcome,
        });
    }

    /// Keeps an entry in flight until its settlement is on disk, so that it is not claimed again.
    pub(super) fn track_until_settled(&mut self, connection: ConnectionId, position: Position) {
        if self.in_flight.entries.contains_key(&position) {
            return;
        }
        self.in_flight.shares.add(&connection, 0);
        let entry = InFlightEntry {
            connection,
            bytes: 0,
            is_counted: true,
            redriven: false,
            attempts: 0,
            waiting: 0,
            outcomes: Vec::new(),
            events: Vec::new(),
            event_count: 0,
            entities: Vec::new(),
            reason_ignored: None,
            records: Vec::new(),
            states: Vec::new(),
        };
        self.in_flight.entries.insert(position, entry);
    }
}

pub(super) fn logged(event: &Event) -> LoggedEvent {
    LoggedEvent {
        index: event.id.index,
        event_type: event.event_type(),
        subject: event.subject(),
        omits_raw: event.omits_raw,
    }
}
