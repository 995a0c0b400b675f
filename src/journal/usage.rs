//! The space that each connection uses in the journal, and what retention removed of each connection.
//!
//! There is one row per connection. Triggers on `entries` keep the sums correct, whichever process writes. The rows decide:
//! - whose deliveries are removed if the journal is too large: those of the connections above a common level ([`surplus`]);
//! - whose new deliveries are refused if space is scarce ([`SPACE_FACTOR`]);
//! - whether a reader of the event log missed removed events ([`LogGap`]).
//!
//! ```text
//! entries.usage ──▶ usage.id      bytes, pending_bytes, entries: sums over the connection's entries
//!                                 removed_through: the newest cursor that retention removed of it
//! ```

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::entry::Position;

/// Bytes that an entry uses in addition to its body and headers: rows, indexes and events.
const ENTRY_OVERHEAD: usize = 512;

/// A connection may use at most this multiple of the free bytes. So a flood of one connection stops at three quarters of the
/// space, a flood of a second one at three quarters of the rest, and small connections always find space.
pub(super) const SPACE_FACTOR: u64 = 3;

/// The bytes that count for a delivery.
pub(super) fn entry_bytes(body: usize, headers: usize) -> u64 {
    (body + headers + ENTRY_OVERHEAD) as u64
}

/// A connection's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) id: i64,
    /// Bytes of all its entries.
    pub(super) bytes: u64,
    /// Bytes of its entries that are not settled.
    pub(super) pending_bytes: u64,
}

/// The row of a connection. A missing row is added.
pub(super) fn of(transaction: &Transaction<'_>, connection: &str) -> rusqlite::Result<Usage> {
    let found = transaction
        .prepare_cached("SELECT id, bytes, pending_bytes FROM usage WHERE connection = ?1")?
        .query_row([connection], read)
        .optional()?;
    if let Some(usage) = found {
        return Ok(usage);
    }
    transaction
        .prepare_cached("INSERT INTO usage (connection) VALUES (?1)")?
        .execute([connection])?;
    Ok(Usage {
        id: transaction.last_insert_rowid(),
        bytes: 0,
        pending_bytes: 0,
    })
}

/// The rows of all connections.
pub(super) fn all(sqlite: &Connection) -> rusqlite::Result<Vec<Usage>> {
    sqlite
        .prepare_cached("SELECT id, bytes, pending_bytes FROM usage WHERE entries > 0")?
        .query_map([], read)?
        .collect()
}

/// The number of entries.
pub(super) fn entries(sqlite: &Connection) -> rusqlite::Result<u64> {
    sqlite
        .prepare_cached("SELECT COALESCE(sum(entries), 0) FROM usage")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Stores that retention removed events of a connection, up to a cursor.
pub(super) fn note_removed(
    transaction: &Transaction<'_>,
    usage: i64,
    through: Position,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE usage SET removed_through = MAX(removed_through, ?2) WHERE id = ?1",
        )?
        .execute(params![usage, through])?;
    Ok(())
}

/// Adds bytes to an entry that were stored after it was appended.
pub(super) fn add_bytes(
    transaction: &Transaction<'_>,
    position: Position,
    bytes: usize,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE entries SET bytes = bytes + ?2 WHERE position = ?1")?
        .execute(params![position, bytes as i64])?;
    Ok(())
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage {
        id: row.get(0)?,
        bytes: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        pending_bytes: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
    })
}

/// The bytes that each connection must free, so that `excess` bytes are freed in total.
///
/// All connections above a common level are reduced to it. A connection below the level frees nothing, however large the
/// others are.
pub(super) fn surplus(usages: &[Usage], excess: u64) -> HashMap<i64, u64> {
    let mut sorted: Vec<_> = usages.to_vec();
    sorted.sort_unstable_by_key(|usage| std::cmp::Reverse(usage.bytes));
    let mut above = 0_u64;
    let mut level = 0;
    for (index, usage) in sorted.iter().enumerate() {
        above += usage.bytes;
        let next = sorted.get(index + 1).map_or(0, |next| next.bytes);
        let count = index as u64 + 1;
        // If the level is at the next connection's bytes, the larger connections free this much.
        if above - count * next >= excess {
            level = above.saturating_sub(excess).div_ceil(count);
            break;
        }
    }
    sorted
        .iter()
        .filter(|usage| usage.bytes > level)
        .map(|usage| (usage.id, usage.bytes - level))
        .collect()
}

