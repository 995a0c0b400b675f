//! The journal: stores every verified delivery before its sender gets an answer, and keeps it until it is settled and old.
//!
//! One SQLite file, one writer thread, any number of readers. The journal does not publish and does not call stores.
//!
//! # Invariant
//! A delivery is answered only after the commit that contains it was synced.
//!
//! # Tables
//! ```text
//! deliveries ──1:1── entries ──n:1── usage           per connection: entries, bytes, newest removed event
//! position           position        id
//! key, body          state, reason
//!     │                  │
//!     │                  └──1:n── events             the event log: position = cursor, (delivery, idx), type, subject
//!     ├──1:0..1── completions ──n:1── answers        result of an enrichment, and the store's response that it uses
//!     └──1:0..1── keys                               key → position, filled by the thousand; see `keys`
//!
//! marks                                              counters by which processes notice changes of other processes
//! removed_installations                              installations that an operator removed; see `tombstones`
//! standing, bindings, probe                          reported troubles, declared bindings, the row of a test write
//! connections, connection_secrets, seal              owned by the room `connections`
//! ```
//! `database` draws the files of the data folder, `crash_guard` the file `in-flight`.
//!
//! # Parts
//! - **Append.** [`Journal::append`] takes only a [`VerifiedDelivery`](crate::platforms::VerifiedDelivery) and returns after
//!   the sync. The writer commits all commands that waited during the last sync, so one sync answers many senders.
//! - **Duplicates.** Only the writer thread decides whether a delivery is a duplicate, inside the transaction that stores
//!   it, so concurrent requests cannot both be accepted: see `keys`.
//! - **Settle.** Entries leave `Pending` only through [`Journal::settle`]; [`entry`] lists the states and transitions. If a
//!   crash loses a settlement, the entry is published again with the same event ids.
//! - **Claim.** The relay claims the oldest pending entries of each connection: see `claims`. One writer makes commits
//!   visible in the order of positions, so a search after the last position finds all arrivals. Only a redrive or a change
//!   of a connection makes older entries claimable; the marks report both.
//! - **Event log.** `events` has a row per event in the order of settling. Bodies are not stored twice: a read normalizes
//!   the delivery again, because normalizing is pure.
//! - **Checkpoints** run beside the writer, so no sender waits for one: see `database::checkpoint`.
//! - **Other processes.** The commands open the same file. They announce their changes in `marks`, which `serve` reads each
//!   second.
//! - **Space.** `retention` removes settled, old entries; `health` reports that no more deliveries fit.

mod announce;
mod append;
mod ballast;
mod budget;
mod claimed;
mod claims;
mod clock;
mod command;
mod completions;
mod connection_change;
mod crash_guard;
mod cursor;
mod damaged;
mod data_file;
mod disk;
mod disk_space;
mod entities;
mod entity_lists;
mod entity_states;
pub mod entry;
mod entry_row;
mod error;
mod event_filter;
mod event_log;
mod found_changes;
mod group;
mod guard;
mod handle;
mod health;
mod inspect;
mod keys;
mod marks;
#[cfg(test)]
mod migration_tests;
mod open;
mod open_file;
mod reader;
mod reader_connections;
mod readers;
mod redrive;
mod removal;
mod retention;
mod search;
mod seen;
mod settle;
mod signals;
mod standing;
mod store_reads;
mod tombstones;
mod transition;
mod usage;
mod writer;

pub(crate) use ballast::release_if_full;
pub use budget::Budget;
pub use claimed::{Claimed, Damaged, Excluded, PendingConnections, Want};
pub use connection_change::{Changed, ConnectionChange};
pub use crash_guard::{CrashGuard, Suspects};
pub use cursor::{EventCursor, InvalidCursor, LogRead};
pub use damaged::DamagedRow;
pub use data_file::{DataFile, UnlockError};
pub use disk::free_bytes;
pub use entity_lists::{EntityFilter, EntityPage, KnownEntity};
pub use error::{Appended, JournalError, ReadResult};
pub use event_filter::{EventFilter, PageLimit};
pub use event_log::{LogPage, LogRow};
pub use found_changes::{FoundChange, FoundPage, Gap, StoreRead};
pub use guard::JournalGuard;
pub(crate) use handle::APPEND_TIMEOUT;
pub use handle::Journal;
pub use health::{JournalHealth, Unwritable};
pub use inspect::{Arrival, Inspection};
pub use marks::Marks;
pub use reader::{DeliverySummary, Reader};
pub use redrive::{DeliveryFilter, Progress};
pub use search::SEARCHED_BODIES;
pub use standing::{DeclaredBinding, GatewayTrouble};
pub(crate) use store_reads::exchange_progress;
pub use store_reads::{DayOfGaps, RowCount};
pub use usage::LogGap;
