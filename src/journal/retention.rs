//! What is removed from the journal.
//!
//! Settled entries go when they are older than the age, and when the journal is larger than its size or the disk has too
//! little room left. For the size, the connections that keep the most pay, each with its own oldest entries first: see
//! `usage`. For the age, only the believed time counts (see `clock`), and a second removes a bounded part of all entries.
//! Pending entries never go.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::budget::Budget;
use super::clock::BelievedClock;
use super::completions;
use super::entry::{DeliveryState, Position};
use super::keys::KeyIndex;
use super::room::Room;
use super::usage;
use crate::delivery::DeliveryKey;

/// Entries removed in one commit: senders wait no longer than that takes.
const CHUNK: usize = 500;
/// Entries looked at in one step.
const LOOK: usize = 20_000;
/// That many young entries in a row end a search: one clock that ran ahead for a while must not.
const YOUNG: usize = 1_000;
/// How long one sweep may hold up the writer.
const SWEEP: Duration = Duration::from_millis(50);
/// Each second, retention by age removes at most one of this many entries.
const AGE_SHARE: u64 = 100;
/// How often the believed time is stored.
const CLOCK_INTERVAL: Duration = Duration::from_secs(300);
/// Pages given back to the file system after a chunk.
const GIVE_BACK: u32 = 2_000;
/// The same while the disk is almost full: each page that moves is written to the log first.
const GIVE_BACK_LITTLE: u32 = 100;

/// Removes what may go, a little at a time.
#[derive(Debug)]
pub(super) struct Sweeper {
    budget: Budget,
    clock: BelievedClock,
    /// When the believed time was stored.
    clock_stored: Option<Instant>,
    /// When entries were last removed by their age.
    aged: Option<Instant>,
    /// Where the searches go on, behind entries that cannot go.
    after_by_age: Position,
    after_by_size: Position,
    /// Bytes of a delivery that was refused for what its connection keeps.
    wanted: u64,
}

/// An entry that goes.
struct Chosen {
    position: Position,
    usage: i64,
}

