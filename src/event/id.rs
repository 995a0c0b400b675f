//! What identifies and orders events: id and sequence.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::delivery::DeliveryKey;

/// An event's id: the delivery's key and the event's index in it. Redelivery, crash and redrive give the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The key of the event's delivery. The connection is part of the key.
    pub delivery: DeliveryKey,
    /// The position of the event in its delivery, from 0.
    pub index: u16,
}

impl EventId {
    /// Reads the form that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (delivery, index) = text.split_once('-')?;
        Some(Self {
            delivery: DeliveryKey::parse(delivery)?,
            index: index.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.delivery, self.index)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The order of an event within its partition key: strictly growing, with gaps.
///
/// The number consists of the delivery's position in the journal and the event's index. A crash or a redrive therefore
/// gives the same number, and no counter is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(u64);

impl Sequence {
    /// `position` is the delivery's position in the journal, `index` the event's position in the delivery.
    #[must_use]
    pub fn new(position: i64, index: u16) -> Self {
        // 16 bits for the index and 47 bits for the position: enough for 4 million deliveries a second for a year.
        Self((position.max(0).unsigned_abs() << 16) | u64::from(index))
    }
}

/// Zero-padded to 20 digits, so that sequences sort as text.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}
