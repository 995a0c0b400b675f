//! The tables of the connections.
//!
//! Each function takes an open SQLite connection or transaction, so that a change and the event that announces it are
//! committed together (`journal::announce`). Secrets are encrypted before they are stored, and returned encrypted.

mod columns;
mod secrets;
mod signed_change;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension, Row, params};

use super::connection::{BeforePause, Connection};
use super::secret::SealedSecret;
use super::state::{LifecycleState, Status};
use crate::delivery::ConnectionId;
use columns::{damaged, id, timestamp};

pub(crate) use secrets::{
    RotationTimes, has_sealed_secrets, key_check, rotate, secrets, set_key_check,
};
pub(crate) use signed_change::{newest_signed, set_newest_signed};

/// Adds a connection with its secrets. Returns `false` if the id is taken.
pub(crate) fn add(
    sqlite: &Sqlite,
    connection: &Connection,
    secrets: &[SealedSecret],
) -> rusqlite::Result<bool> {
    if !insert(sqlite, connection)? {
        return Ok(false);
    }
    for secret in secrets {
        secrets::add_secret(sqlite, &connection.id, secret, connection.created_at)?;
    }
    Ok(true)
}

fn insert(sqlite: &Sqlite, connection: &Connection) -> rusqlite::Result<bool> {
    let inserted = sqlite
        .prepare_cached(
            "INSERT INTO connections (id, platform, kind, parent, status, reason, settings, created_at, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            connection.id.as_str(),
            connection.platform,
            connection.kind,
            connection.parent.as_ref().map(ConnectionId::as_str),
            connection.status.as_str(),
            connection.reason,
            serde_json::to_string(&connection.settings).unwrap_or_default(),
            connection.created_at.as_millisecond(),
            connection.changed_at.as_millisecond(),
        ])?;
    Ok(inserted == 1)
}

/// Stores the state of a connection. `changed_at` becomes `now` only if the visible status or its reason changes.
pub(crate) fn set_state(
    sqlite: &Sqlite,
    id: &ConnectionId,
    state: LifecycleState<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let before_pause = if state.is_paused {
        Some(BeforePause::stored(state.condition))
    } else {
        None
    };
    sqlite
        .prepare_cached(
            "UPDATE connections SET status = ?2, reason = ?3, before_pause = ?4,
                                    changed_at = CASE WHEN status = ?2 AND reason IS ?3 THEN changed_at ELSE ?5 END
             WHERE id = ?1",
        )?
        .execute(params![
            id.as_str(),
            state.status().as_str(),
            state.reason(),
            before_pause,
            now.as_millisecond()
        ])?;
    Ok(())
}

/// Adds settings to those of a connection. Returns `false` if they are stored already. Nothing is written then.
pub(crate) fn set_settings(
    sqlite: &Sqlite,
    id: &ConnectionId,
    settings: &BTreeMap<String, String>,
) -> rusqlite::Result<bool> {
    let Some(mut known) = get(sqlite, id)?.map(|connection| connection.settings) else {
        return Ok(false);
    };
    if settings
        .iter()
        .all(|(name, value)| known.get(name) == Some(value))
    {
        return Ok(false);
    }
    known.extend(
        settings
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let changed = sqlite
        .prepare_cached("UPDATE connections SET settings = ?2 WHERE id = ?1")?
        .execute(params![
            id.as_str(),
            serde_json::to_string(&known).unwrap_or_default()
        ])?;
    Ok(changed == 1)
}

/// Removes a connection with its secrets and its installations. Returns `false` if it does not exist.
pub(crate) fn remove(sqlite: &Sqlite, id: &ConnectionId) -> rusqlite::Result<bool> {
    secrets::remove_secrets(sqlite, id)?;
    sqlite.execute("DELETE FROM connections WHERE parent = ?1", [id.as_str()])?;
    Ok(sqlite.execute("DELETE FROM connections WHERE id = ?1", [id.as_str()])? == 1)
}

/// Returns the installations of an app's connection.
pub(crate) fn installations(
    sqlite: &Sqlite,
    parent: &ConnectionId,
) -> rusqlite::Result<Vec<Connection>> {
    sqlite
        .prepare_cached("SELECT * FROM connections WHERE parent = ?1 ORDER BY id")?
        .query_map([parent.as_str()], read)?
        .collect()
}

/// Returns the ids of at most `limit` installations of an app's connection. Those that removed the app come last, because
/// they show little about the app.
pub(crate) fn some_installations(
    sqlite: &Sqlite,
    parent: &ConnectionId,
    limit: u32,
) -> rusqlite::Result<Vec<ConnectionId>> {
    sqlite
        .prepare_cached(
            "SELECT id FROM connections WHERE parent = ?1 ORDER BY status = 'disconnected', changed_at DESC LIMIT ?2",
        )?
        .query_map(params![parent.as_str(), limit], |row| id(&row.get::<_, String>(0)?))?
        .collect()
}

/// The contents of the table.
pub(crate) struct Listed {
    /// The readable connections, by id.
    pub(crate) connections: Vec<Connection>,
    pub(crate) damaged: Vec<DamagedConnection>,
}

/// A row that cannot be read.
pub(crate) struct DamagedConnection {
    pub(crate) id: String,
    pub(crate) error: String,
}

/// Returns all connections. A damaged row does not prevent reading the others.
pub(crate) fn list(sqlite: &Sqlite) -> rusqlite::Result<Listed> {
    let mut statement = sqlite.prepare_cached("SELECT * FROM connections ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut listed = Listed {
        connections: Vec::new(),
        damaged: Vec::new(),
    };
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(connection) => listed.connections.push(connection),
            Err(error) => {
                let id = row.get_ref("id")?;
                let id = id.as_bytes_or_null()?.unwrap_or_default();
                let id = String::from_utf8_lossy(id).into_owned();
                listed.damaged.push(DamagedConnection {
                    id,
                    error: error.to_string(),
                });
            }
        }
    }
    Ok(listed)
}

/// Returns the platform of a connection whose row may be damaged.
pub(crate) fn platform_of(sqlite: &Sqlite, id: &str) -> rusqlite::Result<Option<String>> {
    sqlite
        .prepare_cached(
            "SELECT platform FROM connections WHERE id = ?1 AND typeof(platform) = 'text'",
        )?
        .query_row([id], |row| row.get(0))
        .optional()
}

pub(crate) fn get(sqlite: &Sqlite, id: &ConnectionId) -> rusqlite::Result<Option<Connection>> {
    sqlite
        .prepare_cached("SELECT * FROM connections WHERE id = ?1")?
        .query_row([id.as_str()], read)
        .optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Connection> {
    Ok(Connection {
        id: id(&row.get::<_, String>("id")?)?,
        platform: row.get("platform")?,
        kind: row.get("kind")?,
        parent: row
            .get::<_, Option<String>>("parent")?
            .map(|parent| id(&parent))
            .transpose()?,
        status: Status::parse(&row.get::<_, String>("status")?),
        reason: row.get("reason")?,
        before_pause: row
            .get::<_, Option<String>>("before_pause")?
            .map(|before| BeforePause::parse(&before)),
        settings: serde_json::from_str(&row.get::<_, String>("settings")?).map_err(damaged)?,
        created_at: timestamp(row.get("created_at")?)?,
        changed_at: timestamp(row.get("changed_at")?)?,
    })
}

#[cfg(test)]
mod tests;
