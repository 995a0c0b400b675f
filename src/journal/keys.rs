//! Which delivery has which key: what tells whether a delivery came before.
//!
//! Keys are random. An index that took each at once would touch a page of its own for each delivery, and the more the more
//! deliveries are kept. So the newest keys are held in memory (on disk the deliveries themselves have them), and go into
//! the index by the thousand, sorted, some with each commit: many keys to a page. The mark `indexed` tells through which
//! position the index is complete; what lies behind it is read again when the journal is opened.
//!
//! It belongs to the writer. When a commit fails it is dropped and loaded again, so that it never knows more than the disk.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::entry::Position;
use crate::delivery::DeliveryKey;

/// So many keys in memory begin to move into the index.
const MANY: usize = 32_768;
/// KeyIndex moved with each delivery that a commit adds: more than come in meanwhile.
const PACE: usize = 4;

/// The position of a delivery by its key, for queries: `?1` is the key. What the index lacks is looked through, some tens of
/// thousands at most.
pub(super) const POSITION: &str = "COALESCE((SELECT position FROM keys WHERE key = ?1),
    (SELECT position FROM deliveries WHERE position > (SELECT version FROM marks WHERE name = 'indexed') AND key = ?1))";

/// The keys of all deliveries.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// Those that the index may lack.
    recent: HashMap<DeliveryKey, Position>,
    moving: Option<Moving>,
}

/// KeyIndex on their way into the index.
#[derive(Debug)]
struct Moving {
    sorted: std::vec::IntoIter<(DeliveryKey, Position)>,
    /// When all are there, the index is complete through this position.
    through: Position,
}

impl KeyIndex {
    /// Reads what the index lacks. A row whose key is damaged is no delivery's, and must not keep the journal from opening.
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

    /// The delivery that has this key.
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

    /// A delivery was written under this key.
    pub(super) fn add(&mut self, key: DeliveryKey, position: Position) {
        self.recent.insert(key, position);
    }

    /// A delivery was removed.
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

    /// Moves some keys into the index, in a commit that adds so many deliveries.
    pub(super) fn index(
        &mut self,
        transaction: &Transaction<'_>,
        added: usize,
    ) -> rusqlite::Result<()> {
        if self.moving.is_none() && self.recent.len() >= MANY {
            self.begin_moving();
        }
        self.move_some(transaction, added * PACE)
    }

    /// Moves up to so many keys into the index, however few there are in memory.
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
        // Announcements of other processes put theirs in themselves.
        let mut insert = transaction
            .prepare_cached("INSERT OR IGNORE INTO keys (key, position) VALUES (?1, ?2)")?;
        for (key, position) in moving.sorted.by_ref().take(most) {
            // It may have been removed meanwhile, and written again behind what is moving.
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

    /// Are all keys in the index?
    pub(super) fn is_indexed(&self) -> bool {
        self.recent.is_empty()
    }
}

/// Puts a key into the index at once: for the few deliveries that other processes write.
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
