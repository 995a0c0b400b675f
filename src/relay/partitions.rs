//! Order per partition key: each key has one partition, and each partition has at most one event in flight.
//!
//! If the broker refuses an event, no later event of its key was sent: so a retry keeps the order.
//! Different keys never wait for each other. Partitions that are ready take turns by connection, and within a connection by
//! route. Pure bookkeeping: no clock of its own, no I/O.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::compared::Comparing;
use super::ready::{Readiness, Ready};
use super::task::{Route, Task, partition, route};
use crate::delivery::ConnectionId;
use crate::event::Event;
use crate::journal::entry::Position;
use crate::platforms::Content;

/// The enriched events of an entry.
#[derive(Default)]
pub(super) struct EnrichedEvents {
    pub(super) events: Vec<Event>,
    pub(super) content: Option<Content>,
    /// Bytes of the delivery and of the store's response.
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// By key. A partition with an event in flight stays, even if no event waits in it.
    partitions: HashMap<String, VecDeque<Task>>,
    /// Partitions whose first event can be published, by connection, and the connections' turns.
    ready: HashMap<ConnectionId, Ready>,
    turns: VecDeque<ConnectionId>,
    /// Partitions whose first event backs off, by the end of the back-off.
    delayed: BTreeMap<(Instant, u64), String>,
    /// Partitions without an event in flight whose first event waits for its enrichment.
    incomplete: HashSet<String>,
    /// Partitions with states that are not read yet, and the number of these states.
    unread: HashMap<String, usize>,
    /// Partitions without an event in flight whose first event waits for these states.
    awaiting_state: HashSet<String>,
    delays: u64,
}

impl Partitions {
    /// Adds an event at the end of its partition.
    pub(super) fn push(&mut self, task: Task) {
        let key = partition(&task.event);
        match self.partitions.get_mut(&key) {
            Some(partition) => partition.push_back(task),
            None => {
                self.partitions.insert(key.clone(), VecDeque::from([task]));
                self.offer(key);
            }
        }
    }

    /// Adds a derived event in the order of its sequence: after its delivery, before later deliveries. The event that it is
    /// derived from must be in flight.
    pub(super) fn insert(&mut self, task: Task) {
        let key = partition(&task.event);
        let Some(partition) = self.partitions.get_mut(&key) else {
            return self.push(task);
        };
        let later = partition
            .iter()
            .position(|other| other.event.sequence > task.event.sequence);
        partition.insert(later.unwrap_or(partition.len()), task);
    }

    /// The events of this partition wait until one more state is read.
    pub(super) fn await_state(&mut self, key: String) {
        *self.unread.entry(key).or_default() += 1;
    }

