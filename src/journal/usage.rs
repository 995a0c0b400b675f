//! How much each connection keeps in the journal, and what retention removed of it.
//!
//! One row per connection, kept right by triggers on `entries`, so that every process and every statement counts. It
//! answers three questions: whose deliveries are removed when the journal is too large (those of the connections above
//! the water level, see [`surplus`]), whose new deliveries are refused when room gets scarce (see [`ROOM_FACTOR`]), and
//! whether a reader of the event log missed events that were removed ([`LogGap`]).
//!
//! ```text
//! entries.usage ──▶ usage.id      bytes, pending_bytes, entries: sums over the connection's entries
//!                                 removed_through: the newest cursor that retention removed of it
//! ```

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::entry::Position;

/// Bytes that an entry takes beside its body and headers: its rows, their indexes and its events.
const ENTRY_OVERHEAD: usize = 512;

/// A connection may keep at most this many times the bytes that are still free. A flood of one connection stops at three
/// quarters of the room, a second one at three quarters of the rest, and small connections always find some.
pub(super) const ROOM_FACTOR: u64 = 3;

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

/// The row of a connection; it is added where there is none.
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

/// Notes that retention removed events of a connection, the newest of them at that cursor.
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

/// Adds bytes that were stored later to an entry.
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

/// How many bytes each connection has to give so that `excess` bytes are removed in all.
///
/// The water level is the one number of bytes above which the sum of all surpluses is `excess`. A connection below the
/// level gives nothing, however large the others are.
pub(super) fn surplus(usages: &[Usage], excess: u64) -> HashMap<i64, u64> {
    let mut sorted: Vec<_> = usages.to_vec();
    sorted.sort_unstable_by_key(|usage| std::cmp::Reverse(usage.bytes));
    let mut above = 0_u64;
    let mut level = 0;
    for (index, usage) in sorted.iter().enumerate() {
        above += usage.bytes;
        let next = sorted.get(index + 1).map_or(0, |next| next.bytes);
        let count = index as u64 + 1;
        // With the level at the next connection's bytes, those before it give this much.
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

/// A connection whose new deliveries would be refused for what it keeps already, with the settled bytes that it has to give
/// against that: of several, the one that has to give the most. Some room stays below the bound of [`ROOM_FACTOR`], and room
/// for a delivery of `wanted` bytes. A connection that keeps more and can give nothing is passed over: the others need room
/// all the same.
pub(super) fn crowding(usages: &[Usage], free: u64, wanted: u64) -> Option<(i64, u64)> {
    // bytes + wanted - given <= factor * (free - 2 * wanted + given), with four fifths of the factor.
    let (factor, of) = (4 * ROOM_FACTOR, 5);
    let scaled = |bytes: u64, by: u64| i128::from(bytes) * i128::from(by);
    let given = |usage: &Usage| {
        let missing =
            scaled(usage.bytes + wanted, of) + scaled(2 * wanted, factor) - scaled(free, factor);
        let given = u64::try_from(missing / i128::from(factor + of)).unwrap_or(0);
        given.min(usage.bytes.saturating_sub(usage.pending_bytes))
    };
    let most = usages.iter().map(|usage| (usage.id, given(usage)));
    most.max_by_key(|(_, given)| *given)
        .filter(|(_, given)| *given > 0)
}

/// Events that a reader of the event log can no longer get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogGap {
    /// The newest cursor behind the reader's that retention removed. A reader that goes on after it misses nothing more.
    pub removed_through: Position,
    /// The oldest cursor behind the reader's that is kept; `None` where there is none.
    pub oldest_kept: Option<Position>,
}

/// The events after a cursor that retention removed, of one connection or of all. `None` where nothing was removed.
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
    fn a_connection_that_crowds_the_room_gives_settled_bytes_only() {
        let usage = |bytes, pending_bytes| Usage {
            id: 7,
            bytes,
            pending_bytes,
        };
        assert_eq!(crowding(&[usage(240, 0)], 100, 0), None);
        assert_eq!(crowding(&[usage(342, 0)], 100, 0), Some((7, 30)));
        assert_eq!(crowding(&[usage(342, 340)], 100, 0), Some((7, 2)));
        assert_eq!(crowding(&[usage(342, 342)], 100, 0), None);
        let stuck = Usage {
            id: 8,
            ..usage(1_200, 1_200)
        };
        let both = [usage(342, 0), stuck];
        assert_eq!(crowding(&both, 100, 0), Some((7, 30)), "not the largest");
        let (_, given) = crowding(&[usage(240, 0)], 100, 10).expect("it gives");
        assert!(240 - given + 10 <= 3 * (100 + given - 20));
    }

    fn given(bytes: &[u64], excess: u64) -> Vec<u64> {
        let surplus = surplus(&usages(bytes), excess);
        (0..bytes.len() as i64)
            .map(|id| surplus.get(&id).copied().unwrap_or(0))
            .collect()
    }

    #[test]
    fn only_connections_above_the_water_level_give() {
        assert_eq!(given(&[150, 2, 1], 90), [90, 0, 0]);
        assert_eq!(given(&[100, 80, 1], 40), [30, 10, 0]);
        assert_eq!(given(&[10, 10, 10], 6), [2, 2, 2]);
        assert_eq!(given(&[10, 5], 100), [10, 5], "more than there is");
        assert_eq!(given(&[10, 5], 0), [0, 0]);
        assert_eq!(given(&[], 5), [0; 0]);
    }
}
