//! How far each store has been read, which changes were found, and the command line's requests to read stores now.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::data_file::DataFile;
use super::entry::EntryKind;
use super::error::JournalError;
use super::found_changes::{FoundPage, Gap, POLLED, StoreRead, store_page};
use super::handle::Journal;
use super::reader::Reader;
use crate::database::rows::instant;
use crate::delivery::ConnectionId;

/// What webhooks of a store reported on one day, and what was found by reading only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayOfGaps {
    pub connection: String,
    /// The day in UTC, for example `2026-11-26`.
    pub day: String,
    /// Number of deliveries by webhook.
    pub webhooks: u64,
    /// Number of changes that were found by polling. The oldest ones are not counted.
    pub polled: u64,
    /// Found changes of entities that were never seen.
    pub missing: Vec<String>,
    /// Found changes of known entities.
    pub late: Vec<String>,
    /// Found deletions.
    pub deleted: Vec<String>,
    /// Rows that could not be read.
    pub unreadable: Vec<String>,
}

/// The rows of a request to read stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCount {
    /// Number of rows that were read.
    pub read: u64,
    /// Number of rows of the lists that were begun, as the stores count, with those that were read.
    pub expected: u64,
}

/// The name under which the progress of a list is stored for a request with an exchange of its own. It is removed with the
/// request.
pub(crate) fn exchange_progress(request: i64, list: &str) -> String {
    format!("exchange/{request}/{list}")
}

/// Maximum number of requests of the command line that are open at the same time. Others wait.
const MAX_OPEN_REQUESTS: u32 = 16;

impl Journal {
    /// Stores a page of found changes as deliveries, and how far the store has been read. Returns the number of new ones, or
    /// `None` if the connection was removed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn store_found(&self, page: FoundPage) -> Result<Option<usize>, JournalError> {
        self.write(move |transaction| store_page(transaction, &page, Timestamp::now()))
            .await
    }

    /// Removes a request of the command line from those that wait, with its report.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn answer_reconcile_request(
        &self,
        id: i64,
        report: String,
    ) -> Result<(), JournalError> {
        self.write(move |transaction| {
            transaction.execute(
                "UPDATE reconcile_requests SET report = ?2 WHERE id = ?1",
                params![id, report],
            )?;
            transaction.execute(
                "DELETE FROM store_reads WHERE substr(entity, 1, length(?1)) = ?1",
                [exchange_progress(id, "")],
            )?;
            // A command that was aborted leaves its report behind.
            let day_ago = Timestamp::now().as_millisecond() - 86_400_000;
            transaction
                .execute(
                    "DELETE FROM reconcile_requests WHERE report IS NOT NULL AND requested_at < ?1 AND id <> ?2",
                    [day_ago, id],
                )
                .map(drop)
        })
        .await
    }

    /// Notes how many rows have been read for a request.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn note_rows(&self, id: i64, count: RowCount) -> Result<(), JournalError> {
        let [read, expected] = [count.read, count.expected].map(u64::cast_signed);
        self.write(move |transaction| {
            transaction
                .execute(
                    "UPDATE reconcile_requests SET rows_read = ?2, rows_expected = ?3
                     WHERE id = ?1 AND (rows_read <> ?2 OR rows_expected <> ?3)",
                    [id, read, expected],
                )
                .map(drop)
        })
        .await
    }
}

impl DataFile {
    /// Asks the running gateway to read stores. Returns the id of the request.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`].
    pub fn request_reconcile(&mut self, request: &str) -> Result<i64, JournalError> {
        let now = Timestamp::now().as_millisecond();
        self.sqlite
            .execute(
                "INSERT INTO reconcile_requests (request, requested_at) VALUES (?1, ?2)",
                params![request, now],
            )
            .map_err(|error| JournalError::unwritable(&error))?;
        Ok(self.sqlite.last_insert_rowid())
    }
}

impl Reader {
    /// How far the entities of a store have been read.
    ///
    /// # Errors
    /// SQLite's.
    pub fn store_reads(&self, connection: &ConnectionId) -> rusqlite::Result<Vec<StoreRead>> {
        self.0
            .prepare_cached(
                "SELECT entity, watermark, until, cursor, finished_at, failure FROM store_reads WHERE connection = ?1",
            )?
            .query_map([connection.as_str()], store_read)?
            .collect()
    }

