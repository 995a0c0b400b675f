//! What is removed, and when there is no more room.
//!
//! Settled entries go when they are older than the age, or oldest first while more than the size is in use. Pending ones
//! never go. Beyond the budget, or when the disk is almost full, new deliveries are refused while there is still room to
//! settle those that are there.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::completions;
use super::entry::{Position, State};
use super::health::Unwritable;
use super::keys::Keys;
use crate::delivery::DeliveryKey;

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
        Self {
            age: Duration::from_secs(30 * 86_400),
            size: 8 << 30,
            budget: 16 << 30,
            reserve: 256 << 20,
        }
    }
}

/// Entries removed in one commit: senders wait no longer than that takes.
const CHUNK: usize = 500;
/// Entries looked at in one step.
const LOOK: usize = 20_000;
/// That many young entries in a row end a search: one clock that ran ahead for a while must not.
const YOUNG: usize = 1_000;
/// How long one sweep may hold up the writer.
const SWEEP: Duration = Duration::from_millis(50);

/// Removes what may go, a little at a time, and says whether there is room.
#[derive(Debug)]
pub(super) struct Sweeper {
    budget: Budget,
    /// Where to look on, behind entries that cannot go.
    after: Position,
}

impl Sweeper {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, after: 0 }
    }

    /// Removes for a moment.
    pub(super) fn sweep(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut Keys,
    ) -> rusqlite::Result<()> {
        let started = Instant::now();
        let age = i64::try_from(self.budget.age.as_millis()).unwrap_or(i64::MAX);
        let oldest_kept = Timestamp::now().as_millisecond().saturating_sub(age);
        while started.elapsed() < SWEEP {
            let excess = used(sqlite)?.saturating_sub(self.budget.size);
            let removed = match excess {
                0 => self.remove(sqlite, keys, oldest_kept, u64::MAX)?,
                excess => self.remove(sqlite, keys, i64::MAX, excess)?,
            };
            if removed == 0 {
                break;
            }
            metrics::counter!("cartwire_journal_removed_total").increment(removed as u64);
            give_back(sqlite)?;
        }
        Ok(())
    }

    /// Is there room for more?
    pub(super) fn room(
        &self,
        sqlite: &Connection,
        folder: &Path,
    ) -> rusqlite::Result<Option<Unwritable>> {
        let used = used(sqlite)?;
        metrics::gauge!("cartwire_journal_bytes").set(used as f64);
        let Budget {
            budget, reserve, ..
        } = self.budget;
        if used > budget {
            return Ok(Some(Unwritable::OverBudget { used, budget }));
        }
        // Pages that were freed are room too.
        let free = free_bytes(folder).map_or(u64::MAX, |free| {
            free.saturating_add(spare(sqlite).unwrap_or(0))
        });
        metrics::gauge!("cartwire_disk_free_bytes").set(free as f64);
        Ok((free < reserve).then_some(Unwritable::DiskAlmostFull { free, reserve }))
    }

    /// Removes the oldest settled entries that arrived before then: a chunk, but no more than that many bytes need.
    fn remove(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut Keys,
        before: i64,
        bytes: u64,
    ) -> rusqlite::Result<usize> {
        // Immediate: between choosing and removing, nobody can re-open what is chosen.
        let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let chosen = self.choose(&transaction, before, bytes)?;
        for position in &chosen {
            transaction
                .prepare_cached("DELETE FROM events WHERE delivery = ?1")?
                .execute([position])?;
            transaction
                .prepare_cached("DELETE FROM entries WHERE position = ?1")?
                .execute([position])?;
            completions::forget(&transaction, *position)?;
            let key = transaction
                .prepare_cached("DELETE FROM deliveries WHERE position = ?1 RETURNING key")?
                .query_row([position], |row| row.get(0))?;
            keys.forget(&transaction, DeliveryKey::from_bytes(key))?;
        }
        transaction.commit()?;
        Ok(chosen.len())
    }

    fn choose(
        &mut self,
        transaction: &Transaction<'_>,
        before: i64,
        bytes: u64,
    ) -> rusqlite::Result<Vec<Position>> {
        let mut statement = transaction.prepare_cached(
            "SELECT e.position, e.state, d.received_at, length(d.body) FROM entries e JOIN deliveries d ON d.position = e.position
             WHERE e.position > ?1 ORDER BY e.position",
        )?;
        let mut rows = statement.query([self.after])?;
        let (mut chosen, mut freed, mut looked, mut young) = (Vec::new(), 0_u64, 0, 0);
        while let Some(row) = rows.next()? {
            let position = row.get(0)?;
            looked += 1;
            young = if row.get::<_, i64>(2)? >= before {
                young + 1
            } else {
                0
            };
            if young == 0 && row.get::<_, i64>(1)? != State::Pending.code() {
                chosen.push(position);
                freed += row.get::<_, i64>(3)?.unsigned_abs();
            }
            if chosen.len() >= CHUNK || freed >= bytes {
                return Ok(chosen);
            }
            if young >= YOUNG {
                break;
            }
            if looked >= LOOK {
                self.after = position;
                return Ok(chosen);
            }
        }
        self.after = 0;
        Ok(chosen)
    }
}

/// Gives freed pages back to the file system: one for each row of the pragma's answer.
fn give_back(sqlite: &Connection) -> rusqlite::Result<()> {
    let mut statement = sqlite.prepare_cached("PRAGMA incremental_vacuum(2000)")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn pragma(sqlite: &Connection, name: &str) -> rusqlite::Result<u64> {
    sqlite
        .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

fn spare(sqlite: &Connection) -> rusqlite::Result<u64> {
    Ok(pragma(sqlite, "freelist_count")? * pragma(sqlite, "page_size")?)
}

/// The bytes in use.
pub(super) fn used(sqlite: &Connection) -> rusqlite::Result<u64> {
    Ok(
        (pragma(sqlite, "page_count")? * pragma(sqlite, "page_size")?)
            .saturating_sub(spare(sqlite)?),
    )
}

/// The bytes that the file system has left for us.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
