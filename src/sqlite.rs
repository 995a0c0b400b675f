//! Opening the one SQLite file of the data folder, and bringing it to the current format.
//!
//! It knows no table: the stores bring their migrations. WAL lets readers and other processes (the commands) work beside
//! the one writer; `synchronous=FULL` syncs every commit, which is what a 200 on a webhook route means.

pub(crate) mod copy;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// How long one process waits for another that writes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The file's name in the data folder.
pub const FILE: &str = "cartwire.db";

/// The file that a running gateway holds locked in the data folder.
pub const LOCK_FILE: &str = "serve.lock";

/// Why the data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file cannot be made.
    #[error("cannot make {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refuses.
    #[error("cannot open {path}")]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A newer Cartwire wrote it.
    #[error(
        "{path} has format {found}, this program knows up to {known}: use the newer program that wrote it"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// A gateway of an older version uses it.
    #[error(
        "{path} has format {found} and a running `cartwire serve` uses it; this program would change it to format {known}: stop `serve` first, or use the program that runs it"
    )]
    Served {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: usize,
        /// The format of this program.
        known: usize,
    },
}

/// `true` if the file itself is wrong: more room on the disk does not help.
pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

/// `true` while a gateway serves this data folder: it holds [`LOCK_FILE`].
#[must_use]
pub(crate) fn is_served(folder: &Path) -> bool {
    // Never created here: a folder that was never served has none.
    std::fs::File::open(folder.join(LOCK_FILE)).is_ok_and(|file| {
        matches!(
            file.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    })
}

/// Refuses a file whose format would change under a running gateway.
///
/// # Errors
/// [`OpenError::Served`].
pub(crate) fn refuse_served_older(folder: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    if !folder.join(FILE).exists() || !is_served(folder) {
        return Ok(());
    }
    let path = folder.join(FILE);
    let found = version(&open_reader(folder)?);
    match found {
        Ok(found) if found < migrations.len() => Err(OpenError::Served {
            path,
            found,
            known: migrations.len(),
        }),
        // What else is wrong is found when the file is opened.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes the data folder, readable by its owner only, where it is missing.
///
/// # Errors
/// [`OpenError::Folder`].
pub fn make_folder(folder: &Path) -> Result<(), OpenError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        })
}

/// Opens the data file for reading and writing, makes it where it is missing, and applies the migrations it lacks.
///
/// # Errors
/// [`OpenError`].
pub fn open(folder: &Path, migrations: &[&str]) -> Result<Connection, OpenError> {
    make_folder(folder)?;
    let path = folder.join(FILE);
    let failed = |source| OpenError::Sqlite {
        path: path.clone(),
        source,
    };
    make_file(&path)?;
    let mut connection = Connection::open(&path).map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    let found = version(&connection).map_err(failed)?;
    if found > migrations.len() {
        return Err(OpenError::Newer {
            path,
            found,
            known: migrations.len(),
        });
    }
    if found < migrations.len() {
        migrate(&mut connection, migrations).map_err(failed)?;
    }
    Ok(connection)
}

/// Opens the data file for reading only. It must exist.
///
/// # Errors
/// [`OpenError::Sqlite`].
pub fn open_reader(folder: &Path) -> Result<Connection, OpenError> {
    let path = folder.join(FILE);
    let failed = |source| OpenError::Sqlite {
        path: path.clone(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_plans(&connection).map_err(failed)?;
    // There may be several: what one caches is what all of them hold.
    connection
        .pragma_update(None, "cache_size", -4_000)
        .map_err(failed)?;
    Ok(connection)
}

/// Makes the file, readable by its owner only, whatever the folder allows; SQLite gives the log beside it the same mode.
///
/// A file that is there is not opened, on purpose: closing any descriptor of it would drop the locks that SQLite holds for
/// this process, and another program that reads it would then take itself for the last one and remove the log.
fn make_file(path: &Path) -> Result<(), OpenError> {
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(OpenError::Folder {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Compiles each cached statement once. Without this setting, SQLite compiles a statement again at each run if a bound
/// value might change its plan, and a bound `LIMIT` always might.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_plans(connection)?;
    // Before the first table: lets retention give pages back to the file system.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

pub(crate) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|version| version.unsigned_abs() as usize)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    // Immediate: a command that starts at the same moment waits here and then finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    for migration in migrations.iter().skip(found) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_is_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = open(folder.path(), &[]).expect("made");
        let pragma = |name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        };
        assert_eq!(
            pragma("synchronous").expect("told"),
            rusqlite::types::Value::Integer(2),
            "FULL"
        );
        assert_eq!(
            pragma("journal_mode").expect("told"),
            rusqlite::types::Value::Text("wal".to_owned())
        );
    }

    #[test]
    fn a_file_is_brought_to_the_current_format_once_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = ["CREATE TABLE a (x)"];
        let both = ["CREATE TABLE a (x)", "CREATE TABLE b (y)"];
        drop(open(folder.path(), &first).expect("made"));
        let connection = open(folder.path(), &both).expect("migrated");
        connection
            .execute("INSERT INTO b VALUES (1)", [])
            .expect("the second table is there");
        drop(connection);
        assert!(matches!(
            open(folder.path(), &first),
            Err(OpenError::Newer {
                found: 2,
                known: 1,
                ..
            })
        ));
    }
}
