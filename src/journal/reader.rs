//! Reading the journal beside the writer: claims for the relay, lists for people, the event log for consumers.
//!
//! Each call is one short read; none holds a transaction open, so that none keeps the log file from being folded in.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::Serialize;

use super::completions::{self, EnrichedReader};
use super::damaged::{DamagedRow, DamagedRows};
use super::entry::{DeliveryState, Entry, EntryKind, LoggedEvent, Position};
use super::event_filter::{EventFilter, PageLimit};
use super::keys;
use super::redrive::{self, Deed, DeliveryFilter};
use super::usage::{self, LogGap};
use crate::database::rows::{id, instant, unreadable};
use crate::database::{self, FolderCopy, MIGRATIONS, OpenError};
use crate::delivery::{ConnectionId, DeliveryKey, JournaledDelivery};

/// A reading connection to the data file, with the damaged rows that it met.
pub struct Reader(pub(super) Connection, pub(super) DamagedRows);

/// A delivery as lists show it: no body, no personal data.
#[derive(Clone, Debug, Serialize)]
pub struct DeliverySummary {
    /// Its public id.
    pub id: String,
    /// Its place in the journal.
    pub position: Position,
    /// The platform's name.
    pub platform: String,
    /// The connection that the URL named.
    pub endpoint: ConnectionId,
    /// The store's connection.
    pub connection: ConnectionId,
    /// The platform's event type.
    pub topic: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: DeliveryState,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Failed attempts to publish it.
    pub attempts: u32,
    /// How often it came again.
    pub duplicates: u64,
    /// Was it re-opened on demand?
    pub redriven: bool,
    /// When it was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// When it was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// Bytes of the body that are kept.
    pub bytes: u64,
}

/// A row of the event log with the delivery it is made from.
pub struct LogRow {
    /// The cursor: growing in the order in which events were settled.
    pub cursor: Position,
    /// Which event of the delivery.
    pub index: u16,
    /// `true` if the event was published without `data.raw`.
    pub omits_raw: bool,
    /// The delivery, shared by the rows of its events.
    pub entry: Arc<Entry>,
}

/// A page of the event log.
#[derive(Default)]
pub struct LogPage {
    /// The rows, oldest first.
    pub rows: Vec<LogRow>,
    /// Where to go on: behind everything that was looked through, whether it fitted the filter or not.
    pub next: Position,
}

/// What makes an [`Entry`].
const ENTRY: &str = "e.position, d.key, d.kind, e.redriven, e.attempts, d.platform, d.endpoint, d.connection, d.topic, d.received_at, d.headers, d.body";
/// The columns of [`ENTRY`]: those of its completion come after them, and then those of a query's own.
const ENTRY_COLUMNS: usize = 12;
const OWN: usize = ENTRY_COLUMNS + completions::COLUMN_COUNT;