impl Sweeper {
    pub(super) fn new(budget: Budget, clock: BelievedClock) -> Self {
        Self {
            budget,
            clock,
            clock_stored: None,
            aged: None,
            after_by_age: 0,
            after_by_size: 0,
            wanted: 0,
        }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A delivery of that many bytes is to find room after the next sweep.
    pub(super) fn make_room_for(&mut self, bytes: u64) {
        self.wanted = bytes;
    }

    /// Removes for a moment. `true` where there is more to remove at once.
    pub(super) fn sweep(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut KeyIndex,
        folder: &Path,
    ) -> rusqlite::Result<bool> {
        let started = Instant::now();
        loop {
            let room = Room::measure(sqlite, folder)?;
            let usages = usage::all(sqlite)?;
            let settled = usages
                .iter()
                .map(|usage| usage.bytes.saturating_sub(usage.pending_bytes))
                .sum();
            let excess = room.excess(&self.budget, settled);
            let crowding = if room.is_filled_by_others(&self.budget, settled) {
                None
            } else {
                usage::crowding(&usages, room.free(&self.budget), self.wanted)
            };
            let mut removed = if excess > 0 {
                let surplus = usage::surplus(&usages, excess);
                self.remove(sqlite, keys, Search::Size(surplus, excess))?
            } else {
                0
            };
            if removed == 0
                && let Some((usage, given)) = crowding
            {
                let surplus = HashMap::from([(usage, given)]);
                removed = self.remove(sqlite, keys, Search::Size(surplus, given))?;
            }
            let by_size = removed > 0;
            if !by_size {
                removed = self.remove_old(sqlite, keys, started)?;
            }
            if removed == 0 {
                let is_tight = room.wants_pages_back(&self.budget);
                if is_tight {
                    give_back(sqlite, GIVE_BACK_LITTLE)?;
                } else {
                    self.store_clock(sqlite, started)?;
                }
                // Entries that cannot go may stand before many that can.
                let searches_on = excess > 0 && self.after_by_size > 0;
                return Ok(is_tight || searches_on);
            }
            let reason = if by_size { "size" } else { "age" };
            metrics::counter!("cartwire_journal_removed_total", "reason" => reason)
                .increment(removed as u64);
            let pages = if room.free(&self.budget) < self.budget.margin() {
                GIVE_BACK_LITTLE
            } else {
                GIVE_BACK
            };
            give_back(sqlite, pages)?;
            if started.elapsed() >= SWEEP {
                return Ok(by_size);
            }
        }
    }

    /// Removes entries that are too old, at most once a second.
    fn remove_old(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut KeyIndex,
        now: Instant,
    ) -> rusqlite::Result<usize> {
        let is_due = self
            .aged
            .is_none_or(|aged| now.duration_since(aged) >= Duration::from_secs(1));
        if !is_due {
            return Ok(0);
        }
        self.aged = Some(now);
        let most = (usage::entries(sqlite)? / AGE_SHARE).clamp(2, CHUNK as u64);
        let age = i64::try_from(self.budget.age.as_millis()).unwrap_or(i64::MAX);
        let believed = self.clock.at(Timestamp::now().as_millisecond(), now);
        let before = believed.saturating_sub(age);
        self.remove(sqlite, keys, Search::Age(before, most as usize))
    }

    fn store_clock(&mut self, sqlite: &Connection, now: Instant) -> rusqlite::Result<()> {
        let believed = self.clock.at(Timestamp::now().as_millisecond(), now);
        if self
            .clock_stored
            .is_some_and(|stored| now.duration_since(stored) < CLOCK_INTERVAL)
        {
            return Ok(());
        }
        sqlite
            .prepare_cached("UPDATE marks SET version = ?1 WHERE name = 'clock'")?
            .execute([believed])?;
        self.clock_stored = Some(now);
        Ok(())
    }

    /// Removes a chunk of settled entries.
    fn remove(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut KeyIndex,
        search: Search,
    ) -> rusqlite::Result<usize> {
        // Immediate: between choosing and removing, no other process can re-open what is chosen.
        let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let chosen = match search {
            Search::Age(before, most) => self.choose_old(&transaction, before, most)?,
            Search::Size(surplus, excess) => self.choose_from(&transaction, surplus, excess)?,
        };
        let mut newest: HashMap<i64, Position> = HashMap::new();
        for entry in &chosen {
            if let Some(cursor) = remove_entry(&transaction, keys, entry.position)? {
                let newest = newest.entry(entry.usage).or_insert(cursor);
                *newest = cursor.max(*newest);
            }
        }
        for (usage, through) in newest {
            usage::note_removed(&transaction, usage, through)?;
        }
        transaction.commit()?;
        Ok(chosen.len())
    }

    /// The oldest settled entries of the connections that have a surplus.
    fn choose_from(
        &mut self,
        transaction: &Transaction<'_>,
        mut surplus: HashMap<i64, u64>,
        excess: u64,
    ) -> rusqlite::Result<Vec<Chosen>> {
        let mut statement = transaction.prepare_cached(
            "SELECT position, usage, bytes, state FROM entries WHERE position > ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([self.after_by_size])?;
        let (mut chosen, mut freed, mut looked) = (Vec::new(), 0_u64, 0);
        while let Some(row) = rows.next()? {
            let (position, usage) = (row.get(0)?, row.get(1)?);
            looked += 1;
            if is_settled(row, 3)
                && let Some(left) = surplus.get_mut(&usage)
                && *left > 0
            {
                let bytes = row.get::<_, i64>(2).unwrap_or(0).unsigned_abs();
                *left = left.saturating_sub(bytes);
                freed += bytes;
                chosen.push(Chosen { position, usage });
            }
            if chosen.len() >= CHUNK || freed >= excess {
                return Ok(chosen);
            }
            if looked >= LOOK {
                self.after_by_size = position;
                return Ok(chosen);
            }
        }
        self.after_by_size = 0;
        Ok(chosen)
    }

    /// The oldest settled entries that arrived before a time.
    fn choose_old(
        &mut self,
        transaction: &Transaction<'_>,
        before: i64,
        most: usize,
    ) -> rusqlite::Result<Vec<Chosen>> {
        let mut statement = transaction.prepare_cached(
            "SELECT e.position, e.usage, e.state, d.received_at FROM entries e JOIN deliveries d ON d.position = e.position
             WHERE e.position > ?1 ORDER BY e.position",
        )?;
        let mut rows = statement.query([self.after_by_age])?;
        let (mut chosen, mut looked, mut young) = (Vec::new(), 0, 0);
        while let Some(row) = rows.next()? {
            let position = row.get(0)?;
            looked += 1;
            // A damaged time counts as young.
            young = if row.get::<_, i64>(3).unwrap_or(i64::MAX) >= before {
                young + 1
            } else {
                0
            };
            if young == 0 && is_settled(row, 2) {
                chosen.push(Chosen {
                    position,
                    usage: row.get(1)?,
                });
            }
            if chosen.len() >= most {
                return Ok(chosen);
            }
            if young >= YOUNG {
                break;
            }
            if looked >= LOOK {
                self.after_by_age = position;
                return Ok(chosen);
            }
        }
        self.after_by_age = 0;
        Ok(chosen)
    }
}

/// What a chunk is chosen by.
enum Search {
    /// The time in milliseconds since 1970 before which entries are too old, and how many may go.
    Age(i64, usize),
    /// The bytes that each connection gives, and the bytes wanted in all.
    Size(HashMap<i64, u64>, u64),
}

/// `true` if the state in a column is a settled one. A damaged state counts as pending.
fn is_settled(row: &rusqlite::Row<'_>, column: usize) -> bool {
    row.get::<_, i64>(column)
        .is_ok_and(|state| state != DeliveryState::Pending.code())
}

/// Removes an entry with its delivery and everything made from it. Returns the newest cursor of its events.
fn remove_entry(
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
    // A damaged key stays in the index: it is no delivery's.
    if let Some(row) = rows.next()?
        && let Ok(key) = row.get(0)
    {
        keys.forget(transaction, DeliveryKey::from_bytes(key))?;
    }
    while rows.next()?.is_some() {}
    Ok(newest)
}

/// Gives freed pages back to the file system: one for each row of the pragma's answer.
fn give_back(sqlite: &Connection, pages: u32) -> rusqlite::Result<()> {
    let mut statement = sqlite.prepare_cached(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{self, MIGRATIONS};

    #[test]
    fn search_goes_on_at_once_behind_many_pending_entries() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = database::open(folder.path(), MIGRATIONS).expect("opened");
        let fill = format!(
            "INSERT INTO usage (connection) VALUES ('paused'), ('other');
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LOOK})
             INSERT INTO entries (position, state, usage, bytes) SELECT i, 0, 1, 1 FROM n;
             INSERT INTO entries (position, state, usage, bytes)
                 VALUES ({LOOK} + 1, 'x', 2, 'x'), ({LOOK} + 2, 1, 2, 50000000);"
        );
        file.execute_batch(&fill).expect("filled");
        let budget = Budget {
            size: 0,
            reserve: 0,
            ..Budget::default()
        };
        let mut keys = KeyIndex::load(&file).expect("loaded");
        let mut sweeper = Sweeper::new(budget, BelievedClock::new(0, Instant::now()));
        let mut sweep = || sweeper.sweep(&mut file, &mut keys, folder.path());
        assert!(sweep().expect("swept"), "there is more to look at");
        sweep().expect("swept");
        let left: i64 = file
            .query_row("SELECT count(*) FROM entries WHERE usage = 2", [], |row| {
                row.get(0)
            })
            .expect("asked");
        assert_eq!(left, 1, "the damaged entry stays");
    }
}
