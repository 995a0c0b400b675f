//! Reads the journal: opens the data file, counts entries, lists deliveries.
//!
//! `claims` has the claims, `event_log` the event log. Each call is one short read without an open transaction, so no reader
//! delays a checkpoint.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use serde::Serialize;

use super::completions::{self, EnrichedReader};
use super::damaged::{DamagedRow, DamagedRows};
use super::entry::{DeliveryState, Entry, Position};
use super::entry_row::{ENTRY, read_entry};
use super::redrive::{self, Deed, DeliveryFilter};
use crate::database::rows::{id, instant};
use crate::database::{self, FolderCopy, MIGRATIONS, OpenError};
use crate::delivery::{ConnectionId, DeliveryKey};

/// A reading connection to the data file, and the damaged rows that it skipped.
pub struct Reader(pub(super) Connection, pub(super) DamagedRows);

/// A delivery in lists, without body and personal data.
#[derive(Clone, Debug, Serialize)]
pub struct DeliverySummary {
    /// The public id.
    pub id: String,
    /// The position in the journal.
    pub position: Position,
    /// The name of the platform.
    pub platform: String,
    /// The connection in the URL.
    pub endpoint: ConnectionId,
    /// The store's connection.
    pub connection: ConnectionId,
    /// The platform's event type.
    pub topic: String,
    /// When it was received.
    pub received_at: Timestamp,
    pub state: DeliveryState,
    /// Reason code of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of failed attempts to publish its events.
    pub attempts: u32,
    /// Number of duplicates.
    pub duplicates: u64,
    /// `true` if an operator redrove it.
    pub redriven: bool,
    /// When it was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// When it was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// Bytes of the stored body.
    pub bytes: u64,
}

