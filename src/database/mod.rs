//! The SQLite file of the data folder: opening, migrations, locks, checkpoints and reading connections.
//!
//! ```text
//! data folder
//! ├─ cartwire.db           all tables; see `migrations`
//! ├─ cartwire.db-wal       the write-ahead log; `checkpoint` copies it into the data file
//! ├─ cartwire.db-shm       the index of the log
//! ├─ serve.lock            locked by a running gateway; see `serve_lock`
//! ├─ stores.lock           locked by a command that changes something at a store
//! └─ master.key            encrypts the secrets, unless --master-key-file is set
//! ```
//!
//! Only `database`, `journal` and `connections` use SQLite.

pub(crate) mod checkpoint;
mod data_folder;
mod folder_copy;
mod migrations;
mod open;
mod pool;
pub(crate) mod rows;
mod serve_lock;
mod thread_end;

pub(crate) use data_folder::DataFolder;
pub use data_folder::FolderMoved;
pub(crate) use folder_copy::{FolderCopy, is_read_only};
pub(crate) use migrations::MIGRATIONS;
pub use open::{DATA_FILE, OpenError, make_folder, open, open_reader};
pub(crate) use open::{is_corrupt, is_sqlite_error, version};
pub(crate) use pool::{PooledReader, ReaderPool};
pub use serve_lock::{LOCK_FILE, LockError};
pub(crate) use serve_lock::{is_served, lock, refuse_served_older};
pub(crate) use thread_end::ThreadEnd;
