//! What an event takes of memory.
//!
//! The relay's window and the pages of the API count this, not the length of the body: a list of 50,000 empty line items is
//! 150 KB long as JSON and takes 16 MB as line items. The macros of `data` implement [`Weigh`] for every shape, so a new field
//! cannot be forgotten.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Number;

use super::{Amount, Currency, Draft, Entity, Event, Money};

/// Bytes that the allocator adds to each allocation, at most.
const ALLOCATION: usize = 16;

/// A value that knows what it holds on the heap.
pub(crate) trait Weigh {
    /// Bytes on the heap, without the value itself.
    fn heap(&self) -> usize;
}

fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + ALLOCATION }
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
        // A node has room for twice as many entries as it may hold.
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

/// Values without anything on the heap.
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
    /// Bytes of memory that the event takes, without the raw payload: the events of a delivery share that.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.platform.heap() + self.draft.heap()
    }
}

/// Bytes of memory that the events of one delivery take together, with the raw payload that they share.
#[must_use]
pub fn weight(events: &[Event]) -> usize {
    let raw = events.first().map_or(0, |event| event.raw.get().len());
    allocated(raw) + events.iter().map(Event::weight).sum::<usize>()
}
