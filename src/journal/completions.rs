//! The results of enriching thin deliveries, stored beside them. An event is made from both whenever it is read.
//!
//! A result is stored before an event that depends on it is published. So a crash, a reader of the log and a redrive all
//! give the same event. One response may complete many deliveries; it is stored once, as long as one of them exists.

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::entry::Position;
use super::usage;
use crate::database::rows::instant;
use crate::delivery::{Enriched, Enrichment, Reason};

/// The columns of a query that reads a result, and the join that the query needs.
pub(super) const COLUMNS: &str = "c.outcome, c.reason, c.answer, a.body, c.asked_at";
pub(super) const JOIN: &str =
    "LEFT JOIN completions c ON c.position = d.position LEFT JOIN answers a ON a.id = c.answer";
/// The number of these columns.
pub(super) const COLUMN_COUNT: usize = 5;

/// The codes of results in the column `outcome`.
const COMPLETE: i64 = 0;
const CONTRADICTED: i64 = 1;
const UNAVAILABLE: i64 = 2;
const NOT_FOUND: i64 = 3;

/// Stores the result for some deliveries. A later result replaces an earlier one.
pub(super) fn store(
    transaction: &Transaction<'_>,
    positions: &[Position],
    enriched: &Enriched,
) -> rusqlite::Result<()> {
    let (code, reason) = match &enriched.enrichment {
        Enrichment::Complete(_) => (COMPLETE, None),
        Enrichment::Contradicted(reason) => (CONTRADICTED, Some(reason)),
        Enrichment::Unavailable(reason) => (UNAVAILABLE, Some(reason)),
        Enrichment::NotFound => (NOT_FOUND, None),
    };
    let response = match &enriched.enrichment {
        Enrichment::Complete(body) => Some(store_response(transaction, body)?),
        Enrichment::Contradicted(_) | Enrichment::Unavailable(_) | Enrichment::NotFound => None,
    };
    // Retention may have removed a delivery in the meantime.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO completions (position, outcome, reason, answer, asked_at)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM deliveries WHERE position = ?1)",
    )?;
    for position in positions {
        forget(transaction, *position)?;
        insert.execute(params![
            position,
            code,
            reason.map(Reason::as_str),
            response,
            enriched.fetched_at.as_millisecond()
        ])?;
    }
    if let (Enrichment::Complete(body), Some(first)) = (&enriched.enrichment, positions.first()) {
        usage::add_bytes(transaction, *first, body.len())?;
    }
    response.map_or(Ok(()), |response| remove_unused(transaction, response))
}

fn store_response(transaction: &Transaction<'_>, body: &Bytes) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("INSERT INTO answers (body) VALUES (?1)")?
        .execute([&body[..]])?;
    Ok(transaction.last_insert_rowid())
}

/// Removes the result of a delivery that is removed.
pub(super) fn forget(transaction: &Transaction<'_>, position: Position) -> rusqlite::Result<()> {
    let response: Option<Option<i64>> = transaction
        .prepare_cached("DELETE FROM completions WHERE position = ?1 RETURNING answer")?
        .query_row([position], |row| row.get(0))
        .optional()?;
    response
        .flatten()
        .map_or(Ok(()), |response| remove_unused(transaction, response))
}

/// Removes a response that no delivery needs any more.
fn remove_unused(transaction: &Transaction<'_>, response: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM answers WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM completions WHERE answer = ?1)")?
        .execute([response])?;
    Ok(())
}

/// Reads results row by row. Consecutive rows with the same response share it.
#[derive(Debug, Default)]
pub(super) struct EnrichedReader {
    last: Option<(i64, Bytes)>,
}

impl EnrichedReader {
    /// Reads the columns from the index `first` on.
    pub(super) fn read(
        &mut self,
        row: &Row<'_>,
        first: usize,
    ) -> rusqlite::Result<Option<Enriched>> {
        let Some(code) = row.get::<_, Option<i64>>(first)? else {
            return Ok(None);
        };
        let reason = || {
            row.get::<_, Option<String>>(first + 1)
                .map(|reason| Reason::from_text(reason.unwrap_or_default()))
        };
        let enrichment = match code {
            COMPLETE => Enrichment::Complete(self.response(row, first + 2)?),
            CONTRADICTED => Enrichment::Contradicted(reason()?),
            NOT_FOUND => Enrichment::NotFound,
            // Also the code of a newer version.
            _ => Enrichment::Unavailable(reason()?),
        };
        Ok(Some(Enriched {
            enrichment,
            fetched_at: instant(row.get(first + 4)?)?,
        }))
    }

    fn response(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<Bytes> {
        let id = row.get::<_, Option<i64>>(first)?.unwrap_or_default();
        if let Some((last, body)) = &self.last
            && *last == id
        {
            return Ok(body.clone());
        }
        let stored = row.get_ref(first + 1)?.as_blob_or_null()?;
        let body = Bytes::copy_from_slice(stored.unwrap_or_default());
        self.last = Some((id, body.clone()));
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rusqlite::Connection;

    use super::*;
    use crate::database::MIGRATIONS;

    fn number(sqlite: &Connection, query: &str) -> i64 {
        sqlite
            .query_row(query, [], |row| row.get(0))
            .expect("a result")
    }

    #[test]
    fn response_is_stored_once_as_long_as_a_delivery_needs_it() {
        let mut sqlite = Connection::open_in_memory().expect("a file");
        sqlite
            .execute_batch(&MIGRATIONS.concat())
            .expect("its tables");
        for key in 1..=3_u8 {
            let insert =
                "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
                 VALUES (?1, 0, 'p', 'e', 'c', 't', 7, '[]', x'7b7d')";
            sqlite.execute(insert, [[key; 16]]).expect("written");
        }
        let whole = |text: &'static str| Enriched {
            enrichment: Enrichment::Complete(Bytes::from_static(text.as_bytes())),
            fetched_at: Timestamp::UNIX_EPOCH,
        };
        let transaction = sqlite.transaction().expect("begun");
        store(&transaction, &[1, 2, 9], &whole("{}")).expect("kept");
        store(&transaction, &[9], &whole("{\"of\":\"none\"}")).expect("kept");
        assert_eq!(number(&transaction, "SELECT count(*) FROM answers"), 1);
        assert_eq!(number(&transaction, "SELECT count(*) FROM completions"), 2);
        store(&transaction, &[2], &whole("{\"later\":1}")).expect("kept");
        assert_eq!(number(&transaction, "SELECT count(*) FROM answers"), 2);
        forget(&transaction, 1).expect("forgotten");
        forget(&transaction, 2).expect("forgotten");
        forget(&transaction, 3).expect("forgotten");
        assert_eq!(number(&transaction, "SELECT count(*) FROM answers"), 0);
    }
}
