//! Retention: removes settled entries that are too old, and settled entries of a journal that is too large.
//!
//! By size, entries are removed if the journal exceeds its size limit, or if the disk has too little free space. The
//! connections that use the most space free it, each with its oldest entries first (see `usage`). By age, the believed time
//! decides (see `clock`), and at most a fraction of all entries is removed in a second. Pending entries are never removed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::budget::Budget;
use super::clock::BelievedClock;
use super::disk_space::DiskSpace;
use super::entry::{DeliveryState, Position};
use super::keys::KeyIndex;
use super::removal::{remove_entry, return_pages};
use super::usage;

/// Maximum number of entries that one commit removes. Senders wait for this commit.
const MAX_REMOVED_ENTRIES: usize = 500;
/// Maximum number of entries that one search reads.
const MAX_READ_ENTRIES: usize = 20_000;
/// A search by age ends after this number of young entries in a row. A few of them may have been received while the clock was
/// ahead.
const MAX_YOUNG_ENTRIES: usize = 1_000;
/// Maximum time for which one sweep delays the writer.
const MAX_SWEEP_TIME: Duration = Duration::from_millis(50);
/// By age, at most one of this number of entries is removed in a second.
const ENTRIES_PER_AGED_ENTRY: u64 = 100;
/// Time between two writes of the believed time.
const CLOCK_INTERVAL: Duration = Duration::from_secs(300);
/// Number of pages that are returned to the file system after a commit.
const RETURNED_PAGES: u32 = 2_000;
/// The same while the disk is almost full, because each moved page is written to the write-ahead log first.
const RETURNED_PAGES_ON_FULL_DISK: u32 = 100;

/// Removes entries in small steps.
#[derive(Debug)]
pub(super) struct Sweeper {
    budget: Budget,
    clock: BelievedClock,
    /// When the believed time was last stored.
    clock_stored: Option<Instant>,
    /// When entries were last removed by their age.
    aged: Option<Instant>,
    /// Where the searches continue, after entries that cannot be removed.
    after_by_age: Position,
    after_by_size: Position,
    /// Bytes of a delivery that was refused because its connection uses too much space.
    wanted: u64,
}

