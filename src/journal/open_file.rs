//! The writer's connection to the data file, with the index of the delivery keys.

use rusqlite::{Connection, TransactionBehavior};

use super::keys::KeyIndex;

/// Maximum number of keys that move into their index in one commit.
const MAX_INDEXED_KEYS: usize = 2_048;

/// The open file. Both members are replaced after a failed commit: the connection may keep an error of the disk, and the
/// index may have keys of deliveries that were not stored.
pub(super) struct OpenFile {
    pub(super) sqlite: Connection,
    pub(super) keys: KeyIndex,
}

impl OpenFile {
    pub(super) fn new(sqlite: Connection, log_limit: u64) -> rusqlite::Result<Self> {
        sqlite.pragma_update(None, "journal_size_limit", log_limit as i64)?;
        // Another thread makes the checkpoints.
        sqlite.pragma_update(None, "wal_autocheckpoint", 0)?;
        let keys = KeyIndex::load(&sqlite)?;
        Ok(Self { sqlite, keys })
    }

    /// Moves some keys into their index, in a commit of its own.
    pub(super) fn index_more(&mut self) -> rusqlite::Result<()> {
        let moved = self
            .sqlite
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                self.keys.index_more(&transaction, MAX_INDEXED_KEYS)?;
                transaction.commit()
            });
        if moved.is_err() {
            self.keys = KeyIndex::load(&self.sqlite)?;
        }
        moved
    }
}
