//! The last known state of each entity, and what a new event changes in it.
//!
//! ```text
//! known state ─┐
//!              ├─ compare ─→ Comparison: unchanged · stale · changed (pointers, derived verbs, next state)
//! new event ───┘
//! ```
//!
//! Everything here is pure. `journal` stores the states in the transaction that settles a delivery, and `relay` compares
//! the deliveries of one entity in the order in which it publishes them.

mod changes;
mod compare;
mod form;
mod kept;
mod record;
mod state;
mod stock;
mod transition;
mod transitions;

pub(crate) use compare::{Comparison, Observation, Rules, compare};
pub(crate) use form::EntityForm;
pub(crate) use kept::{ENTITIES, entity_name};
pub(crate) use record::EventRecord;
pub use record::{DeliveryComparison, DeliveryRecord};
pub(crate) use state::{EntityKey, EntityState, EntityVersion, NewState};
