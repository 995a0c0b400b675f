//! Finds what a store has and the journal lacks: reads the store's changed entities, and compares them with the last known
//! states. A store that sends no webhooks is followed in this way alone.
//!
//! ```text
//! store ─read page─→ rows ─classify─→ equal: counted
//!                                     different: a delivery in the journal, with the position of the read, in one commit
//!                                         └→ relay ─→ event with origin `reconcile` or `poll`
//! ```
//! # Invariants
//! - The window of a read is fixed when the read begins: from the watermark minus an overlap to now minus a lag, in which
//!   webhooks may be on their way. The watermark moves only when the whole window was read. Webhooks never move it.
//! - A read that stops, for whatever reason, continues with the same page.
//! - A change is stored once, however often its row is read.
//! - One task reads one connection at a time, so two reads of a connection never overlap.
//! - Nothing is deleted because a row is missing: a deletion is found in the store's trash, or the store confirms it at a
//!   request for the entity. The relay confirms it once more.

mod classify;
mod deletions;
mod lists;
mod next_read;
mod past;
mod plan;
mod progress;
mod read;
mod report;
mod requests;
mod schedule;
mod store;
mod whole_rows;
mod window;

pub use progress::ReadProgress;
pub use report::{EntityReport, FoundIds, ReconcileRequest, StoreReport};
pub use schedule::Reconciler;
