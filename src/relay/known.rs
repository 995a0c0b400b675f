//! The last known states of the entities whose events are in flight.
//!
//! A state is read from the journal when the first event of its entity is taken in, and kept until the last entry with such an
//! event is settled on disk. So a later event finds the newest state although its settlement is not written yet. Pure
//! bookkeeping: no I/O.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entities::{EntityKey, EntityState};

#[derive(Debug, Default)]
pub(super) struct KnownEntities {
    /// By partition key.
    entities: HashMap<String, Known>,
    /// Entities whose states must be read.
    to_read: Vec<EntityKey>,
    pub(super) is_reading: bool,
}

#[derive(Debug)]
struct Known {
    /// Number of entries in flight with an event of the entity.
    entries: usize,
    state: Reading,
}

#[derive(Debug)]
enum Reading {
    Pending,
    /// `None` if no state is known.
    Read(Option<Arc<EntityState>>),
}

impl KnownEntities {
    /// An entry has an event of the entity. `true` if the event must wait until the state is read.
    pub(super) fn acquire(&mut self, key: &EntityKey) -> bool {
        let known = self.entities.entry(key.partition_key()).or_insert_with(|| {
            self.to_read.push(key.clone());
            Known {
                entries: 0,
                state: Reading::Pending,
            }
        });
        known.entries += 1;
        matches!(known.state, Reading::Pending)
    }

    /// The entry is not in flight any more.
    pub(super) fn release(&mut self, partition_key: &str) {
        if let Some(known) = self.entities.get_mut(partition_key) {
            known.entries = known.entries.saturating_sub(1);
            if known.entries == 0 {
                self.entities.remove(partition_key);
            }
        }
    }

    /// The entities whose states must be read now.
    pub(super) fn start_reading(&mut self) -> Option<Vec<EntityKey>> {
        if self.is_reading || self.to_read.is_empty() {
            return None;
        }
        self.is_reading = true;
        Some(std::mem::take(&mut self.to_read))
    }

    /// The states could not be read: they must be read again.
    pub(super) fn read_failed(&mut self, mut keys: Vec<EntityKey>) {
        self.is_reading = false;
        self.to_read.append(&mut keys);
    }

    /// A state was read. Ignored if a newer one is known.
    pub(super) fn read(&mut self, partition_key: &str, state: Option<EntityState>) {
        if let Some(known) = self.entities.get_mut(partition_key)
            && matches!(known.state, Reading::Pending)
        {
            known.state = Reading::Read(state.map(Arc::new));
        }
    }

    /// The newest state of an entity.
    pub(super) fn state(&self, partition_key: &str) -> Option<Arc<EntityState>> {
        match &self.entities.get(partition_key)?.state {
            Reading::Read(state) => state.clone(),
            Reading::Pending => None,
        }
    }

    /// An event with a new state was published.
    pub(super) fn accept(&mut self, partition_key: &str, state: EntityState) {
        if let Some(known) = self.entities.get_mut(partition_key) {
            known.state = Reading::Read(Some(Arc::new(state)));
        }
    }
}
