//! Removes an entry with its delivery and its events, and returns free pages to the file system.

use rusqlite::{Connection, Transaction};

use super::completions;
use super::entry::Position;
use super::keys::KeyIndex;
use crate::delivery::DeliveryKey;

/// Removes an entry with its delivery, enrichment and events. Returns the newest cursor of its events.
pub(super) fn remove_entry(
    transaction: &Transaction<'_>,
    keys: &mut KeyIndex,
    position: Position,
) -> rusqlite::Result<Option<Position>> {
    let mut newest = None;
    let mut events =
        transaction.prepare_cached("DELETE FROM events WHERE delivery = ?1 RETURNING position")?;
    let mut rows = events.query([position])?;
    while let Some(row) = rows.next()? {
        newest = newest.max(Some(row.get(0)?));
    }
    transaction
        .prepare_cached("DELETE FROM entries WHERE position = ?1")?
        .execute([position])?;
    completions::forget(transaction, position)?;
    let mut delivery =
        transaction.prepare_cached("DELETE FROM deliveries WHERE position = ?1 RETURNING key")?;
    let mut rows = delivery.query([position])?;
    // A damaged key was never added to the index.
    if let Some(row) = rows.next()?
        && let Ok(key) = row.get(0)
    {
        keys.forget(transaction, DeliveryKey::from_bytes(key))?;
    }
    while rows.next()?.is_some() {}
    Ok(newest)
}

/// Returns free pages of the data file to the file system. SQLite returns one page for each row that is read.
pub(super) fn return_pages(sqlite: &Connection, pages: u32) -> rusqlite::Result<()> {
    let mut statement = sqlite.prepare_cached(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
