//! The memory that an event needs.
//!
//! The relay's window and the pages of the API count this memory instead of the body's length. A list of 50,000 empty line
//! items has 150 KB of JSON and needs 16 MB as line items. The macros of `data` implement [`Weigh`] for every shape, so a
//! new field is always counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Number;

use super::{Amount, Currency, Draft, Entity, Event, Money};

/// Maximum bytes that the allocator adds to each allocation.
const ALLOCATION_OVERHEAD_BYTES: usize = 16;

/// A value whose heap memory can be counted.
pub(crate) trait Weigh {
    /// Heap memory in bytes, without the size of the value itself.
    fn heap(&self) -> usize;
}

fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        0
    } else {
        bytes + ALLOCATION_OVERHEAD_BYTES
    }
}

impl Weigh for String {
    fn heap(&self) -> usize {
        allocated(self.capacity())
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, T::heap)
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn heap(&self) -> usize {
        allocated(self.capacity() * size_of::<T>()) + self.iter().map(T::heap).sum::<usize>()
    }
}

impl<T: Weigh> Weigh for Box<T> {
    fn heap(&self) -> usize {
        allocated(size_of::<T>()) + T::heap(self)
    }
}

impl Weigh for BTreeMap<String, String> {
    fn heap(&self) -> usize {
        // A tree node may be half empty, so each entry counts twice.
        let entry = 2 * size_of::<(String, String)>();
        self.iter()
            .map(|(name, value)| entry + name.heap() + value.heap())
            .sum()
    }
}

impl Weigh for Number {
    fn heap(&self) -> usize {
        allocated(self.as_str().len())
    }
}

impl Weigh for Amount {
    fn heap(&self) -> usize {
        allocated(self.as_str().len())
    }
}

impl Weigh for Money {
    fn heap(&self) -> usize {
        self.amount.heap()
    }
}

/// Implements [`Weigh`] for types without heap memory.
macro_rules! weightless {
    ($($name:ty),*) => {
        $(impl Weigh for $name {
            fn heap(&self) -> usize {
                0
            }
        })*
    };
}
weightless!(bool, Timestamp, Currency);

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

impl Weigh for Draft {
    fn heap(&self) -> usize {
        self.verb.heap() + self.id.heap() + self.entity.heap() + self.changed.heap()
    }
}

impl Event {
    /// Memory in bytes, without the raw payload, which the events of a delivery share.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.platform.heap() + self.draft.heap()
    }
}

/// Memory in bytes of all events of one delivery, with the raw payload that they share.
#[must_use]
pub fn weight(events: &[Event]) -> usize {
    let raw = events.first().map_or(0, |event| event.raw.get().len());
    allocated(raw) + events.iter().map(Event::weight).sum::<usize>()
}
