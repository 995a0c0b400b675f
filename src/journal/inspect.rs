//! Reads the journal as a whole, for the health of connections and for `doctor`.

use jiff::Timestamp;
use rusqlite::Connection;

use super::disk_space;
use super::entry::{DeliveryState, EntryKind, Position};
use super::reader::Reader;
use crate::database::rows::{id, instant};
use crate::delivery::ConnectionId;

/// A delivery that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    pub position: Position,
    /// The connection that the URL named.
    pub endpoint: ConnectionId,
    /// The store's connection.
    pub connection: ConnectionId,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl Reader {
    /// The deliveries after a position, newest first, at most `most`. There is no index by connection, so that storing a delivery
    /// costs as little as possible.
    ///
    /// # Errors
    /// SQLite's.
    pub fn arrivals(&self, after: Position, most: u32) -> rusqlite::Result<Vec<Arrival>> {
        self.0
            .prepare_cached(
                "SELECT position, endpoint, connection, received_at FROM deliveries WHERE kind = ?1 AND position > ?2
                 ORDER BY position DESC LIMIT ?3",
            )?
            .query_map((EntryKind::Delivery.code(), after, most), |row| {
                Ok(Arrival {
                    position: row.get(0)?,
                    endpoint: id(row, 1)?,
                    connection: id(row, 2)?,
                    received_at: instant(row.get(3)?)?,
                })
            })?
            .collect()
    }

    /// Reads the state of the whole journal. Checks the file if it is not larger than `readable` bytes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn inspect(&self, readable: u64) -> rusqlite::Result<Inspection> {
        let used = disk_space::used(&self.0)?;
        let (pending, oldest) = self.backlog()?;
        Ok(Inspection {
            used,
            damage: if used > readable {
                None
            } else {
                Some(quick_check(&self.0)?)
            },
            pending,
            oldest,
            counts: self.counts()?,
            states: (used <= readable).then(|| states(&self.0)).transpose()?,
            newest: self
                .arrivals(Position::MIN, 1)?
                .first()
                .map(|arrival| arrival.received_at),
        })
    }
}

/// The journal as a whole.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The bytes in use.
    pub used: u64,
    /// The first fault of the file, or `Some(None)` for a sound file; `None` if the file was too large to check.
    pub damage: Option<Option<String>>,
    /// Number of pending entries.
    pub pending: u64,
    /// When the oldest pending entry arrived.
    pub oldest: Option<Timestamp>,
    /// Number of entries in each state.
    pub counts: Vec<(DeliveryState, u64)>,
    /// The known states of entities; `None` if the file was too large to count them.
    pub states: Option<KnownStates>,
    /// When the newest delivery arrived.
    pub newest: Option<Timestamp>,
}

/// How many states of entities are known, and the bytes of their forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownStates {
    pub count: u64,
    pub bytes: u64,
}

fn states(sqlite: &Connection) -> rusqlite::Result<KnownStates> {
    let sizes = "SELECT count(*), COALESCE(sum(octet_length(form)), 0) FROM entities";
    sqlite.query_row(sizes, [], |row| {
        let (count, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(KnownStates {
            count: count.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        })
    })
}

fn quick_check(sqlite: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = sqlite.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}
