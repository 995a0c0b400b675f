//! The last known states of the entities whose events are in flight.
//!
//! A state is read from the journal when the first event of its entity can be published, and kept until the last entry with
//! such an event is settled on disk. So a later event finds the newest state although its settlement is not written yet. Pure
//! bookkeeping: no I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::entities::{EntityKey, EntityState};

/// Maximum number of states that one read of the journal returns.
const MAX_READ_STATES: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct KnownEntities {
    entities: HashMap<EntityKey, Known>,
    /// Entities whose states must be read.
    to_read: VecDeque<EntityKey>,
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

impl Known {
    fn bytes(&self) -> usize {
        match &self.state {
            Reading::Read(Some(state)) => state.form.len(),
            Reading::Read(None) | Reading::Pending => 0,
        }
    }
}

impl KnownEntities {
    /// An entry has an event of the entity. `true` if a read of the state is needed, and no other entry has caused it.
    pub(super) fn acquire(&mut self, key: &EntityKey) -> bool {
        let mut is_new = false;
        let known = self.entities.entry(key.clone()).or_insert_with(|| {
            is_new = true;
            Known {
                entries: 0,
                state: Reading::Pending,
            }
        });
        known.entries += 1;
        if is_new {
            self.to_read.push_back(key.clone());
        }
        is_new
    }

    /// The entry is not in flight any more. Returns the bytes that became free.
    pub(super) fn release(&mut self, key: &EntityKey) -> usize {
        let Some(known) = self.entities.get_mut(key) else {
            return 0;
        };
        known.entries = known.entries.saturating_sub(1);
        if known.entries > 0 {
            return 0;
        }
        self.entities.remove(key).map_or(0, |known| known.bytes())
    }

    /// The entities whose states must be read now.
    pub(super) fn start_reading(&mut self) -> Option<Vec<EntityKey>> {
        if self.is_reading || self.to_read.is_empty() {
            return None;
        }
        self.is_reading = true;
        let count = self.to_read.len().min(MAX_READ_STATES);
        Some(self.to_read.drain(..count).collect())
    }

    /// These states were not read: they must be read again.
    pub(super) fn not_read(&mut self, keys: Vec<EntityKey>) {
        for key in keys.into_iter().rev() {
            self.to_read.push_front(key);
        }
    }

    /// A state was read. Returns the bytes that it takes: none if its entity is not in flight any more, or if its state is
    /// known already.
    pub(super) fn read(&mut self, key: &EntityKey, state: Option<EntityState>) -> usize {
        match self.entities.get_mut(key) {
            Some(known) if matches!(known.state, Reading::Pending) => {
                known.state = Reading::Read(state.map(Arc::new));
                known.bytes()
            }
            Some(_) | None => 0,
        }
    }

    /// The newest state of an entity.
    pub(super) fn state(&self, key: &EntityKey) -> Option<Arc<EntityState>> {
        match &self.entities.get(key)?.state {
            Reading::Read(state) => state.clone(),
            Reading::Pending => None,
        }
    }

    /// An event with a new state was published. Returns the bytes that the known state takes now, and took before.
    pub(super) fn accept(&mut self, key: &EntityKey, state: EntityState) -> (usize, usize) {
        let Some(known) = self.entities.get_mut(key) else {
            return (0, 0);
        };
        let before = known.bytes();
        known.state = Reading::Read(Some(Arc::new(state)));
        (known.bytes(), before)
    }
}
