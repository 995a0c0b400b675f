//! Installations that the operator removed. They stay removed until their site installs the app again.
//!
//! A tombstone belongs to one installation of one app, and is removed with the app.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension, params};

use crate::delivery::ConnectionId;

/// A removal by the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tombstone {
    pub(super) removed_at: Timestamp,
    /// The newest position of the journal at that time.
    pub(super) last_position: i64,
}

impl Tombstone {
    /// `true` if an installation at this time brings the connection back. Tokens have whole seconds: an installation in the second
    /// of the removal is not newer.
    pub(super) fn is_ended_by(&self, installed_at: Option<Timestamp>) -> bool {
        installed_at.is_some_and(|at| at.as_second() > self.removed_at.as_second())
    }
}

/// Stores a tombstone in place of an older one.
pub(super) fn add(
    sqlite: &Sqlite,
    id: &ConnectionId,
    parent: &ConnectionId,
    tombstone: Tombstone,
) -> rusqlite::Result<()> {
    sqlite.execute(
        "INSERT OR REPLACE INTO removed_installations (id, parent, removed_at, last_position) VALUES (?1, ?2, ?3, ?4)",
        params![
            id.as_str(),
            parent.as_str(),
            tombstone.removed_at.as_millisecond(),
            tombstone.last_position
        ],
    )?;
    Ok(())
}

pub(super) fn find(
    sqlite: &Sqlite,
    id: &ConnectionId,
    parent: &ConnectionId,
) -> rusqlite::Result<Option<Tombstone>> {
    let found: Option<(i64, i64)> = sqlite
        .prepare_cached(
            "SELECT removed_at, last_position FROM removed_installations WHERE id = ?1 AND parent = ?2",
        )?
        .query_row([id.as_str(), parent.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.map(|(removed_at, last_position)| Tombstone {
        removed_at: Timestamp::from_millisecond(removed_at).unwrap_or(Timestamp::UNIX_EPOCH),
        last_position,
    }))
}

/// Removes the tombstone of an installation that was added again.
pub(super) fn remove(
    sqlite: &Sqlite,
    id: &ConnectionId,
    parent: &ConnectionId,
) -> rusqlite::Result<()> {
    sqlite.execute(
        "DELETE FROM removed_installations WHERE id = ?1 AND parent = ?2",
        [id.as_str(), parent.as_str()],
    )?;
    Ok(())
}

/// Removes all tombstones of an app.
pub(super) fn remove_of_app(sqlite: &Sqlite, parent: &ConnectionId) -> rusqlite::Result<()> {
    sqlite.execute(
        "DELETE FROM removed_installations WHERE parent = ?1",
        [parent.as_str()],
    )?;
    Ok(())
}