    /// One of the states that the partition waits for was read.
    pub(super) fn state_read(&mut self, key: String) {
        if let Some(count) = self.unread.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.unread.remove(&key);
            }
        }
        if !self.unread.contains_key(&key) && self.awaiting_state.remove(&key) {
            self.offer(key);
        }
    }

    /// Readies a partition that has no event in flight, unless its first event waits for its enrichment or for a state.
    fn offer(&mut self, key: String) {
        match self.partitions.get(&key).and_then(VecDeque::front) {
            Some(Task {
                is_incomplete: true,
                ..
            }) => drop(self.incomplete.insert(key)),
            Some(_) if self.unread.contains_key(&key) => drop(self.awaiting_state.insert(key)),
            Some(task) => {
                let (connection, route) = (task.event.connection.clone(), route(&task.event));
                let ready = self.ready.entry(connection.clone()).or_insert_with(|| {
                    self.turns.push_back(connection);
                    Ready::default()
                });
                ready.push(route, key);
            }
            None => drop(self.partitions.remove(&key)),
        }
    }

    /// Removes the queued events of an entry.
    pub(super) fn remove(&mut self, position: Position, keys: &HashSet<String>) {
        self.complete(position, keys, EnrichedEvents::default());
    }

    /// Replaces the queued events of an entry with their enriched versions. Events without a successor are removed.
    pub(super) fn complete(
        &mut self,
        position: Position,
        keys: &HashSet<String>,
        enriched: EnrichedEvents,
    ) {
        let EnrichedEvents {
            events,
            content,
            bytes,
        } = enriched;
        let mut events: HashMap<u16, Event> = events
            .into_iter()
            .map(|event| (event.id.index, event))
            .collect();
        for key in keys {
            let Some(partition) = self.partitions.get_mut(key) else {
                continue;
            };
            partition.retain_mut(|task| {
                if task.position != position {
                    return true;
                }
                let event = events.remove(&task.event.id.index);
                let stays = event.is_some();
                (task.is_incomplete, task.bytes) = (false, bytes);
                if let Some(event) = event {
                    task.comparing = Comparing::of(&event, content);
                    task.event = Arc::new(event);
                }
                stays
            });
            if self.incomplete.remove(key) {
                self.offer(key.clone());
            }
        }
    }

    /// Takes the first event of the next ready partition that `may` lets go. The partition then waits for
    /// [`Partitions::done`] or [`Partitions::again`]. Connections take turns, and so do the routes of one.
    pub(super) fn take(
        &mut self,
        may: impl Fn(&Route, &Task) -> Readiness,
    ) -> Option<(Route, Task)> {
        for _ in 0..self.turns.len() {
            let connection = self.turns.pop_front()?;
            let Some(ready) = self.ready.get_mut(&connection) else {
                continue;
            };
            let taken = ready.take(&mut self.partitions, &may);
            if ready.is_empty() {
                self.ready.remove(&connection);
            } else {
                self.turns.push_back(connection);
            }
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Removes the waiting events of one connection, and returns their positions. Events in flight stay, events of entries
    /// that have begun, and events before those in a partition, so that no event overtakes another.
    pub(super) fn withdraw(
        &mut self,
        connection: &ConnectionId,
        has_begun: impl Fn(Position) -> bool,
    ) -> Vec<Position> {
        let staying = self.staying(connection, has_begun);
        let mut withdrawn = Vec::new();
        let mut touched = HashSet::new();
        for (key, partition) in &mut self.partitions {
            let count = partition.len();
            partition.retain(|task| {
                let stays = !task.is_of(connection) || staying.contains(&task.position);
                if !stays {
                    withdrawn.push(task.position);
                }
                stays
            });
            if partition.len() < count {
                touched.insert(key.clone());
            }
        }
        // A partition that was ready, delayed or waiting has nothing in flight; its first event may have changed.
        let mut waiting = HashSet::new();
        for ready in self.ready.values_mut() {
            waiting.extend(ready.withdraw(&touched));
        }
        self.ready.retain(|_, ready| !ready.is_empty());
        self.turns.retain(|turn| self.ready.contains_key(turn));
        self.delayed.retain(|_, key| {
            let stays = !touched.contains(key);
            if !stays {
                waiting.insert(key.clone());
            }
            stays
        });
        for keys in [&mut self.incomplete, &mut self.awaiting_state] {
            waiting.extend(keys.extract_if(|key| touched.contains(key)));
        }
        for key in waiting {
            self.offer(key);
        }
        withdrawn
    }

    /// The entries of a connection whose events must not be withdrawn: those that have begun, and those with an event that is
    /// published before an event of such an entry.
    fn staying(
        &self,
        connection: &ConnectionId,
        has_begun: impl Fn(Position) -> bool,
    ) -> HashSet<Position> {
        let mut staying = HashSet::new();
        loop {
            let count = staying.len();
            for partition in self.partitions.values() {
                let own = partition.iter().rev().filter(|task| task.is_of(connection));
                let stays = own.skip_while(|task| {
                    !staying.contains(&task.position) && !has_begun(task.position)
                });
                let stays: Vec<Position> = stays.map(|task| task.position).collect();
                staying.extend(stays);
            }
            if staying.len() == count {
                return staying;
            }
        }
    }

    /// Counts the entries of a connection that wait behind incomplete entries, and returns the incomplete ones.
    #[must_use]
    pub(super) fn held_up(&self, connection: &ConnectionId) -> (usize, HashSet<Position>) {
        let (mut behind, mut before) = (HashSet::new(), HashSet::new());
        let partitions = self
            .incomplete
            .iter()
            .filter_map(|key| self.partitions.get(key));
        for partition in partitions {
            let is_own = |task: &Task| task.event.connection == *connection;
            if !partition.front().is_some_and(is_own) {
                continue;
            }
            let count = behind.len();
            let whole = partition.iter().filter(|task| !task.is_incomplete);
            behind.extend(whole.map(|task| task.position));
            if behind.len() > count {
                let incomplete = partition.iter().filter(|task| task.is_incomplete);
                before.extend(incomplete.map(|task| task.position));
            }
        }
        (behind.len(), before)
    }

    /// The event that was taken from the partition is settled: the next one can be published.
    pub(super) fn done(&mut self, key: String) {
        self.offer(key);
    }

    /// Returns the event that was taken to the front of its partition. The partition is ready at `not_before`, or at once.
    pub(super) fn again(&mut self, task: Task, not_before: Option<Instant>) {
        let key = partition(&task.event);
        self.partitions
            .entry(key.clone())
            .or_default()
            .push_front(task);
        match not_before {
            None => self.offer(key),
            Some(instant) => {
                self.delays += 1;
                self.delayed.insert((instant, self.delays), key);
            }
        }
    }

    /// Readies the partitions whose back-off is over. Returns the end of the next back-off.
    pub(super) fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(first) = self.delayed.first_entry() {
            let (instant, _) = *first.key();
            if instant > now {
                return Some(instant);
            }
            let key = first.remove();
            self.offer(key);
        }
        None
    }

    /// `true` if the first event of any partition can be published.
    #[must_use]
    pub(super) fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests;
