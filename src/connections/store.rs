//! The connections' tables and the functions on them.
//!
//! Each takes an open SQLite connection or transaction, so that a change and the event that tells of it are one commit
//! (`journal::announce`). Secrets come in and go out sealed.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension, Row, params};

use super::{BeforePause, Connection, SealedSecret, Status};
use crate::delivery::ConnectionId;
use crate::sqlite;

/// The tables.
pub(crate) const SCHEMA: &str = "
CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT,
    status TEXT NOT NULL,
    reason TEXT,
    before_pause TEXT,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;
-- Of a name, the row without valid_until is the current secret; others are previous ones in their grace time.
CREATE TABLE connection_secrets (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    valid_until INTEGER,
    made_at INTEGER NOT NULL
);
-- A word sealed with the master key that seals the secrets: another key is noticed before it does harm.
CREATE TABLE seal (id INTEGER PRIMARY KEY CHECK (id = 1), word BLOB NOT NULL);
CREATE INDEX connection_secrets_by_connection ON connection_secrets (connection, name);
";

/// Adds a connection with its secrets. `false` where the id is taken.
pub(crate) fn add(
    sqlite: &Sqlite,
    connection: &Connection,
    secrets: &[SealedSecret],
) -> rusqlite::Result<bool> {
    if !insert(sqlite, connection)? {
        return Ok(false);
    }
    for secret in secrets {
        add_secret(sqlite, &connection.id, secret, connection.created_at)?;
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

fn add_secret(
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

/// Sets the status. `false` where there is no such connection, or it stood like that already.
pub(crate) fn set_status(
    sqlite: &Sqlite,
    id: &ConnectionId,
    status: Status,
    reason: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let changed = sqlite
        .prepare_cached(
            "UPDATE connections SET before_pause = CASE WHEN ?2 = 'paused' THEN status || COALESCE(' ' || reason, '') END,
                                    status = ?2, reason = ?3, changed_at = ?4
             WHERE id = ?1 AND (status <> ?2 OR reason IS NOT ?3)",
        )?
        .execute(params![id.as_str(), status.as_str(), reason, now.as_millisecond()])?;
    Ok(changed == 1)
}

/// Sets how a paused connection will stand when it is paused no more. `false` where it is not paused, or is to stand like
/// that already.
pub(crate) fn set_before_pause(
    sqlite: &Sqlite,
    id: &ConnectionId,
    status: Status,
    reason: Option<&str>,
) -> rusqlite::Result<bool> {
    let changed = sqlite
        .prepare_cached(
            "UPDATE connections SET before_pause = ?2 || COALESCE(' ' || ?3, '')
             WHERE id = ?1 AND status = 'paused' AND before_pause IS NOT ?2 || COALESCE(' ' || ?3, '')",
        )?
        .execute(params![id.as_str(), status.as_str(), reason])?;
    Ok(changed == 1)
}

/// An installation or a removal of an app, as its platform signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedChange {
    /// When it was signed.
    pub(crate) at: Timestamp,
    /// The journal's position of the delivery that told it.
    pub(crate) position: i64,
}

/// The newest installation or removal that was applied to a connection.
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
                at: instant(row.get(0)?)?,
                position: row.get(1)?,
            })
        })
        .optional()
}

/// Keeps the newest installation or removal of a connection.
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

/// Adds to what is known of a connection. `false` where all of it was known: then nothing is written, and nobody is told.
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

