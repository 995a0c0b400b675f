//! The memory that an event needs.
//!
//! The relay's window and the pages of the API count this memory instead of the body's length. A list of 50,000 empty line
//! items has 150 KB of JSON and needs 16 MB as line items. The macros of `data` implement [`Weigh`] for every shape, so a
//! new field is always counted.

use super::cloud_event::Event;
use super::data::Entity;
use super::normalized::NormalizedEvent;
use super::weigh::{Weigh, allocated};

impl Weigh for Entity {
    fn heap(&self) -> usize {
        match self {
            Entity::Order(order) => order.heap(),
            Entity::Subscription(subscription) => subscription.heap(),
            Entity::Product(product) | Entity::Variant(product) => product.heap(),
            Entity::Collection(collection) => collection.heap(),
            Entity::Inventory(inventory) => inventory.heap(),
            Entity::Fulfillment(fulfillment) => fulfillment.heap(),
            Entity::Payment(payment) => payment.heap(),
            Entity::Customer(customer) => customer.heap(),
            Entity::Coupon(coupon) => coupon.heap(),
            Entity::Checkout(checkout) => checkout.heap(),
            Entity::App(app) => app.heap(),
            Entity::Site(site) => site.heap(),
            Entity::Connection(connection) => connection.heap(),
            Entity::Action(action) => action.heap(),
            Entity::Unrecognized(unrecognized) => unrecognized.heap(),
        }
    }
}

impl Weigh for NormalizedEvent {
    fn heap(&self) -> usize {
        self.verb.heap() + self.id.heap() + self.entity.heap() + self.changed.heap()
    }
}

impl Event {
    /// Memory in bytes, without the raw payload, which the events of a delivery share.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.platform.heap() + self.normalized.heap()
    }
}

/// Memory in bytes of all events of one delivery, with the raw payload that they share.
#[must_use]
pub fn weight(events: &[Event]) -> usize {
    let raw = events.first().map_or(0, |event| event.raw.get().len());
    allocated(raw) + events.iter().map(Event::weight).sum::<usize>()
}
