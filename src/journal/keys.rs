//! The positions of deliveries by their keys, to find duplicates.
//!
//! Keys are random. If each key were written to the index at once, each delivery would change another page of the file.
//! So the newest keys are only in memory. They are written to the index in sorted batches of thousands, a part with each
//! commit, so that one page takes many keys. The mark `indexed` is the position up to which the index is complete. The keys
//! of later deliveries are read from the deliveries when the journal is opened.
//!
//! The index belongs to the writer. If a commit fails, the index is dropped and loaded again, so that it never contains a
//! key that is not on disk.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::entry::Position;
use crate::delivery::DeliveryKey;

/// Number of keys in memory from which on keys are written to the index.
const MIN_KEYS_TO_INDEX: usize = 32_768;
/// Number of keys that are written to the index for each delivery of a commit. More than one, so that the batch ends.
const KEYS_PER_DELIVERY: usize = 4;

/// An SQL expression for the position of the delivery with the key `?1`. The deliveries that are not in the index are
/// searched one by one; there are at most some tens of thousands.
pub(super) const POSITION: &str = "COALESCE((SELECT position FROM keys WHERE key = ?1),
    (SELECT position FROM deliveries WHERE position > (SELECT version FROM marks WHERE name = 'indexed') AND key = ?1))";

/// The keys of all deliveries.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// Keys that may not be in the index yet.
    recent: HashMap<DeliveryKey, Position>,
    moving: Option<Moving>,
}

/// A batch of keys that is being written to the index.
#[derive(Debug)]
struct Moving {
    sorted: std::vec::IntoIter<(DeliveryKey, Position)>,
    /// The index is complete up to this position when the batch is written.
    through: Position,
}

impl KeyIndex {
    /// Reads the keys that are not in the index. A damaged key is skipped, so that the journal can be opened.
    pub(super) fn load(sqlite: &Connection) -> rusqlite::Result<Self> {
        let mut statement = sqlite.prepare(
            "SELECT key, position FROM deliveries WHERE position > (SELECT version FROM marks WHERE name = 'indexed')",
        )?;
        let mut rows = statement.query([])?;
        let mut recent = HashMap::new();
        while let Some(row) = rows.next()? {
            if let Ok(key) = row.get(0) {
                recent.insert(DeliveryKey::from_bytes(key), row.get(1)?);
            }
        }
        Ok(Self {
            recent,
            moving: None,
        })
    }

    /// The position of the delivery with a key.
    pub(super) fn find(
        &self,
        transaction: &Transaction<'_>,
        key: DeliveryKey,
    ) -> rusqlite::Result<Option<Position>> {
        if let Some(position) = self.recent.get(&key) {
            return Ok(Some(*position));
        }
        let mut statement =
            transaction.prepare_cached("SELECT position FROM keys WHERE key = ?1")?;
        statement
            .query_row([key.as_bytes()], |row| row.get(0))
            .optional()
    }

    /// Adds the key of a new delivery.
    pub(super) fn add(&mut self, key: DeliveryKey, position: Position) {
        self.recent.insert(key, position);
    }

    /// Removes the key of a removed delivery.
    pub(super) fn forget(
        &mut self,
        transaction: &Transaction<'_>,
        key: DeliveryKey,
    ) -> rusqlite::Result<()> {
        self.recent.remove(&key);
        transaction
            .prepare_cached("DELETE FROM keys WHERE key = ?1")?
            .execute([key.as_bytes()])?;
        Ok(())
    }

    /// Writes some keys to the index, in a commit that adds this number of deliveries.
    pub(super) fn index(
        &mut self,
        transaction: &Transaction<'_>,
        added: usize,
    ) -> rusqlite::Result<()> {
        if self.moving.is_none() && self.recent.len() >= MIN_KEYS_TO_INDEX {
            self.begin_moving();
        }
        self.move_some(transaction, added * KEYS_PER_DELIVERY)
    }

    /// Writes up to `most` keys to the index, also if there are few keys in memory.
    pub(super) fn index_more(
        &mut self,
        transaction: &Transaction<'_>,
        most: usize,
    ) -> rusqlite::Result<()> {
        if self.moving.is_none() {
            self.begin_moving();
        }
        self.move_some(transaction, most)
    }

    fn begin_moving(&mut self) {
        let mut sorted: Vec<_> = self
            .recent
            .iter()
            .map(|(key, position)| (*key, *position))
            .collect();
        sorted.sort_unstable();
        let through = sorted
            .iter()
            .map(|(_, position)| *position)
            .max()
            .unwrap_or(0);
        self.moving = Some(Moving {
            sorted: sorted.into_iter(),
            through,
        });
    }

    fn move_some(&mut self, transaction: &Transaction<'_>, most: usize) -> rusqlite::Result<()> {
        let Some(moving) = &mut self.moving else {
            return Ok(());
        };
        // Other processes write the keys of their announcements themselves.
        let mut insert = transaction
            .prepare_cached("INSERT OR IGNORE INTO keys (key, position) VALUES (?1, ?2)")?;
        for (key, position) in moving.sorted.by_ref().take(most) {
            // The delivery may have been removed, and received again after the batch was made.
            if self.recent.get(&key) == Some(&position) {
                insert.execute(params![key.as_bytes(), position])?;
            }
        }
        if moving.sorted.len() == 0 {
            let through = moving.through;
            transaction.execute(
                "UPDATE marks SET version = MAX(version, ?1) WHERE name = 'indexed'",
                [through],
            )?;
            self.recent.retain(|_, position| *position > through);
            self.moving = None;
        }
        Ok(())
    }

    /// `true` if all keys are in the index.
    pub(super) fn is_indexed(&self) -> bool {
        self.recent.is_empty()
    }
}

/// Writes a key to the index at once, for the few deliveries that do not pass through [`KeyIndex`].
pub(super) fn index_directly(
    transaction: &Transaction<'_>,
    key: DeliveryKey,
    position: Position,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO keys (key, position) VALUES (?1, ?2)")?
        .execute(params![key.as_bytes(), position])?;
    Ok(())
}

#[cfg(test)]
mod tests;
