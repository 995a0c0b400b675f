//! The event log: pages after a cursor, single events, and the bounds of the stored events.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use super::completions::{self, EnrichedReader};
use super::entry::{Entry, LoggedEvent, Position};
use super::entry_row::{ENTRY, OWN, read_entry};
use super::event_filter::{EventFilter, PageLimit};
use super::keys;
use super::reader::Reader;
use super::usage::{self, LogGap};
use crate::delivery::DeliveryKey;

/// A row of the event log with its delivery.
pub struct LogRow {
    /// The cursor, ascending in the order of settling.
    pub cursor: Position,
    /// The index of the event in its delivery.
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
    /// The cursor for the next page: after all searched rows, with or without a match.
    pub next: Position,
    /// Memory of the rows' events, as `JournaledDelivery::cost` estimates it.
    pub bytes: usize,
}

impl Reader {
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
        let mut page = LogPage {
            rows: Vec::new(),
            next: after,
            bytes: 0,
        };
        while page.rows.len() < limit.rows && page.bytes < limit.bytes {
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
            page.bytes += entry.delivery.cost();
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