/// Makes a new secret the current one; the one before stays valid until then, and earlier ones for what is left of their time.
pub(crate) fn rotate(
    sqlite: &Sqlite,
    id: &ConnectionId,
    secret: &SealedSecret,
    previous_until: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<()> {
    sqlite.execute(
        "DELETE FROM connection_secrets WHERE connection = ?1 AND name = ?2 AND valid_until <= ?3",
        params![id.as_str(), secret.name, now.as_millisecond()],
    )?;
    sqlite.execute(
        "UPDATE connection_secrets SET valid_until = ?3 WHERE connection = ?1 AND name = ?2 AND valid_until IS NULL",
        params![id.as_str(), secret.name, previous_until.as_millisecond()],
    )?;
    add_secret(sqlite, id, secret, now)
}

/// Removes a connection with its secrets and its installations. `false` where there is none.
pub(crate) fn remove(sqlite: &Sqlite, id: &ConnectionId) -> rusqlite::Result<bool> {
    sqlite.execute(
        "DELETE FROM connection_secrets WHERE connection = ?1",
        [id.as_str()],
    )?;
    sqlite.execute("DELETE FROM connections WHERE parent = ?1", [id.as_str()])?;
    Ok(sqlite.execute("DELETE FROM connections WHERE id = ?1", [id.as_str()])? == 1)
}

/// The installations that an app connection serves.
pub(crate) fn installations(
    sqlite: &Sqlite,
    parent: &ConnectionId,
) -> rusqlite::Result<Vec<Connection>> {
    sqlite
        .prepare_cached("SELECT * FROM connections WHERE parent = ?1 ORDER BY id")?
        .query_map([parent.as_str()], read)?
        .collect()
}

/// The names of some of an app connection's installations. Those that removed the app come last: they say little about it.
pub(crate) fn some_installations(
    sqlite: &Sqlite,
    parent: &ConnectionId,
    most: u32,
) -> rusqlite::Result<Vec<ConnectionId>> {
    sqlite
        .prepare_cached(
            "SELECT id FROM connections WHERE parent = ?1 ORDER BY status = 'disconnected', changed_at DESC LIMIT ?2",
        )?
        .query_map(params![parent.as_str(), most], |row| id(&row.get::<_, String>(0)?))?
        .collect()
}

/// The word that tells whether a master key is the right one.
pub(crate) fn sealed_word(sqlite: &Sqlite) -> rusqlite::Result<Option<Vec<u8>>> {
    sqlite
        .query_row("SELECT word FROM seal WHERE id = 1", [], |row| row.get(0))
        .optional()
}

/// `true` if the data file of a folder holds something that was sealed with a master key.
pub(super) fn holds_sealed(folder: &Path) -> bool {
    if !folder.join(sqlite::FILE).exists() {
        return false;
    }
    let Ok(file) = sqlite::open_reader(folder) else {
        return true;
    };
    // Without a format there are no tables: a first start that did not get far. A file that cannot be read may hold
    // secrets.
    match sqlite::version(&file) {
        Ok(0) => false,
        Ok(_) => !matches!(sealed_word(&file), Ok(None)),
        Err(_) => true,
    }
}

/// Keeps that word, where there is none yet.
pub(crate) fn set_sealed_word(sqlite: &Sqlite, word: &[u8]) -> rusqlite::Result<()> {
    sqlite.execute(
        "INSERT INTO seal VALUES (1, ?1) ON CONFLICT (id) DO NOTHING",
        [word],
    )?;
    Ok(())
}

/// What the table holds.
pub(crate) struct Listed {
    /// The connections that can be read, by id.
    pub(crate) connections: Vec<Connection>,
    /// The ids of the rows that cannot, with the reason.
    pub(crate) damaged: Vec<(String, String)>,
}

/// All connections. A damaged row is set aside, so that the others go on.
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
                listed.damaged.push((id, error.to_string()));
            }
        }
    }
    Ok(listed)
}

/// The platform of a connection whose row may be damaged.
pub(crate) fn platform_of(sqlite: &Sqlite, id: &str) -> rusqlite::Result<Option<String>> {
    sqlite
        .prepare_cached(
            "SELECT platform FROM connections WHERE id = ?1 AND typeof(platform) = 'text'",
        )?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// One connection.
pub(crate) fn get(sqlite: &Sqlite, id: &ConnectionId) -> rusqlite::Result<Option<Connection>> {
    sqlite
        .prepare_cached("SELECT * FROM connections WHERE id = ?1")?
        .query_row([id.as_str()], read)
        .optional()
}

/// A connection's secrets that are valid now, current ones first.
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
                valid_until: row.get::<_, Option<i64>>(2)?.map(instant).transpose()?,
            })
        })?
        .collect()
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
        settings: serde_json::from_str(&row.get::<_, String>("settings")?).map_err(unreadable)?,
        created_at: instant(row.get("created_at")?)?,
        changed_at: instant(row.get("changed_at")?)?,
    })
}

fn id(text: &str) -> rusqlite::Result<ConnectionId> {
    ConnectionId::new(text).map_err(unreadable)
}

fn instant(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(unreadable)
}

/// A value in the file that we cannot have written.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_that_removed_the_app_come_last() {
        let sqlite = Sqlite::open_in_memory().expect("a database");
        sqlite.execute_batch(SCHEMA).expect("tables");
        let named = |name: &str| ConnectionId::new(name).expect("an id");
        let at = |second| Timestamp::from_second(second).expect("a time");
        for name in ["a", "b", "c", "d"] {
            let connection =
                Connection::new(named(name), "platform", "instance", BTreeMap::new(), at(0));
            let connection = Connection {
                parent: Some(named("app")),
                ..connection
            };
            assert!(add(&sqlite, &connection, &[]).expect("added"));
        }
        set_status(
            &sqlite,
            &named("b"),
            Status::Degraded,
            Some("silent"),
            at(1),
        )
        .expect("set");
        set_status(
            &sqlite,
            &named("c"),
            Status::Disconnected,
            Some("app_removed"),
            at(2),
        )
        .expect("set");
        set_status(
            &sqlite,
            &named("a"),
            Status::Disconnected,
            Some("app_removed"),
            at(3),
        )
        .expect("set");
        let some = |most| some_installations(&sqlite, &named("app"), most).expect("some");
        assert_eq!(some(2), ["b", "d"].map(named));
        assert_eq!(some(20), ["b", "d", "a", "c"].map(named));
    }
}
