//! What stores said of thin deliveries, kept beside them: an event is made from both whenever it is read.
//!
//! Written before anything that it completes is published, so that a crash, a reader of the log and a redrive tell the same.

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::entry::Position;
use super::usage;
use crate::delivery::{Completed, Completion};

/// What a query selects to read a completion, and the join that it needs.
pub(super) const COLUMNS: &str = "c.outcome, c.reason, c.answer, a.body, c.asked_at";
pub(super) const JOIN: &str =
    "LEFT JOIN completions c ON c.position = d.position LEFT JOIN answers a ON a.id = c.answer";
/// How many columns that are.
pub(super) const WIDTH: usize = 5;

const WHOLE: i64 = 0;
const UNTRUE: i64 = 1;
const GIVEN_UP: i64 = 2;
const ABSENT: i64 = 3;

/// Keeps what a store said of these deliveries. A later word replaces an earlier one.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    positions: &[Position],
    completion: &Completion,
) -> rusqlite::Result<()> {
    let (outcome, reason, answer) = match &completion.outcome {
        Completed::Whole(body) => {
            transaction
                .prepare_cached("INSERT INTO answers (body) VALUES (?1)")?
                .execute([&body[..]])?;
            (WHOLE, None, Some(transaction.last_insert_rowid()))
        }
        Completed::Untrue(reason) => (UNTRUE, Some(reason), None),
        Completed::GivenUp(reason) => (GIVEN_UP, Some(reason), None),
        Completed::Absent => (ABSENT, None, None),
    };
    // Where retention removed a delivery meanwhile, there is nothing to keep.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO completions (position, outcome, reason, answer, asked_at)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM deliveries WHERE position = ?1)",
    )?;
    for position in positions {
        forget(transaction, *position)?;
        insert.execute(params![
            position,
            outcome,
            reason,
            answer,
            completion.asked_at.as_millisecond()
        ])?;
    }
    if let (Completed::Whole(body), Some(first)) = (&completion.outcome, positions.first()) {
        usage::add_bytes(transaction, *first, body.len())?;
    }
    answer.map_or(Ok(()), |answer| let_go(transaction, answer))
}

/// Forgets one with its delivery.
pub(super) fn forget(transaction: &Transaction<'_>, position: Position) -> rusqlite::Result<()> {
    let answer: Option<Option<i64>> = transaction
        .prepare_cached("DELETE FROM completions WHERE position = ?1 RETURNING answer")?
        .query_row([position], |row| row.get(0))
        .optional()?;
    answer
        .flatten()
        .map_or(Ok(()), |answer| let_go(transaction, answer))
}

/// Removes an answer that completes nothing any more.
fn let_go(transaction: &Transaction<'_>, answer: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM answers WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM completions WHERE answer = ?1)")?
        .execute([answer])?;
    Ok(())
}

/// Reads completions row by row. The rows of one answer share it.
#[derive(Debug, Default)]
pub(super) struct Completions {
    last: Option<(i64, Bytes)>,
}

impl Completions {
    /// Reads the columns that begin at an index.
    pub(super) fn read(
        &mut self,
        row: &Row<'_>,
        first: usize,
    ) -> rusqlite::Result<Option<Completion>> {
        let Some(outcome) = row.get::<_, Option<i64>>(first)? else {
            return Ok(None);
        };
        let reason = || {
            row.get::<_, Option<String>>(first + 1)
                .map(Option::unwrap_or_default)
        };
        let outcome = match outcome {
            WHOLE => Completed::Whole(self.answer(row, first + 2)?),
            UNTRUE => Completed::Untrue(reason()?),
            ABSENT => Completed::Absent,
            // A word of a newer version: as if nothing had been had.
            _ => Completed::GivenUp(reason()?),
        };
        Ok(Some(Completion {
            outcome,
            asked_at: crate::database::rows::instant(row.get(first + 4)?)?,
        }))
    }

    fn answer(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<Bytes> {
        let id = row.get::<_, Option<i64>>(first)?.unwrap_or_default();
        match &self.last {
            Some((last, body)) if *last == id => Ok(body.clone()),
            _ => {
                let body = Bytes::copy_from_slice(
                    row.get_ref(first + 1)?
                        .as_blob_or_null()?
                        .unwrap_or_default(),
                );
                self.last = Some((id, body.clone()));
                Ok(body)
            }
        }
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
            .expect("asked")
    }

    #[test]
    fn an_answer_is_kept_once_and_as_long_as_a_delivery_needs_it() {
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
        let whole = |text: &'static str| Completion {
            outcome: Completed::Whole(Bytes::from_static(text.as_bytes())),
            asked_at: Timestamp::UNIX_EPOCH,
        };
        let transaction = sqlite.transaction().expect("begun");
        keep(&transaction, &[1, 2, 9], &whole("{}")).expect("kept");
        keep(&transaction, &[9], &whole("{\"of\":\"nobody\"}")).expect("kept");
        assert_eq!(number(&transaction, "SELECT count(*) FROM answers"), 1);
        assert_eq!(number(&transaction, "SELECT count(*) FROM completions"), 2);
        keep(&transaction, &[2], &whole("{\"later\":1}")).expect("kept");
        assert_eq!(number(&transaction, "SELECT count(*) FROM answers"), 2);
        forget(&transaction, 1).expect("forgotten");
        forget(&transaction, 2).expect("forgotten");
        forget(&transaction, 3).expect("forgotten");
        assert_eq!(number(&transaction, "SELECT count(*) FROM answers"), 0);
    }
}