/// An entry to remove.
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

    /// The next sweep frees space for a delivery of this size.
    pub(super) fn make_space_for(&mut self, bytes: u64) {
        self.wanted = bytes;
    }

    /// Removes entries for a short time. `true` if the next sweep must follow at once.
    pub(super) fn sweep(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut KeyIndex,
        folder: &Path,
    ) -> rusqlite::Result<bool> {
        let started = Instant::now();
        loop {
            let space = DiskSpace::measure(sqlite, folder)?;
            let usages = usage::all(sqlite)?;
            let settled = usages
                .iter()
                .map(|usage| usage.bytes.saturating_sub(usage.pending_bytes))
                .sum();
            let excess = space.excess(&self.budget, settled);
            let largest_to_free = if space.is_filled_by_others(&self.budget, settled) {
                None
            } else {
                usage::largest_to_free(&usages, space.free(&self.budget), self.wanted)
            };
            let mut removed = if excess > 0 {
                let surplus = usage::surplus(&usages, excess);
                self.remove(sqlite, keys, Search::Size { surplus, excess })?
            } else {
                0
            };
            if removed == 0
                && let Some((usage, given)) = largest_to_free
            {
                let surplus = HashMap::from([(usage, given)]);
                removed = self.remove(
                    sqlite,
                    keys,
                    Search::Size {
                        surplus,
                        excess: given,
                    },
                )?;
            }
            let by_size = removed > 0;
            if !by_size {
                removed = self.remove_old(sqlite, keys, started)?;
            }
            if removed == 0 {
                let is_tight = space.wants_pages_back(&self.budget);
                if is_tight {
                    return_pages(sqlite, RETURNED_PAGES_ON_FULL_DISK)?;
                } else {
                    self.store_clock(sqlite, started)?;
                }
                // There may be many removable entries after those that cannot be removed.
                let searches_on = excess > 0 && self.after_by_size > 0;
                return Ok(is_tight || searches_on);
            }
            let reason = if by_size { "size" } else { "age" };
            metrics::counter!("cartwire_journal_removed_total", "reason" => reason)
                .increment(removed as u64);
            let pages = if space.free(&self.budget) < self.budget.margin() {
                RETURNED_PAGES_ON_FULL_DISK
            } else {
                RETURNED_PAGES
            };
            return_pages(sqlite, pages)?;
            if started.elapsed() >= MAX_SWEEP_TIME {
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
        let most =
            (usage::entries(sqlite)? / ENTRIES_PER_AGED_ENTRY).clamp(2, MAX_REMOVED_ENTRIES as u64);
        let age = i64::try_from(self.budget.age.as_millis()).unwrap_or(i64::MAX);
        let believed = self.clock.at(Timestamp::now().as_millisecond(), now);
        let before = believed.saturating_sub(age);
        self.remove(
            sqlite,
            keys,
            Search::Age {
                before,
                max_entries: most as usize,
            },
        )
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

    /// Removes the settled entries that a search finds.
    fn remove(
        &mut self,
        sqlite: &mut Connection,
        keys: &mut KeyIndex,
        search: Search,
    ) -> rusqlite::Result<usize> {
        // Immediate, so that no other process redrives an entry between the search and its removal.
        let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let chosen = match search {
            Search::Age {
                before,
                max_entries,
            } => self.choose_old(&transaction, before, max_entries)?,
            Search::Size { surplus, excess } => self.choose_from(&transaction, surplus, excess)?,
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

    /// The oldest settled entries of the connections that must free bytes.
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
        let (mut chosen, mut freed, mut read) = (Vec::new(), 0_u64, 0);
        while let Some(row) = rows.next()? {
            let (position, usage) = (row.get(0)?, row.get(1)?);
            read += 1;
            if is_settled(row, 3)
                && let Some(left) = surplus.get_mut(&usage)
                && *left > 0
            {
                let bytes = row.get::<_, i64>(2).unwrap_or(0).unsigned_abs();
                *left = left.saturating_sub(bytes);
                freed += bytes;
                chosen.push(Chosen { position, usage });
            }
            if chosen.len() >= MAX_REMOVED_ENTRIES || freed >= excess {
                return Ok(chosen);
            }
            if read >= MAX_READ_ENTRIES {
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
        let (mut chosen, mut read, mut young) = (Vec::new(), 0, 0);
        while let Some(row) = rows.next()? {
            let position = row.get(0)?;
            read += 1;
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
            if young >= MAX_YOUNG_ENTRIES {
                break;
            }
            if read >= MAX_READ_ENTRIES {
                self.after_by_age = position;
                return Ok(chosen);
            }
        }
        self.after_by_age = 0;
        Ok(chosen)
    }
}

/// Which entries to remove.
enum Search {
    Age {
        /// Entries before this time are too old, in milliseconds since 1970.
        before: i64,
        max_entries: usize,
    },
    Size {
        /// The bytes that each connection must free.
        surplus: HashMap<i64, u64>,
        /// The bytes to free in total.
        excess: u64,
    },
}

/// `true` if the state in a column is a settled one. A damaged state counts as pending.
fn is_settled(row: &rusqlite::Row<'_>, column: usize) -> bool {
    row.get::<_, i64>(column)
        .is_ok_and(|state| state != DeliveryState::Pending.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{self, MIGRATIONS};

    #[test]
    fn search_continues_at_once_after_many_pending_entries() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = database::open(folder.path(), MIGRATIONS).expect("opened");
        let fill = format!(
            "INSERT INTO usage (connection) VALUES ('paused'), ('other');
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_READ_ENTRIES})
             INSERT INTO entries (position, state, usage, bytes) SELECT i, 0, 1, 1 FROM n;
             INSERT INTO entries (position, state, usage, bytes)
                 VALUES ({MAX_READ_ENTRIES} + 1, 'x', 2, 'x'), ({MAX_READ_ENTRIES} + 2, 1, 2, 50000000);"
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
        assert!(sweep().expect("swept"), "there is more to read");
        sweep().expect("swept");
        let left: i64 = file
            .query_row("SELECT count(*) FROM entries WHERE usage = 2", [], |row| {
                row.get(0)
            })
            .expect("a count");
        assert_eq!(left, 1, "the damaged entry stays");
    }
}