impl Reader {
    /// Opens the data file of a folder.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let sqlite = database::open_reader(folder)?;
        Ok(Self(sqlite, DamagedRows::default()))
    }

    /// As [`Reader::open`] of a folder without data.
    ///
    /// # Errors
    /// SQLite's.
    pub fn empty() -> rusqlite::Result<Self> {
        let memory = Connection::open_in_memory()?;
        memory.execute_batch(&MIGRATIONS.concat())?;
        Ok(Self(memory, DamagedRows::default()))
    }

    /// Opens a copy of the data file of a folder that cannot be written. The copy is removed with the reader.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open_copy(folder: &Path) -> Result<Self, OpenError> {
        let copy = FolderCopy::of(folder)?;
        drop(database::open(copy.path(), MIGRATIONS)?);
        let sqlite = database::open_reader(copy.path())?;
        Ok(Self(sqlite, DamagedRows::of_copy(copy)))
    }

    /// `true` if the data file can be read and has the format of this program.
    pub(crate) fn is_current(&self) -> bool {
        database::version(&self.0).is_ok_and(|found| found == MIGRATIONS.len())
            && self.marks().is_ok()
    }

    /// The damaged rows that were skipped since the last call.
    pub fn take_damaged(&self) -> Vec<DamagedRow> {
        self.1.take()
    }

    /// The number of entries in each state, without acknowledged ones.
    ///
    /// # Errors
    /// SQLite's.
    pub fn counts(&self) -> rusqlite::Result<Vec<(DeliveryState, u64)>> {
        let mut counts: Vec<(DeliveryState, u64)> =
            DeliveryState::ALL.iter().map(|state| (*state, 0)).collect();
        let mut statement = self.0.prepare_cached(
            "SELECT state, count(*) FROM entries WHERE acknowledged_at IS NULL GROUP BY state",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let state = DeliveryState::from_code(row.get(0)?);
            if let Some(count) = counts.iter_mut().find(|(s, _)| Some(*s) == state) {
                count.1 = row.get::<_, i64>(1)?.unsigned_abs();
            }
        }
        Ok(counts)
    }

    /// The number of pending entries, and when the oldest of them was received.
    ///
    /// # Errors
    /// SQLite's.
    pub fn backlog(&self) -> rusqlite::Result<(u64, Option<Timestamp>)> {
        let count: i64 = self
            .0
            .prepare_cached("SELECT count(*) FROM entries WHERE state = 0")?
            .query_row([], |row| row.get(0))?;
        let oldest = self
            .0
            .prepare_cached(
                "SELECT received_at FROM deliveries WHERE position = (SELECT min(position) FROM entries WHERE state = 0)",
            )?
            .query_row([], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok((count.unsigned_abs(), oldest.map(instant).transpose()?))
    }

    /// Deliveries, newest first, before a position.
    ///
    /// # Errors
    /// SQLite's.
    pub fn deliveries(
        &self,
        filter: &DeliveryFilter,
        before: Position,
        limit: usize,
    ) -> rusqlite::Result<Vec<DeliverySummary>> {
        let (condition, values) = self.bounded(filter, before)?;
        let sql = format!(
            "SELECT d.key, e.position, d.platform, d.endpoint, d.connection, d.topic, d.received_at, e.state, e.reason,
                    e.attempts, e.duplicates, e.redriven, e.settled_at, length(d.body), e.acknowledged_at
             FROM entries e JOIN deliveries d ON d.position = e.position
             WHERE {condition} ORDER BY e.position DESC LIMIT {limit}"
        );
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query(&values[..])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let position: Position = row.get(1)?;
            let summary = read_summary(row);
            found.extend(self.1.set_aside("deliveries", position, summary)?);
        }
        Ok(found)
    }

    /// One delivery with its body.
    ///
    /// # Errors
    /// SQLite's.
    pub fn delivery(&self, key: DeliveryKey) -> rusqlite::Result<Option<(DeliverySummary, Entry)>> {
        let filter = DeliveryFilter {
            key: Some(key),
            ..DeliveryFilter::default()
        };
        let Some(summary) = self.deliveries(&filter, Position::MAX, 1)?.pop() else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {ENTRY}, {} FROM entries e JOIN deliveries d ON d.position = e.position {} WHERE e.position = ?1",
            completions::COLUMNS,
            completions::JOIN
        );
        let entry = self
            .0
            .prepare_cached(&sql)?
            .query_row([summary.position], |row| {
                read_entry(row, &mut EnrichedReader::default())
            })?;
        Ok(Some((summary, entry)))
    }

    /// The entry at a position, if it is pending.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn pending(
        &self,
        position: Position,
        completions: &mut EnrichedReader,
    ) -> rusqlite::Result<Option<Entry>> {
        let sql = format!(
            "SELECT {ENTRY}, {} FROM entries e JOIN deliveries d ON d.position = e.position {}
             WHERE e.position = ?1 AND e.state = 0",
            completions::COLUMNS,
            completions::JOIN
        );
        self.0
            .prepare_cached(&sql)?
            .query_row([position], |row| read_entry(row, completions))
            .optional()
    }

    /// The number of settled deliveries that a redrive would change.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count_redrivable(&self, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
        redrive::count(&self.0, filter, Deed::Redrive)
    }
}

fn read_summary(row: &Row<'_>) -> rusqlite::Result<DeliverySummary> {
    Ok(DeliverySummary {
        id: DeliveryKey::from_bytes(row.get(0)?).to_string(),
        position: row.get(1)?,
        platform: row.get(2)?,
        endpoint: id(row, 3)?,
        connection: id(row, 4)?,
        topic: row.get(5)?,
        received_at: instant(row.get(6)?)?,
        state: DeliveryState::from_code(row.get(7)?).unwrap_or(DeliveryState::DeadLettered),
        reason: row.get(8)?,
        attempts: row.get(9)?,
        duplicates: row.get::<_, i64>(10)?.unsigned_abs(),
        redriven: row.get(11)?,
        settled_at: row.get::<_, Option<i64>>(12)?.map(instant).transpose()?,
        acknowledged_at: row.get::<_, Option<i64>>(14)?.map(instant).transpose()?,
        bytes: row.get::<_, i64>(13)?.unsigned_abs(),
    })
}
