//! Counters by which processes that share the data file notice each other's changes.
//!
//! Commands increase `connections` and `reopened` with each change. The gateway sets `applied` to the value of `connections`
//! that it has applied.

use rusqlite::{OptionalExtension, Transaction};

use super::reader::Reader;

/// Counters that change with each change, by whichever process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Grows with every change of a connection.
    pub connections: i64,
    /// Grows with every redrive.
    pub reopened: i64,
}

impl Reader {
    /// The counters of changes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn marks(&self) -> rusqlite::Result<Marks> {
        let of = |name| {
            self.0
                .prepare_cached("SELECT version FROM marks WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
        };
        Ok(Marks {
            connections: of("connections")?,
            reopened: of("reopened")?,
        })
    }

    /// The value of `connections` up to which a running gateway has applied the changes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn applied(&self) -> rusqlite::Result<i64> {
        let mark = self
            .0
            .prepare_cached("SELECT version FROM marks WHERE name = 'applied'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(mark.unwrap_or_default())
    }
}

/// Stores that the gateway has applied all changes of connections up to this counter.
pub(super) fn note_applied(
    transaction: &Transaction<'_>,
    connections: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO marks VALUES ('applied', ?1) ON CONFLICT (name) DO UPDATE SET version = ?1",
        )?
        .execute([connections])
        .map(drop)
}