    /// `true` if a delivery of the connection that arrived before this time is not settled.
    ///
    /// # Errors
    /// SQLite's.
    pub fn has_pending_before(
        &self,
        connection: &ConnectionId,
        before: Timestamp,
    ) -> rusqlite::Result<bool> {
        let oldest = self
            .0
            .prepare_cached(
                "SELECT d.received_at FROM entries e JOIN deliveries d ON d.position = e.position
                 WHERE e.state = 0 AND e.usage = (SELECT id FROM usage WHERE connection = ?1)
                 ORDER BY e.position LIMIT 1",
            )?
            .query_row([connection.as_str()], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(oldest.is_some_and(|oldest| oldest < before.as_millisecond()))
    }

    /// The number of deliveries of the connection that are not settled, up to a limit.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count_pending(
        &self,
        connection: &ConnectionId,
        limit: usize,
    ) -> rusqlite::Result<usize> {
        let count: u32 = self
            .0
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM entries WHERE state = 0
                 AND usage = (SELECT id FROM usage WHERE connection = ?1) LIMIT ?2)",
            )?
            .query_row(
                params![
                    connection.as_str(),
                    u32::try_from(limit).unwrap_or(u32::MAX)
                ],
                |row| row.get(0),
            )?;
        Ok(count as usize)
    }

    /// The oldest requests of the command line without a report: id and text.
    ///
    /// # Errors
    /// SQLite's.
    pub fn reconcile_requests(&self) -> rusqlite::Result<Vec<(i64, String)>> {
        self.0
            .prepare_cached(
                "SELECT id, request FROM reconcile_requests WHERE report IS NULL ORDER BY id LIMIT ?1",
            )?
            .query_map([MAX_OPEN_REQUESTS], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    /// The rows of a request so far.
    ///
    /// # Errors
    /// SQLite's.
    pub fn row_count(&self, id: i64) -> rusqlite::Result<RowCount> {
        let count = self
            .0
            .prepare_cached(
                "SELECT rows_read, rows_expected FROM reconcile_requests WHERE id = ?1",
            )?
            .query_row([id], |row| {
                let number = |index| row.get(index).map(i64::unsigned_abs);
                Ok(RowCount {
                    read: number(0)?,
                    expected: number(1)?,
                })
            })
            .optional()?;
        Ok(count.unwrap_or_default())
    }

    /// The report of a request, if the gateway has finished it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn reconcile_report(&self, id: i64) -> rusqlite::Result<Option<String>> {
        self.0
            .prepare_cached("SELECT report FROM reconcile_requests WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()
            .map(Option::flatten)
    }

    /// The found changes of each day since a time, with the number of deliveries by webhook.
    ///
    /// # Errors
    /// SQLite's.
    pub fn gaps(
        &self,
        connection: &ConnectionId,
        since: Timestamp,
    ) -> rusqlite::Result<Vec<DayOfGaps>> {
        let mut days: std::collections::BTreeMap<String, DayOfGaps> = Default::default();
        let day = "strftime('%Y-%m-%d', {} / 1000, 'unixepoch')";
        let mut counts = self.0.prepare_cached(&format!(
            "SELECT {}, count(*) FROM deliveries WHERE kind = ?1 AND connection = ?2 AND received_at >= ?3 GROUP BY 1",
            day.replace("{}", "received_at")
        ))?;
        let mut rows = counts.query(params![
            EntryKind::Delivery.code(),
            connection.as_str(),
            since.as_millisecond()
        ])?;
        while let Some(row) = rows.next()? {
            let webhooks: i64 = row.get(1)?;
            days.entry(row.get(0)?).or_default().webhooks = webhooks.unsigned_abs();
        }
        let mut found = self.0.prepare_cached(&format!(
            "SELECT {}, gap, entity, id FROM found_changes WHERE connection = ?1 AND found_at >= ?2 ORDER BY found_at",
            day.replace("{}", "found_at")
        ))?;
        let mut rows = found.query(params![connection.as_str(), since.as_millisecond()])?;
        while let Some(row) = rows.next()? {
            let (entity, id): (String, String) = (row.get(2)?, row.get(3)?);
            let day = days.entry(row.get(0)?).or_default();
            let gap = row.get_ref(1)?.as_str()?;
            if gap == POLLED {
                day.polled += 1;
                continue;
            }
            let ids = match Gap::parse(gap) {
                Some(Gap::Missing) => &mut day.missing,
                Some(Gap::Late) => &mut day.late,
                Some(Gap::Deleted) => &mut day.deleted,
                Some(Gap::Unreadable) | None => &mut day.unreadable,
            };
            ids.push(format!("{entity}/{id}"));
        }
        let days = days.into_iter().map(|(day, gaps)| DayOfGaps {
            connection: connection.to_string(),
            day,
            ..gaps
        });
        Ok(days.collect())
    }
}

fn store_read(row: &Row<'_>) -> rusqlite::Result<StoreRead> {
    let time = |index| row.get::<_, Option<i64>>(index)?.map(instant).transpose();
    Ok(StoreRead {
        entity: row.get(0)?,
        watermark: instant(row.get(1)?)?,
        until: time(2)?,
        cursor: row.get(3)?,
        finished_at: time(4)?,
        failure: row.get(5)?,
    })
}
