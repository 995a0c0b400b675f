//! Conversions of column values. A value that the gateway cannot have written makes the row damaged.

use jiff::Timestamp;

use crate::delivery::ConnectionId;

pub(super) fn id(text: &str) -> rusqlite::Result<ConnectionId> {
    ConnectionId::new(text).map_err(damaged)
}

pub(super) fn timestamp(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(damaged)
}

pub(super) fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
