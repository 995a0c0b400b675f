//! One event on its way to the broker, and the route that it takes.

use std::sync::Arc;

use super::compared::Comparing;
use crate::delivery::ConnectionId;
use crate::entities::EntityKey;
use crate::event::{Entity, Event};
use crate::journal::entry::Position;

/// An event on its way to the broker.
#[derive(Debug)]
pub(super) struct Task {
    /// The journal entry that the event belongs to.
    pub(super) position: Position,
    /// Failed attempts so far.
    pub(super) attempts: u32,
    /// The connection whose endpoint received the delivery.
    pub(super) endpoint: ConnectionId,
    /// `true` until the enrichment of its delivery has ended.
    pub(super) is_incomplete: bool,
    /// Bytes of its delivery and of the store's response.
    pub(super) bytes: usize,
    /// The comparison of the event with the known state of its entity.
    pub(super) comparing: Comparing,
    /// What happened to the event so far, which decides how it is sent.
    pub(super) suspicion: Suspicion,
    pub(super) event: Arc<Event>,
}

impl Task {
    /// `true` if the connection or its app is this one.
    pub(super) fn is_of(&self, connection: &ConnectionId) -> bool {
        self.event.connection == *connection || self.endpoint == *connection
    }
}

/// What an event may have done to the broker's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// The event was in flight on a channel that the broker closed.
    pub(super) closed_channel: bool,
    /// How often in a row the event was in flight on a connection that was lost.
    pub(super) lost_connections: u32,
    /// How often a connection was lost that carried only this event, while the other connection stayed open.
    pub(super) killed_connections: u32,
    /// The broker returned the event once, because no queue is bound for it.
    pub(super) was_returned: bool,
}

/// The partition of an event: its events are published in order, one at a time.
///
/// A product, a variant and a stock item with one id share a partition. WooCommerce sends a deleted variant as a product, and
/// an event of the stock can be derived from an event of its product.
#[must_use]
pub(super) fn partition(event: &Event) -> String {
    let normalized = &event.normalized;
    partition_name(&event.connection, normalized.entity.name(), &normalized.id)
}

/// The partition of an entity's events.
#[must_use]
pub(super) fn partition_of(key: &EntityKey) -> String {
    partition_name(&key.connection, key.entity_of_events(), &key.id)
}

fn partition_name(connection: &ConnectionId, entity: &str, id: &str) -> String {
    let entity = match entity {
        "variant" | "inventory" => "product",
        entity => entity,
    };
    format!("{connection}/{entity}/{id}")
}

/// What the broker routes by: connection, entity and verb. Actions share one route, because a store can define any number of them.
pub(super) type Route = Arc<str>;

#[must_use]
pub(super) fn route(event: &Event) -> Route {
    let (entity, connection) = (event.normalized.entity.name(), &event.connection);
    match &event.normalized.entity {
        Entity::Action(_) => format!("{connection}/{entity}").into(),
        Entity::Order(_)
        | Entity::Product(_)
        | Entity::Customer(_)
        | Entity::Coupon(_)
        | Entity::Subscription(_)
        | Entity::Variant(_)
        | Entity::Collection(_)
        | Entity::Inventory(_)
        | Entity::Fulfillment(_)
        | Entity::Payment(_)
        | Entity::Checkout(_)
        | Entity::App(_)
        | Entity::Site(_)
        | Entity::Connection(_)
        | Entity::Unrecognized(_) => {
            format!("{connection}/{entity}.{}", event.normalized.verb).into()
        }
    }
}
