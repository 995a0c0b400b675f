//! Opens the SQLite file of the data folder, and migrates it to the current format.
//!
//! WAL mode lets readers and other processes (the commands) work beside the one writer. `synchronous=FULL` syncs every
//! commit, which is the meaning of a 200 on a webhook route.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// Maximum time that one process waits for another one that writes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The file's name in the data folder.
pub const DATA_FILE: &str = "cartwire.db";

/// Why the data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file cannot be created.
    #[error("cannot create {path}")]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    /// SQLite cannot open the file.
    #[error("cannot open {path}")]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
    /// A newer version of Cartwire wrote the file.
    #[error(
        "{path} has format {found}, and this program knows formats up to {known}: use the newer program that wrote it"
    )]
    Newer {
        path: PathBuf,
        /// The format of the file.
        found: usize,
        /// The format of this program.
        known: usize,
    },
    /// A running gateway of an older version uses the file.
    #[error(
        "{path} has format {found} and a running `cartwire serve` uses it; this program would change it to format {known}: stop `serve` first, or use the program that runs it"
    )]
    Served {
        path: PathBuf,
        /// The format of the file.
        found: usize,
        /// The format of this program.
        known: usize,
    },
}

/// `true` if the file itself is damaged. Free disk space does not help then.
pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

/// `true` for an error of SQLite itself.
pub(crate) fn is_sqlite_error(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<rusqlite::Error>()
}

/// Creates the data folder, readable by its owner only, if it is missing.
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

/// Opens the data file for reading and writing. Creates it if it is missing, and applies missing migrations.
///
/// # Errors
/// [`OpenError`].
pub fn open(folder: &Path, migrations: &[&str]) -> Result<Connection, OpenError> {
    make_folder(folder)?;
    let path = folder.join(DATA_FILE);
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
    let path = folder.join(DATA_FILE);
    let failed = |source| OpenError::Sqlite {
        path: path.clone(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_plans(&connection).map_err(failed)?;
    // Small, because there may be several readers.
    connection
        .pragma_update(None, "cache_size", -4_000)
        .map_err(failed)?;
    Ok(connection)
}

/// Creates the file, readable by its owner only. SQLite gives the same mode to the log beside it.
///
/// An existing file is not opened here. Closing any descriptor of the file would release the locks that SQLite holds for
/// this process. Another program that reads the file would then consider itself the last one and remove the log.
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
    // Must be set before the first table. Lets retention return pages to the file system.
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
    // Immediate: a second process that starts at the same moment waits here, and then finds the migrations applied.
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
            pragma("synchronous").expect("read"),
            rusqlite::types::Value::Integer(2),
            "FULL"
        );
        assert_eq!(
            pragma("journal_mode").expect("read"),
            rusqlite::types::Value::Text("wal".to_owned())
        );
    }

    #[test]
    fn older_file_is_migrated_and_a_newer_one_is_refused() {
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
