//! How an event differs from the last known state of its entity.

use serde_json::{Map, Value};

use super::money::Money;

/// The result of the comparison with the last known state, as published beside the entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The members that differ, as JSON pointers into the entity; `None` if no state was known.
    pub changed: Option<Vec<String>>,
    /// The known values of these members, by pointer; `None` if they are not published.
    pub previous: Option<Map<String, Value>>,
    /// `true` if the delivery was older than the known state. The event then carries the known state.
    pub is_stale: bool,
    /// The amount of a refund, for an event that a refund caused.
    pub refunded: Option<Money>,
}
