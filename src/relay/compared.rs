//! The comparison of an event with the last known state of its entity: options, state and result.

use serde_json::Number;

use crate::entities::{EntityKey, EventRecord, NewState};
use crate::event::Event;
use crate::platforms::Content;

/// How events are compared with the last known state of their entity.
#[derive(Clone, Debug, Default)]
pub struct ComparisonOptions {
    /// Publish an event whose content is known.
    pub publish_unchanged: bool,
    /// Publish an update that is older than the known state.
    pub publish_stale: bool,
    /// Publish the known values of the changed members.
    pub publish_previous: bool,
    /// The quantity from which on a stock is low, for a store that sends no threshold.
    pub low_stock: Option<Number>,
}

/// The comparison of an event with the last known state of its entity.
#[derive(Debug)]
pub(super) enum Comparing {
    /// The event is not compared.
    None,
    /// The event is compared right before it is published.
    Pending(Content),
    Done(Box<Compared>),
}

impl Comparing {
    /// How an event is compared. `content` is the content of its delivery.
    pub(super) fn of(event: &Event, content: Option<Content>) -> Self {
        match content {
            Some(content) if EntityKey::of(&event.connection, &event.normalized).is_some() => {
                Comparing::Pending(content)
            }
            _ => Comparing::None,
        }
    }
}

/// The result of a comparison of an event.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) record: EventRecord,
    pub(super) state: Option<NewState>,
}
