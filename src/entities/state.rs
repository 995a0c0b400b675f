//! The last known state of one entity.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::kept::{MEMBER, entity_name};
use crate::delivery::ConnectionId;
use crate::event::{Entity, NormalizedEvent};
use crate::platforms::ContentDigest;

/// The newest accepted state of an entity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EntityState {
    /// 1 for the first state, one more for each next one. Of two states of an entity, the one with the higher revision is
    /// newer.
    pub(crate) revision: u64,
    /// The position of the newest delivery that changed the state.
    pub(crate) position: i64,
    /// The normalized entity as consumers see it under `data.{entity}`: JSON. As text it takes a tenth of the memory.
    pub(crate) form: Arc<str>,
    /// The entity's status in the common vocabulary, for lists.
    pub(crate) status: Option<String>,
    pub(crate) content: ContentDigest,
    pub(crate) version: EntityVersion,
    pub(crate) is_deleted: bool,
    /// `true` if the stock is low or out. Only for products, variants and stock items.
    pub(crate) is_low: bool,
    /// `false` if only a part of the entity was seen so far.
    pub(crate) is_whole: bool,
    /// The verbs that were published and still describe the state. The same verb is not published twice for it.
    pub(crate) published_verbs: BTreeSet<String>,
}

impl EntityState {
    /// The normalized entity as a value; `null` if the text is no JSON.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.form).unwrap_or_default()
    }
}

/// The name of an entity of a connection in the memory of states.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntityKey {
    pub(crate) connection: ConnectionId,
    /// A name of [`ENTITIES`](super::ENTITIES), for example `order`.
    pub(crate) entity: &'static str,
    /// The entity's id at the platform.
    pub(crate) id: String,
}

impl EntityKey {
    /// The name of an event's entity; `None` if its states are not kept.
    ///
    /// A member of a Wix site often has the id of its contact. Both are customers, but each has a version and a content of its
    /// own.
    pub(crate) fn of(connection: &ConnectionId, event: &NormalizedEvent) -> Option<Self> {
        let name = match &event.entity {
            Entity::Customer(customer) if customer.kind.as_deref() == Some(MEMBER) => MEMBER,
            entity => entity.name(),
        };
        Some(Self {
            connection: connection.clone(),
            entity: entity_name(name)?,
            id: event.id.clone(),
        })
    }

    /// The entity that its events name.
    pub(crate) fn entity_of_events(&self) -> &'static str {
        if self.entity == MEMBER {
            "customer"
        } else {
            self.entity
        }
    }

    /// The subject of the entity's events.
    pub(crate) fn subject(&self) -> String {
        format!("{}/{}", self.entity_of_events(), self.id)
    }
}

/// A state to store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewState {
    pub(crate) key: EntityKey,
    pub(crate) state: EntityState,
}

/// How new a state is, as the store says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntityVersion {
    /// The platform's own counter of the entity's events.
    pub(crate) sequence: Option<u64>,
    /// When the store changed the entity. Some platforms send whole seconds only.
    pub(crate) updated_at: Option<Timestamp>,
}

impl EntityVersion {
    /// Compares two versions of one entity: by the counters if both have one, else by the times. `None` if nothing can be
    /// compared.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.sequence, other.sequence) {
            (Some(own), Some(other)) => Some(own.cmp(&other)),
            _ => Some(self.updated_at?.cmp(&other.updated_at?)),
        }
    }

    /// The newer value of each member, for a state that is put together from several events.
    pub(crate) fn newest(self, other: Self) -> Self {
        Self {
            sequence: self.sequence.max(other.sequence),
            updated_at: self.updated_at.max(other.updated_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::EntityVersion;

    fn version(sequence: Option<u64>, updated_at: Option<&str>) -> EntityVersion {
        EntityVersion {
            sequence,
            updated_at: updated_at.map(|time| time.parse().expect("a time")),
        }
    }

    #[test]
    fn counters_decide_before_times() {
        let early = version(Some(1), Some("2026-01-02T00:00:00Z"));
        let late = version(Some(2), Some("2026-01-01T00:00:00Z"));
        assert_eq!(early.compare(&late), Some(Ordering::Less));
    }

    #[test]
    fn times_decide_without_counters_on_both_sides() {
        let early = version(Some(9), Some("2026-01-01T00:00:00Z"));
        let late = version(None, Some("2026-01-02T00:00:00Z"));
        assert_eq!(early.compare(&late), Some(Ordering::Less));
        assert_eq!(early.compare(&version(None, None)), None);
    }
}
