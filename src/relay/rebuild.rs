//! Makes the known states of entities again from stored deliveries, without publishing.

use std::collections::HashMap;

use jiff::Timestamp;

use super::compared::ComparisonOptions;
use super::observed::{next_state, observation, possible_keys, sent_types};
use crate::entities::{EntityKey, EntityState, NewState, Rules, compare};
use crate::event::Event;
use crate::journal::entry::Entry;
use crate::normalize::{Assembled, assemble};

/// The states that were made so far, and how new ones are made.
pub(crate) struct StateRebuild {
    options: ComparisonOptions,
    /// Since when the states of entities are complete, by connection.
    complete_since: HashMap<String, Timestamp>,
    states: HashMap<EntityKey, EntityState>,
}

impl StateRebuild {
    /// `complete_since` has the time since which all changes of a connection's store arrive.
    pub(crate) fn new(
        options: ComparisonOptions,
        complete_since: HashMap<String, Timestamp>,
    ) -> Self {
        Self {
            options,
            complete_since,
            states: HashMap::new(),
        }
    }

    /// Applies a delivery. Deliveries must come in the order of their positions.
    pub(crate) fn apply(&mut self, mut entry: Entry) {
        // The record has the result of the comparison that is made again.
        entry.record = None;
        let Assembled::Events {
            events,
            content: Some(content),
            ..
        } = assemble(&entry)
        else {
            return;
        };
        for event in events {
            let keys = possible_keys(&event);
            let known = keys.iter().find(|key| self.states.contains_key(key));
            let Some(key) = known.or(keys.first()).cloned() else {
                continue;
            };
            let known = self.states.get(&key);
            let Some(seen) = observation(&event, key.entity, content, entry.position) else {
                continue;
            };
            let comparison = compare(known, &seen, &self.rules(&event));
            if let Some(state) = next_state(&comparison, known) {
                self.states.insert(key, state);
            }
        }
    }

    fn rules(&self, event: &Event) -> Rules<'_> {
        let since = self.complete_since.get(event.connection.as_str());
        Rules {
            complete_since: since.copied().unwrap_or(Timestamp::MAX),
            platform_types: sent_types(event),
            low_stock: self.options.low_stock.as_ref(),
            publishes_unchanged: self.options.publish_unchanged,
            publishes_stale: self.options.publish_stale,
        }
    }

    /// The states, in no order.
    pub(crate) fn finish(self) -> Vec<NewState> {
        let states = self.states.into_iter();
        states.map(|(key, state)| NewState { key, state }).collect()
    }
}
