//! The newest installation or removal of an app that was applied to a connection.

use rusqlite::{Connection as Sqlite, OptionalExtension, params};

use super::columns::timestamp;
use crate::connections::signed_change::SignedChange;
use crate::delivery::ConnectionId;

/// Returns the newest installation or removal that was applied to a connection.
pub(crate) fn newest_signed(
    sqlite: &Sqlite,
    id: &ConnectionId,
) -> rusqlite::Result<Option<SignedChange>> {
    sqlite
        .prepare_cached(
            "SELECT signed_at, signed_by FROM connections WHERE id = ?1 AND signed_at IS NOT NULL",
        )?
        .query_row([id.as_str()], |row| {
            Ok(SignedChange {
                at: timestamp(row.get(0)?)?,
                position: row.get(1)?,
            })
        })
        .optional()
}

pub(crate) fn set_newest_signed(
    sqlite: &Sqlite,
    id: &ConnectionId,
    newest: SignedChange,
) -> rusqlite::Result<()> {
    sqlite
        .prepare_cached("UPDATE connections SET signed_at = ?2, signed_by = ?3 WHERE id = ?1")?
        .execute(params![
            id.as_str(),
            newest.at.as_millisecond(),
            newest.position
        ])?;
    Ok(())
}
