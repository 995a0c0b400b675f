//! The journal: every verified delivery, on disk before its sender is answered, until it is settled and for a while after.
//!
//! One SQLite file, one writer thread, any number of readers.
//!
//! - **Append.** [`Journal::append`] takes only a [`VerifiedDelivery`] and returns when the commit that contains it is
//!   synced. The writer commits whatever has gathered while the last commit was syncing, so one sync answers many senders.
//!   The writer alone decides what is a duplicate, within the commit, whoever races with whom: `keys` tells it.
//! - **Settle.** Entries leave `Pending` through [`Journal::settle`] alone; [`entry`] has the states and transitions. A
//!   settlement that is lost in a crash leaves its entry pending, and it is published again with the same event ids.
//! - **Claim.** The relay claims the oldest pending entries of each connection: see `claims`. Commits become visible in the
//!   order of positions because there is one writer, so a search after the last position finds all arrivals. Only a redrive
//!   or a change of a connection makes older entries claimable; the marks report both.
//! - **Event log.** `events` has a row per event in the order of settling: its positions are the cursors of the admin API.
//!   Bodies are not stored twice: an event is made from its delivery again when it is read, which is what normalizing
//!   being pure is good for.
//! - **Checkpoints** are made beside the writer, so that no sender waits for one: see `checkpoint`.
//! - **Other processes.** The commands open the same file. What they change, they announce in `marks`, which `serve` looks
//!   at each second.
//! - **Room.** `retention` removes what is settled and old; `health` says when nothing more fits.

mod announce;
mod append;
mod ballast;
mod budget;
mod claims;
mod clock;
mod command;
mod completions;
mod crash_guard;
mod cursor;
mod damaged;
mod data_file;
mod disk;
pub mod entry;
mod error;
mod event_filter;
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
mod retention;
mod room;
mod search;
mod settle;
mod signals;
mod standing;
mod tombstones;
mod usage;
mod writer;

pub use announce::{Changed, ConnectionChange};
pub(crate) use ballast::release_if_full;
pub use budget::Budget;
pub use claims::{Claimed, Damaged, Excluded, PendingConnections, Want};
pub use crash_guard::{CRASHED_GATEWAY, CrashGuard, Suspects};
pub use cursor::{EventCursor, InvalidCursor, LogRead};
pub use damaged::DamagedRow;
pub use data_file::{DataFile, UnlockError};
pub use disk::free_bytes;
pub use error::{Appended, JournalError, ReadResult};
pub use event_filter::{EventFilter, PageLimit};
pub use guard::JournalGuard;
pub(crate) use handle::APPEND_TIMEOUT;
pub use handle::Journal;
pub use health::{JournalHealth, Unwritable};
pub use inspect::{Arrival, Inspection};
pub use marks::Marks;
pub use reader::{DeliverySummary, LogPage, LogRow, Reader};
pub use redrive::{DeliveryFilter, Progress};
pub use search::SEARCHED_BODIES;
pub use standing::{DeclaredBinding, GatewayTrouble};
pub use usage::LogGap;
