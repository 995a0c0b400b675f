//! What stores said of thin deliveries, kept beside them: an event is made from both whenever it is read.
//!
//! Written before anything that it completes is published, so that a crash, a reader of the log and a redrive tell the same.

use bytes::Bytes;
use rusqlite::{Row, Transaction, params};

use super::entry::Position;
use crate::delivery::{Completed, Completion};

/// The table.
pub(super) const SCHEMA: &str = "
CREATE TABLE completions (
    position INTEGER PRIMARY KEY,
    outcome INTEGER NOT NULL,
    reason TEXT,
    body BLOB,
    asked_at INTEGER NOT NULL
);
";

/// What a query selects to [`read`] a completion, and the join that it needs.
pub(super) const COLUMNS: &str = "c.outcome, c.reason, c.body, c.asked_at";
pub(super) const JOIN: &str = "LEFT JOIN completions c ON c.position = d.position";

const WHOLE: i64 = 0;
const UNTRUE: i64 = 1;
const GIVEN_UP: i64 = 2;

/// Keeps what a store said of these deliveries. A later word replaces an earlier one.
pub(super) fn keep(transaction: &Transaction<'_>, positions: &[Position], completion: &Completion) -> rusqlite::Result<()> {
    let (outcome, reason, body) = match &completion.outcome {
        Completed::Whole(body) => (WHOLE, None, Some(&body[..])),
        Completed::Untrue(reason) => (UNTRUE, Some(reason), None),
        Completed::GivenUp(reason) => (GIVEN_UP, Some(reason), None),
    };
    // Where retention removed a delivery meanwhile, there is nothing to keep.
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO completions (position, outcome, reason, body, asked_at)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM deliveries WHERE position = ?1)",
    )?;
    for position in positions {
        insert.execute(params![position, outcome, reason, body, completion.asked_at.as_millisecond()])?;
    }
    Ok(())
}

/// Forgets them with their delivery.
pub(super) fn forget(transaction: &Transaction<'_>, position: Position) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM completions WHERE position = ?1")?.execute([position])?;
    Ok(())
}

/// Reads the columns that begin at an index.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Completion>> {
    let Some(outcome) = row.get::<_, Option<i64>>(first)? else { return Ok(None) };
    let reason = || row.get::<_, Option<String>>(first + 1).map(Option::unwrap_or_default);
    let outcome = match outcome {
        WHOLE => Completed::Whole(Bytes::copy_from_slice(row.get_ref(first + 2)?.as_blob_or_null()?.unwrap_or_default())),
        UNTRUE => Completed::Untrue(reason()?),
        // A word of a newer version: as if nothing had been had.
        _ => Completed::GivenUp(reason()?),
    };
    Ok(Some(Completion { outcome, asked_at: super::reader::instant(row.get(first + 3)?)? }))
}
