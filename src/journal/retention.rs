//! What is removed, and when there is no more room.
//!
//! Settled entries go when they are older than the age, or oldest first while more than the size is in use. Pending ones
//! never go. Beyond the budget, or when the disk is almost full, new deliveries are refused while there is still room to
//! settle those that are there.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;

use super::entry::State;
use super::health::Unwritable;

/// How much is kept.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Settled entries older than this go.
    pub age: Duration,
    /// While more bytes than this are in use, the oldest settled entries go.
    pub size: u64,
    /// Beyond this many bytes nothing new is taken.
    pub budget: u64,
    /// While the file system has less than this many bytes left, nothing new is taken.
    pub reserve: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 86_400), size: 8 << 30, budget: 16 << 30, reserve: 256 << 20 }
    }
}

/// Entries removed in one commit: senders wait no longer than that takes.
const CHUNK: usize = 500;
/// How long one sweep may hold up the writer.
const SWEEP: Duration = Duration::from_millis(50);

/// Removes what may go, a little at a time, and says whether there is room.
pub(super) fn sweep(sqlite: &mut Connection, folder: &Path, budget: &Budget) -> rusqlite::Result<Option<Unwritable>> {
    let started = Instant::now();
    let oldest_kept = Timestamp::now().as_millisecond().saturating_sub(i64::try_from(budget.age.as_millis()).unwrap_or(i64::MAX));
    let mut used = used(sqlite)?;
    metrics::gauge!("cartwire_journal_bytes").set(used as f64);
    while started.elapsed() < SWEEP {
        let removed = if used > budget.size { remove(sqlite, i64::MAX)? } else { remove(sqlite, oldest_kept)? };
        if removed == 0 {
            break;
        }
        metrics::counter!("cartwire_journal_removed_total").increment(removed as u64);
        used = self::used(sqlite)?;
    }
    if used > budget.budget {
        return Ok(Some(Unwritable::OverBudget { used, budget: budget.budget }));
    }
    // Pages that were freed are room too.
    let free = free_bytes(folder).map_or(u64::MAX, |free| free.saturating_add(spare(sqlite).unwrap_or(0)));
    metrics::gauge!("cartwire_disk_free_bytes").set(free as f64);
    if free < budget.reserve {
        return Ok(Some(Unwritable::DiskAlmostFull { free, reserve: budget.reserve }));
    }
    Ok(None)
}

/// Removes up to a chunk of the oldest settled entries that arrived before then.
fn remove(sqlite: &mut Connection, before: i64) -> rusqlite::Result<usize> {
    let mut positions = Vec::new();
    {
        // In the order of arrival, so that the first one that is young enough ends the search.
        let mut statement = sqlite.prepare_cached(
            "SELECT e.position, e.state, d.received_at FROM entries e JOIN deliveries d ON d.position = e.position
             ORDER BY e.position LIMIT 20000",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(2)? >= before || positions.len() >= CHUNK {
                break;
            }
            if row.get::<_, i64>(1)? != State::Pending.code() {
                positions.push(row.get::<_, i64>(0)?);
            }
        }
    }
    if positions.is_empty() {
        return Ok(0);
    }
    let transaction = sqlite.transaction()?;
    for position in &positions {
        transaction.prepare_cached("DELETE FROM events WHERE delivery = ?1")?.execute([position])?;
        transaction.prepare_cached("DELETE FROM entries WHERE position = ?1 AND state <> 0")?.execute([position])?;
        transaction.prepare_cached("DELETE FROM deliveries WHERE position = ?1")?.execute([position])?;
    }
    transaction.commit()?;
    sqlite.pragma_query(None, "incremental_vacuum(2000)", |_| Ok(()))?;
    Ok(positions.len())
}

fn pragma(sqlite: &Connection, name: &str) -> rusqlite::Result<u64> {
    sqlite.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

fn spare(sqlite: &Connection) -> rusqlite::Result<u64> {
    Ok(pragma(sqlite, "freelist_count")? * pragma(sqlite, "page_size")?)
}

/// The bytes in use.
fn used(sqlite: &Connection) -> rusqlite::Result<u64> {
    Ok((pragma(sqlite, "page_count")? * pragma(sqlite, "page_size")?).saturating_sub(spare(sqlite)?))
}

/// The bytes that the file system has left for us.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
