//! The tables of secrets, and the text that proves the master key.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension, params};

use super::columns::timestamp;
use crate::connections::secret::SealedSecret;
use crate::database;
use crate::delivery::ConnectionId;

/// Adds a current secret.
pub(super) fn add_secret(
    sqlite: &Sqlite,
    id: &ConnectionId,
    secret: &SealedSecret,
    now: Timestamp,
) -> rusqlite::Result<()> {
    sqlite
        .prepare_cached("INSERT INTO connection_secrets (connection, name, sealed, made_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id.as_str(), secret.name, secret.sealed, now.as_millisecond()])?;
    Ok(())
}

/// Returns the secrets of a connection that are valid now, current ones first.
pub(crate) fn secrets(
    sqlite: &Sqlite,
    id: &ConnectionId,
    now: Timestamp,
) -> rusqlite::Result<Vec<SealedSecret>> {
    sqlite
        .prepare_cached(
            "SELECT name, sealed, valid_until FROM connection_secrets
             WHERE connection = ?1 AND (valid_until IS NULL OR valid_until > ?2) ORDER BY valid_until IS NOT NULL, name",
        )?
        .query_map(params![id.as_str(), now.as_millisecond()], |row| {
            Ok(SealedSecret {
                name: row.get(0)?,
                sealed: row.get(1)?,
                valid_until: row.get::<_, Option<i64>>(2)?.map(timestamp).transpose()?,
            })
        })?
        .collect()
}

/// When a secret is rotated, and how long the previous one stays valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotationTimes {
    pub(crate) now: Timestamp,
    /// When the grace time of the previous secret ends.
    pub(crate) previous_until: Timestamp,
}

/// Makes a secret the current one. The previous one stays valid for its grace time, and older ones keep their own.
pub(crate) fn rotate(
    sqlite: &Sqlite,
    id: &ConnectionId,
    secret: &SealedSecret,
    times: RotationTimes,
) -> rusqlite::Result<()> {
    sqlite.execute(
        "DELETE FROM connection_secrets WHERE connection = ?1 AND name = ?2 AND valid_until <= ?3",
        params![id.as_str(), secret.name, times.now.as_millisecond()],
    )?;
    sqlite.execute(
        "UPDATE connection_secrets SET valid_until = ?3 WHERE connection = ?1 AND name = ?2 AND valid_until IS NULL",
        params![id.as_str(), secret.name, times.previous_until.as_millisecond()],
    )?;
    add_secret(sqlite, id, secret, times.now)
}

pub(super) fn remove_secrets(sqlite: &Sqlite, id: &ConnectionId) -> rusqlite::Result<()> {
    sqlite.execute(
        "DELETE FROM connection_secrets WHERE connection = ?1",
        [id.as_str()],
    )?;
    Ok(())
}

/// Returns the encrypted text that proves the master key; `None` before the first secret.
pub(crate) fn key_check(sqlite: &Sqlite) -> rusqlite::Result<Option<Vec<u8>>> {
    sqlite
        .query_row("SELECT word FROM seal WHERE id = 1", [], |row| row.get(0))
        .optional()
}

/// Stores the encrypted text that proves the master key, unless there is one.
pub(crate) fn set_key_check(sqlite: &Sqlite, encrypted: &[u8]) -> rusqlite::Result<()> {
    sqlite.execute(
        "INSERT INTO seal VALUES (1, ?1) ON CONFLICT (id) DO NOTHING",
        [encrypted],
    )?;
    Ok(())
}

/// `true` if the data file of a folder contains something that was encrypted with a master key.
pub(crate) fn has_sealed_secrets(folder: &Path) -> bool {
    if !folder.join(database::DATA_FILE).exists() {
        return false;
    }
    // A file that cannot be read may contain secrets.
    let Ok(file) = database::open_reader(folder) else {
        return true;
    };
    match database::version(&file) {
        // Version 0 has no tables: the first start did not complete.
        Ok(0) => false,
        Ok(_) => !matches!(key_check(&file), Ok(None)),
        Err(_) => true,
    }
}
