//! What a comparison found, as it is stored beside the delivery, and the events that it makes.
//!
//! The relay publishes the events that [`EventRecord::apply`] makes, and every later reader of the delivery makes the same
//! events from the stored record.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::compare::Comparison;
use super::state::NewState;
use super::transition::{Derived, EntityTransition};
use crate::delivery::ReasonCode;
use crate::event::data::{Inventory, Product};
use crate::event::{Amount, Authority, Difference, Entity, Event, EventId, Sequence, verbs};

/// The result of the comparison of a delivery's events, to be stored with its settlement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryComparison {
    /// `None` if no event of the delivery is published.
    pub(crate) record: Option<DeliveryRecord>,
    /// The new states of the entities.
    pub(crate) states: Vec<NewState>,
}

/// The result for each compared event of a delivery, sorted by index. An event without a record was not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryRecord(pub(crate) Vec<EventRecord>);

impl DeliveryRecord {
    /// The changed members of an event, as JSON pointers.
    pub(crate) fn changed(&self, index: u16) -> Option<Vec<String>> {
        let record = self.0.iter().find(|record| record.index == index)?;
        record.changed.clone()
    }

    /// Makes the published events of a delivery from its events before the comparison.
    pub(crate) fn apply(&self, events: Vec<Event>, position: i64) -> Vec<Event> {
        let count = events.len();
        let mut records = self.0.iter().peekable();
        let mut published = Vec::with_capacity(count);
        for event in events {
            match records.next_if(|record| record.index == event.id.index) {
                Some(record) => published.extend(record.apply(event, position, count)),
                None => published.push(event),
            }
        }
        published
    }
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    /// The event's index in its delivery.
    pub(crate) index: u16,
    result: RecordedResult,
    /// The members that differ from the known state, as JSON pointers; `None` if no state was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
    /// The known values of these members, if they are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Map<String, Value>>,
    /// The known state, if it was published in place of older content. `None` if only a part of the entity is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    derived: Vec<Derived>,
    /// `true` if a second creation of the entity was published as an update.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_created_again: bool,
}

/// The result of a comparison without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordedResult {
    Unchanged,
    Stale,
    StaleButNews,
    Changed,
}

impl EventRecord {
    /// The reason code of an event that is not published; `None` if it is published.
    pub(crate) fn reason_ignored(&self) -> Option<ReasonCode> {
        match self.result {
            RecordedResult::Unchanged => Some(ReasonCode::Unchanged),
            RecordedResult::Stale => Some(ReasonCode::Stale),
            RecordedResult::StaleButNews | RecordedResult::Changed => None,
        }
    }

    /// The record of a comparison. `with_previous` stores the known values of the changed members too.
    pub(crate) fn new(index: u16, comparison: &Comparison, with_previous: bool) -> Self {
        let mut record = Self {
            index,
            result: RecordedResult::Unchanged,
            changed: None,
            previous: None,
            known: None,
            derived: Vec::new(),
            is_created_again: false,
        };
        match comparison {
            Comparison::Unchanged(_) => {}
            Comparison::Stale => record.result = RecordedResult::Stale,
            Comparison::StaleButNews(next) => {
                record.result = RecordedResult::StaleButNews;
                record.known = next.is_whole.then(|| next.value());
            }
            Comparison::Changed {
                changes,
                derived,
                is_created_again,
                ..
            } => {
                record.is_created_again = *is_created_again;
                record.result = RecordedResult::Changed;
                record.changed = changes.as_ref().map(|changes| changes.pointers.clone());
                record.previous = changes
                    .as_ref()
                    .filter(|_| with_previous)
                    .map(|changes| changes.previous.clone());
                record.derived = derived.clone();
            }
        }
        record
    }

    /// `true` if the event is published alone and without differences, as most events of a new entity are.
    pub(crate) fn is_plain(&self) -> bool {
        self.result == RecordedResult::Changed
            && self.changed.is_none()
            && self.previous.is_none()
            && self.known.is_none()
            && self.derived.is_empty()
            && !self.is_created_again
    }

    /// The record of an event that is too large with its differences.
    pub(crate) fn without_differences(self) -> Self {
        Self {
            changed: None,
            previous: None,
            known: None,
            ..self
        }
    }

    /// The record of an event whose derived events are too large as well.
    pub(crate) fn without_derived(self) -> Self {
        Self {
            derived: Vec::new(),
            ..self
        }
    }

    /// Makes the published events of a compared event: itself and those derived from it, in order; none if it is not
    /// published. `position` is the delivery's position in the journal, `count` the number of events before the
    /// comparison.
    pub(crate) fn apply(&self, mut event: Event, position: i64, count: usize) -> Vec<Event> {
        if self.reason_ignored().is_some() {
            return Vec::new();
        }
        if let Some(known) = &self.known
            && let Some(entity) = Entity::from_json(event.normalized.entity.name(), known)
        {
            event.normalized.entity = entity;
        }
        if self.is_created_again {
            event.normalized.verb = verbs::UPDATED.to_owned();
        }
        event.difference = Difference {
            changed: self.changed.clone(),
            previous: self.previous.clone(),
            is_stale: self.result == RecordedResult::StaleButNews,
            refunded: None,
        };
        let derived: Vec<Event> = self
            .derived
            .iter()
            .filter_map(|derived| derived_event(&event, derived, position, count))
            .collect();
        let mut events = vec![event];
        events.extend(derived);
        events
    }
}

/// Number of indexes that each event has for the events derived from it.
const DERIVED_INDEXES: usize = 16;

fn derived_event(event: &Event, derived: &Derived, position: i64, count: usize) -> Option<Event> {
    let offset = usize::from(event.id.index) * DERIVED_INDEXES + derived.transition as usize;
    let index = u16::try_from(count + offset).ok()?;
    let mut new = event.clone();
    new.id = EventId { index, ..event.id };
    new.sequence = Sequence::new(position, index);
    new.normalized.verb = derived.transition.verb().to_owned();
    new.difference = Difference::default();
    new.normalized.changed = None;
    if derived.transition.entity() == "inventory"
        && let Entity::Product(product) | Entity::Variant(product) = &event.normalized.entity
    {
        new.normalized.authority = Authority::Partial;
        new.normalized.entity = Entity::Inventory(Box::new(inventory(product)));
    }
    if derived.transition == EntityTransition::OrderRefunded
        && let Entity::Order(order) = &event.normalized.entity
    {
        let amount = derived.refunded.as_deref().and_then(Amount::parse);
        new.difference.refunded =
            amount.map(|amount| amount.in_currency(order.currency.as_deref()));
    }
    Some(new)
}

/// The stock of a product as an entity of its own.
fn inventory(product: &Product) -> Inventory {
    let stock = product.inventory.clone().unwrap_or_default();
    Inventory {
        id: product.id.clone(),
        product_id: Some(
            product
                .parent_id
                .clone()
                .unwrap_or_else(|| product.id.clone()),
        ),
        variant_id: product.parent_id.as_ref().map(|_| product.id.clone()),
        sku: product.sku.clone(),
        managed: stock.managed,
        quantity: stock.quantity,
        low_stock_threshold: stock.low_stock_threshold,
        status: stock.status,
        updated_at: product.updated_at,
        ..Inventory::default()
    }
}
