//! Compares each event with the last known state of its entity, right before it is published.
//!
//! All earlier events of the entity are finished then, because a partition has at most one event in flight. The state that an
//! event leads to counts from the moment at which the event is finished. A crash before the settlement leads to the same
//! comparison once more, because states are stored in the transaction that settles.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::compared::{Compared, Comparing, ComparisonOptions};
use super::observed::{next_state, observation, possible_keys, sent_types};
use super::state::{Finished, InFlightEntry, JOURNAL_RETRY_DELAY, Relay};
use super::take_in::logged;
use super::task::{Suspicion, Task, partition_of};
use crate::delivery::ReasonCode;
use crate::entities::{EntityKey, EntityState, EventRecord, NewState, Rules, compare};
use crate::event::{Event, fit};
use crate::journal::JournalError;
use crate::journal::entry::Position;
use crate::publisher::Publish;

/// Maximum bytes of the states that one read of the journal returns; the last one may exceed it.
const MAX_READ_BYTES: usize = 4 << 20;

impl<P: Publish> Relay<P> {
    /// Keeps the states of the events' entities in memory, also of events that were compared before: an event behind them
    /// needs its state. Returns the entities.
    pub(super) fn acquire_states(&mut self, events: &[Event]) -> Vec<EntityKey> {
        if self.comparison.is_none() {
            return Vec::new();
        }
        let keys: BTreeSet<EntityKey> = events.iter().flat_map(possible_keys).collect();
        for key in &keys {
            if self.known.acquire(key) {
                self.partitions.await_state(partition_of(key));
            }
        }
        keys.into_iter().collect()
    }

    /// An entry is not in flight any more, and needs no states.
    pub(super) fn release_states(&mut self, entry: &InFlightEntry) {
        for key in &entry.entities {
            let bytes = self.known.release(key);
            self.in_flight.shares.shrink(&key.connection, bytes);
        }
    }

    /// Reads the states that events wait for.
    pub(super) fn start_reading_states(&mut self) {
        let Some(keys) = self.known.start_reading() else {
            return;
        };
        let journal = self.journal.clone();
        self.work.push(Box::pin(async move {
            let result = journal.entity_states(keys.clone(), MAX_READ_BYTES).await;
            if result.is_err() {
                tokio::time::sleep(JOURNAL_RETRY_DELAY).await;
            }
            Finished::StatesRead { keys, result }
        }));
    }

    pub(super) fn states_read(
        &mut self,
        mut keys: Vec<EntityKey>,
        result: Result<Vec<Option<EntityState>>, JournalError>,
    ) {
        self.known.is_reading = false;
        let states = result.unwrap_or_else(|error| {
            self.journal_failed(&error);
            Vec::new()
        });
        self.known.not_read(keys.split_off(states.len()));
        for (key, state) in keys.into_iter().zip(states) {
            let bytes = self.known.read(&key, state);
            self.in_flight.shares.grow(&key.connection, bytes);
            self.partitions.state_read(partition_of(&key));
        }
    }

    /// Compares an event that is about to be published. Returns the reason code if the event is not published.
    pub(super) fn compare(&mut self, task: &mut Task) -> Option<ReasonCode> {
        let Comparing::Pending(content) = task.comparing else {
            return None;
        };
        task.comparing = Comparing::None;
        let event = &task.event;
        let (key, known) = self.known_state(event)?;
        if !self.is_connected(&event.connection, &task.endpoint) {
            return None;
        }
        let seen = observation(event, key.entity, content, task.position)?;
        let options = self.comparison.as_ref()?;
        let is_redriven = self.in_flight.entries.get(&task.position)?.redriven;
        let rules = self.rules(options, event, is_redriven);
        let comparison = compare(known.as_deref(), &seen, &rules);
        let mut record = EventRecord::new(event.id.index, &comparison, options.publish_previous);
        let state = next_state(&comparison, known.as_deref());
        let reason = record.reason_ignored();
        if reason.is_none() {
            record = self.publish_compared(task, record);
        }
        let state = state.map(|state| NewState { key, state });
        task.comparing = Comparing::Done(Box::new(Compared { record, state }));
        reason
    }

    /// The entity of an event with its known state.
    fn known_state(&self, event: &Event) -> Option<(EntityKey, Option<Arc<EntityState>>)> {
        let mut keys = possible_keys(event).into_iter().map(|key| {
            let state = self.known.state(&key);
            (key, state)
        });
        let first = keys.next()?;
        if first.1.is_some() {
            return Some(first);
        }
        Some(keys.find(|(_, state)| state.is_some()).unwrap_or(first))
    }

    /// The state that a finished event leads to is the known state now, and is stored with the settlement.
    pub(super) fn accept_state(&mut self, position: Position, comparing: Comparing) {
        let Comparing::Done(compared) = comparing else {
            return;
        };
        let Compared { record, state } = *compared;
        if let Some(new) = &state {
            let (bytes, before) = self.known.accept(&new.key, new.state.clone());
            let connection = &new.key.connection;
            self.in_flight.shares.grow(connection, bytes);
            self.in_flight.shares.shrink(connection, before);
        }
        if let Some(entry) = self.in_flight.entries.get_mut(&position) {
            entry.records.push(record);
            entry.states.extend(state);
        }
    }

    fn rules<'a>(
        &self,
        options: &'a ComparisonOptions,
        event: &Event,
        is_redriven: bool,
    ) -> Rules<'a> {
        let connected_at = self.directory.connected_at(&event.connection);
        Rules {
            complete_since: connected_at
                .unwrap_or(Timestamp::MAX)
                .max(self.comparing_since),
            platform_types: sent_types(event),
            low_stock: options.low_stock.as_ref(),
            // An operator wants the events of a redriven delivery.
            publishes_unchanged: options.publish_unchanged || is_redriven,
            publishes_stale: options.publish_stale || is_redriven,
        }
    }

    /// Replaces the event by its compared form, and adds the derived events to its partition. Returns the record of what is
    /// published.
    fn publish_compared(&mut self, task: &mut Task, record: EventRecord) -> EventRecord {
        if record.is_plain() {
            return record;
        }
        let Some(entry) = self.in_flight.entries.get_mut(&task.position) else {
            return record;
        };
        let (position, count) = (task.position, entry.event_count);
        let limit = self.max_event_bytes.bytes();
        let apply = |record: &EventRecord| {
            let mut events = record.apply(Event::clone(&task.event), position, count);
            let fits = events.iter_mut().all(|event| fit(event, limit).is_ok());
            fits.then_some(events)
        };
        let (published, events) = match apply(&record) {
            Some(events) => (record, events),
            None => {
                tracing::warn!(event = %task.event.id, "event too large with its changes; publishing it without them");
                let reduced = record.without_differences();
                match apply(&reduced) {
                    Some(events) => (reduced, events),
                    // The event itself was limited before.
                    None => {
                        let alone = reduced.without_derived();
                        let events = apply(&alone).unwrap_or_default();
                        (alone, events)
                    }
                }
            }
        };
        entry
            .events
            .retain(|logged| logged.index != task.event.id.index);
        entry.events.extend(events.iter().map(logged));
        let mut events = events.into_iter();
        if let Some(event) = events.next() {
            task.event = Arc::new(event);
        }
        for event in events {
            entry.waiting += 1;
            self.partitions.insert(Task {
                position,
                attempts: 0,
                endpoint: task.endpoint.clone(),
                is_incomplete: false,
                bytes: task.bytes,
                suspicion: Suspicion::default(),
                comparing: Comparing::None,
                event: Arc::new(event),
            });
        }
        published
    }
}
