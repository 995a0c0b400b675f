//! The disk space of the journal: its files are compared with the budget, and the file system with the reserve.
//!
//! The data file, its write-ahead log and the log's index count. The space for a commit is checked before the commit, so that
//! many commits between two measurements cannot use up the reserve.

use std::path::Path;

use rusqlite::Connection;

use super::ballast::{self, FLOOR};
use super::budget::Budget;
use super::disk::free_bytes;
use super::health::Unwritable;
use crate::database::DATA_FILE;

/// A measurement, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DiskSpace {
    /// The used pages of the data file.
    pub(super) used: u64,
    /// The write-ahead log and its index.
    pub(super) log: u64,
    /// The free pages of the data file.
    pub(super) spare: u64,
    /// The free bytes of the file system, without those by which the data file grows at the next checkpoint.
    pub(super) disk: u64,
}

impl DiskSpace {
    pub(super) fn measure(sqlite: &Connection, folder: &Path) -> rusqlite::Result<Self> {
        let page = pragma(sqlite, "page_size")?;
        let (pages, free) = (
            pragma(sqlite, "page_count")?,
            pragma(sqlite, "freelist_count")?,
        );
        let file = file_bytes(folder, "");
        let growth = (pages * page).saturating_sub(file);
        Ok(Self {
            used: pages.saturating_sub(free) * page,
            log: file_bytes(folder, "-wal") + file_bytes(folder, "-shm"),
            spare: free * page,
            disk: free_bytes(folder).map_or(u64::MAX, |disk| disk.saturating_sub(growth)),
        })
    }

    /// All bytes that count against the budget.
    pub(super) fn counted(&self) -> u64 {
        self.used.saturating_add(self.log)
    }

    /// The space for deliveries on the disk. Free pages of the data file count, as long as the disk has space for the log.
    fn on_disk(&self) -> u64 {
        if self.disk < FLOOR / 2 {
            self.disk
        } else {
            self.disk.saturating_add(self.spare)
        }
    }

    /// `true` if freed pages should go back to the file system.
    pub(super) fn wants_pages_back(&self, budget: &Budget) -> bool {
        // The reserve file must fit too, or the next full disk has no room for removal.
        self.spare > 0 && self.disk < budget.reserve.max(FLOOR).saturating_add(ballast::BYTES)
    }

    /// Bytes of settled deliveries to remove: those above the size limit, or those that the disk has no space for.
    pub(super) fn excess(&self, budget: &Budget, settled: u64) -> u64 {
        // Below the budget, so that removal is ahead of the refusal of new deliveries.
        let size = budget.size.min(budget.budget - budget.budget / 8);
        let over_size = self.used.saturating_sub(size);
        let wanted = budget.reserve.max(FLOOR).saturating_add(budget.margin());
        let over_disk = [
            wanted.saturating_sub(self.on_disk()),
            self.below_reserve(budget),
        ];
        // If removal cannot free the margin too, only the reserve is restored. No delivery is removed in vain.
        let over_disk = over_disk.into_iter().find(|over| *over <= settled);
        over_size.max(over_disk.unwrap_or(0))
    }

    /// Bytes by which the free disk space is below the reserve.
    fn below_reserve(&self, budget: &Budget) -> u64 {
        let reserve = budget.reserve.max(FLOOR);
        reserve.saturating_sub(self.on_disk())
    }

    /// `true` if other files fill the disk: removing all settled deliveries would not make the journal writable.
    pub(super) fn is_filled_by_others(&self, budget: &Budget, settled: u64) -> bool {
        self.below_reserve(budget) > settled
    }

    /// Bytes that new deliveries may add.
    pub(super) fn free(&self, budget: &Budget) -> u64 {
        let in_budget = budget.budget.saturating_sub(self.counted());
        let on_disk = self.on_disk().saturating_sub(budget.reserve.max(FLOOR));
        in_budget.min(on_disk)
    }

    /// The reason if no delivery may be added.
    pub(super) fn unwritable(&self, budget: &Budget) -> Option<Unwritable> {
        metrics::gauge!("cartwire_journal_bytes").set(self.used as f64);
        metrics::gauge!("cartwire_journal_log_bytes").set(self.log as f64);
        metrics::gauge!("cartwire_disk_free_bytes").set(self.on_disk() as f64);
        if self.counted() > budget.budget {
            return Some(Unwritable::OverBudget {
                used: self.counted(),
                budget: budget.budget,
            });
        }
        let reserve = budget.reserve.max(FLOOR);
        if self.on_disk() < reserve {
            return Some(Unwritable::DiskAlmostFull {
                free: self.on_disk(),
                reserve,
            });
        }
        None
    }
}

fn file_bytes(folder: &Path, suffix: &str) -> u64 {
    std::fs::metadata(folder.join(format!("{}{suffix}", DATA_FILE)))
        .map_or(0, |metadata| metadata.len())
}

fn pragma(sqlite: &Connection, name: &str) -> rusqlite::Result<u64> {
    sqlite
        .prepare_cached(&format!("PRAGMA {name}"))?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// The bytes of the used pages of the data file.
pub(super) fn used(sqlite: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(sqlite, "page_count")?.saturating_sub(pragma(sqlite, "freelist_count")?);
    Ok(pages * pragma(sqlite, "page_size")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_for_the_disk_restores_the_reserve_or_removes_nothing() {
        const MIB: u64 = 1 << 20;
        let budget = Budget::default();
        let room = |free| DiskSpace {
            disk: free * MIB,
            ..DiskSpace::default()
        };
        // The reserve is 256 MiB, the margin 64 MiB.
        let excess = |free, settled| room(free).excess(&budget, settled * MIB) / MIB;
        assert_eq!(excess(320, 100), 0);
        assert_eq!(excess(300, 100), 20);
        assert_eq!(excess(200, 130), 120, "with the margin");
        assert_eq!(excess(200, 100), 56, "the reserve alone");
        assert_eq!(excess(200, 50), 0, "in vain");
    }
}