impl Reader {
    /// Opens the data file of a folder.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let sqlite = database::open_reader(folder)?;
        Ok(Self(sqlite, DamagedRows::default()))
    }

    /// As if of a folder without data.
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

    /// The damaged rows that were set aside since this was last called.
    pub fn take_damaged(&self) -> Vec<DamagedRow> {
        self.1.take()
    }

    /// How many entries stand in each state. Acknowledged ones do not count.
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

    /// How many entries are pending, and when the oldest of them arrived.
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

    /// How many settled deliveries a redrive would re-open.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count_redrivable(&self, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
        redrive::count(&self.0, filter, Deed::Redrive)
    }

    /// The event log after a cursor, oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn log(
        &self,
        after: Position,
        limit: usize,
        filter: &EventFilter,
    ) -> rusqlite::Result<LogPage> {
        self.log_within(after, PageLimit::rows(limit), filter)
    }

    /// The event log after a position, oldest first, as far as the limit allows.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn log_within(
        &self,
        after: Position,
        limit: PageLimit,
        filter: &EventFilter,
    ) -> rusqlite::Result<LogPage> {
        let prefix = filter
            .event_type
            .as_deref()
            .and_then(|text| text.strip_suffix('*'));
        let exact = if prefix.is_some() {
            None
        } else {
            filter.event_type.as_deref()
        };
        let connection = filter.stored_connection();
        let sql = format!(
            "SELECT {ENTRY}, {}, v.position, v.idx, v.omits_raw FROM events v
             JOIN deliveries d ON d.position = v.delivery JOIN entries e ON e.position = v.delivery {}
             WHERE v.position > ?1 AND (?2 IS NULL OR v.type = ?2) AND (?3 IS NULL OR substr(v.type, 1, length(?3)) = ?3)
               AND (?4 IS NULL OR d.connection = ?4) AND (?5 IS NULL OR v.subject = ?5)
               AND {} ORDER BY v.position",
            completions::COLUMNS,
            completions::JOIN,
            self.event_times(filter)?
        );
        let newest = self.newest("events")?;
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows =
            statement.query(params![after, exact, prefix, connection, filter.subject])?;
        let mut completions = EnrichedReader::default();
        let (mut page, mut bytes) = (
            LogPage {
                rows: Vec::new(),
                next: after,
            },
            0,
        );
        while page.rows.len() < limit.rows && bytes < limit.bytes {
            let Some(row) = rows.next()? else {
                page.next = page.next.max(newest);
                break;
            };
            let shared = page
                .rows
                .last()
                .map(|last| Arc::clone(&last.entry))
                .filter(|last| row.get(0) == Ok(last.position));
            page.next = row.get(OWN)?;
            let position: Position = row.get(0)?;
            let entry = shared.map_or_else(|| read_entry(row, &mut completions).map(Arc::new), Ok);
            let Some(entry) = self.1.set_aside("deliveries", position, entry)? else {
                continue;
            };
            bytes += entry.delivery.cost();
            page.rows.push(LogRow {
                cursor: page.next,
                index: row.get(OWN + 1)?,
                omits_raw: row.get(OWN + 2)?,
                entry,
            });
        }
        Ok(page)
    }

    /// The newest position in a table.
    fn newest(&self, table: &'static str) -> rusqlite::Result<Position> {
        self.0
            .prepare_cached(&format!("SELECT COALESCE(max(position), 0) FROM {table}"))?
            .query_row([], |row| row.get(0))
    }

    /// One event of the log.
    ///
    /// # Errors
    /// SQLite's.
    pub fn event(&self, delivery: DeliveryKey, index: u16) -> rusqlite::Result<Option<LogRow>> {
        let sql = format!(
            "SELECT {ENTRY}, {}, v.position, v.idx, v.omits_raw FROM events v
             JOIN deliveries d ON d.position = v.delivery JOIN entries e ON e.position = v.delivery {}
             WHERE v.delivery = {} AND v.idx = ?2",
            completions::COLUMNS,
            completions::JOIN,
            keys::POSITION
        );
        self.0
            .prepare_cached(&sql)?
            .query_row(params![delivery.as_bytes(), index], read_log)
            .optional()
    }

    /// The cursors of the oldest and the newest event that is kept.
    ///
    /// # Errors
    /// SQLite's.
    pub fn log_bounds(&self) -> rusqlite::Result<(Position, Position)> {
        self.0
            .prepare_cached(
                "SELECT COALESCE(min(position), 0), COALESCE(max(position), 0) FROM events",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The events behind a cursor that retention removed, of one connection or of all. `None` where a reader that goes on
    /// from the cursor misses nothing.
    ///
    /// # Errors
    /// SQLite's.
    pub fn log_gap(
        &self,
        after: Position,
        connection: Option<&str>,
    ) -> rusqlite::Result<Option<LogGap>> {
        usage::gap(&self.0, after, connection)
    }

    /// The logged events of a delivery.
    ///
    /// # Errors
    /// SQLite's.
    pub fn events_of(&self, position: Position) -> rusqlite::Result<Vec<LoggedEvent>> {
        self.0
            .prepare_cached(
                "SELECT idx, type, subject, omits_raw FROM events WHERE delivery = ?1 ORDER BY idx",
            )?
            .query_map([position], |row| {
                Ok(LoggedEvent {
                    index: row.get(0)?,
                    event_type: row.get(1)?,
                    subject: row.get(2)?,
                    omits_raw: row.get(3)?,
                })
            })?
            .collect()
    }
}

fn read_log(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        entry: Arc::new(read_entry(row, &mut EnrichedReader::default())?),
        cursor: row.get(OWN)?,
        index: row.get(OWN + 1)?,
        omits_raw: row.get(OWN + 2)?,
    })
}

fn read_entry(row: &Row<'_>, completions: &mut EnrichedReader) -> rusqlite::Result<Entry> {
    Ok(Entry {
        position: row.get(0)?,
        key: DeliveryKey::from_bytes(row.get(1)?),
        kind: EntryKind::from_code(row.get(2)?),
        redriven: row.get(3)?,
        attempts: row.get(4)?,
        delivery: JournaledDelivery {
            platform: row.get(5)?,
            endpoint: id(row, 6)?,
            connection: id(row, 7)?,
            topic: row.get(8)?,
            received_at: instant(row.get(9)?)?,
            headers: serde_json::from_str(row.get_ref(10)?.as_str()?).map_err(unreadable)?,
            body: Bytes::copy_from_slice(row.get_ref(11)?.as_blob()?),
            enriched: completions.read(row, ENTRY_COLUMNS)?,
        },
    })
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
