//! Reads values of rows. A value that this program cannot have written is an error of the row.

use jiff::Timestamp;
use rusqlite::Row;

use crate::delivery::ConnectionId;

pub(crate) fn id(row: &Row<'_>, index: usize) -> rusqlite::Result<ConnectionId> {
    ConnectionId::new(row.get_ref(index)?.as_str()?).map_err(unreadable)
}

pub(crate) fn instant(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(unreadable)
}

/// The error for a value that this program cannot have written.
pub(crate) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
