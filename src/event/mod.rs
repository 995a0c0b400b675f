//! The event: one normalized change at a store in a CloudEvents 1.0 envelope.
//!
//! This module contains plain data, its JSON form and its JSON Schema. `platforms` creates the data, and `relay` decides
//! when an event is published.

mod cloud_event;
pub mod data;
mod difference;
mod id;
mod money;
mod normalized;
mod origin;
mod schema;
mod size;
mod types;
pub mod verbs;
mod weigh;
mod weight;

pub use cloud_event::Event;
pub use data::Entity;
pub use difference::Difference;
pub use id::{EventId, Sequence};
pub use money::{Amount, Currency, Money};
pub use normalized::NormalizedEvent;
pub use origin::{Authority, Origin};
pub use schema::json_schema;
pub(crate) use size::limit_copies;
pub use size::{DEFAULT_MAX_EVENT_BYTES, SizeLimit, TooLarge, fit, json_bytes};
pub use types::{EVENT_TYPES, is_event_type};
pub(crate) use weigh::Weigh;
pub use weight::weight;