/// The connection that must free the most settled bytes so that its new deliveries are not refused, and the number of bytes.
/// `None` if there is no such connection.
///
/// The result stays below the limit of [`SPACE_FACTOR`], with space for a delivery of `wanted` bytes. A connection without
/// settled bytes frees nothing, however much it uses.
pub(super) fn largest_to_free(usages: &[Usage], free: u64, wanted: u64) -> Option<(i64, u64)> {
    // bytes + wanted - freed <= factor * (free - 2 * wanted + freed), with four fifths of the factor.
    let (factor, of) = (4 * SPACE_FACTOR, 5);
    let scaled = |bytes: u64, by: u64| i128::from(bytes) * i128::from(by);
    let freed = |usage: &Usage| {
        let missing =
            scaled(usage.bytes + wanted, of) + scaled(2 * wanted, factor) - scaled(free, factor);
        let freed = u64::try_from(missing / i128::from(factor + of)).unwrap_or(0);
        freed.min(usage.bytes.saturating_sub(usage.pending_bytes))
    };
    let most = usages.iter().map(|usage| (usage.id, freed(usage)));
    most.max_by_key(|(_, freed)| *freed)
        .filter(|(_, freed)| *freed > 0)
}

/// Events that retention removed before a reader of the event log read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogGap {
    /// The newest removed cursor after the reader's cursor. A reader that continues after it misses no more events.
    pub removed_through: Position,
    /// The oldest stored cursor after the reader's cursor; `None` after the last one.
    pub oldest_kept: Option<Position>,
}

/// The removed events after a cursor, of one connection or of all. `None` if no event was removed.
pub(super) fn gap(
    sqlite: &Connection,
    after: Position,
    connection: Option<&str>,
) -> rusqlite::Result<Option<LogGap>> {
    let removed_through: Position = sqlite
        .prepare_cached(
            "SELECT COALESCE(max(removed_through), 0) FROM usage WHERE ?1 IS NULL OR connection = ?1",
        )?
        .query_row([connection], |row| row.get(0))?;
    if removed_through <= after {
        return Ok(None);
    }
    let oldest_kept = sqlite
        .prepare_cached("SELECT min(position) FROM events WHERE position > ?1")?
        .query_row([after], |row| row.get(0))?;
    Ok(Some(LogGap {
        removed_through,
        oldest_kept,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(bytes: &[u64]) -> Vec<Usage> {
        let usage = |(id, bytes): (usize, &u64)| Usage {
            id: id as i64,
            bytes: *bytes,
            pending_bytes: 0,
        };
        bytes.iter().enumerate().map(usage).collect()
    }

    #[test]
    fn connection_that_uses_too_much_frees_settled_bytes_only() {
        let usage = |bytes, pending_bytes| Usage {
            id: 7,
            bytes,
            pending_bytes,
        };
        assert_eq!(largest_to_free(&[usage(240, 0)], 100, 0), None);
        assert_eq!(largest_to_free(&[usage(342, 0)], 100, 0), Some((7, 30)));
        assert_eq!(largest_to_free(&[usage(342, 340)], 100, 0), Some((7, 2)));
        assert_eq!(largest_to_free(&[usage(342, 342)], 100, 0), None);
        let stuck = Usage {
            id: 8,
            ..usage(1_200, 1_200)
        };
        let both = [usage(342, 0), stuck];
        assert_eq!(
            largest_to_free(&both, 100, 0),
            Some((7, 30)),
            "not the one with the most bytes"
        );
        let (_, freed) = largest_to_free(&[usage(240, 0)], 100, 10).expect("a connection");
        assert!(240 - freed + 10 <= 3 * (100 + freed - 20));
    }

    fn freed(bytes: &[u64], excess: u64) -> Vec<u64> {
        let surplus = surplus(&usages(bytes), excess);
        (0..bytes.len() as i64)
            .map(|id| surplus.get(&id).copied().unwrap_or(0))
            .collect()
    }

    #[test]
    fn only_connections_above_the_common_level_free_bytes() {
        assert_eq!(freed(&[150, 2, 1], 90), [90, 0, 0]);
        assert_eq!(freed(&[100, 80, 1], 40), [30, 10, 0]);
        assert_eq!(freed(&[10, 10, 10], 6), [2, 2, 2]);
        assert_eq!(freed(&[10, 5], 100), [10, 5], "more than there is");
        assert_eq!(freed(&[10, 5], 0), [0, 0]);
        assert_eq!(freed(&[], 5), [0; 0]);
    }
}
