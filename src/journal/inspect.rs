//! Looking at the journal as a whole, for the health of connections and for `doctor`.

use jiff::Timestamp;
use rusqlite::Connection;

use super::entry::{DeliveryState, EntryKind, Position};
use super::reader::Reader;
use super::room;
use crate::database::rows::{id, instant};
use crate::delivery::ConnectionId;

/// The arrival of a delivery, and its connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// Its place.
    pub position: Position,
    /// The connection that the URL named.
    pub endpoint: ConnectionId,
    /// The store's connection.
    pub connection: ConnectionId,
    /// When.
    pub received_at: Timestamp,
}

impl Reader {
    /// The deliveries after a position, newest first and the newest only: there is no index by connection, on purpose, so that
    /// keeping a delivery costs as little as it can.
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

    /// Looks at all of it. The file is read as a whole where it has no more than that many bytes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn inspect(&self, readable: u64) -> rusqlite::Result<Inspection> {
        let used = room::used(&self.0)?;
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
    /// The first thing that is wrong with the file, `Some(None)` where nothing is; `None` where it was too large to look.
    pub damage: Option<Option<String>>,
    /// How many entries are pending.
    pub pending: u64,
    /// When the oldest of them arrived.
    pub oldest: Option<Timestamp>,
    /// How many entries stand in each state.
    pub counts: Vec<(DeliveryState, u64)>,
    /// When the newest delivery arrived.
    pub newest: Option<Timestamp>,
}

fn quick_check(sqlite: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = sqlite.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}
