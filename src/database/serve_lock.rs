//! The lock of a running gateway on its data folder. The operating system releases it when the process ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::open::{DATA_FILE, OpenError, open_reader, version};

/// The file that a running gateway keeps locked in the data folder.
pub const LOCK_FILE: &str = "serve.lock";

/// Why a data folder cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process serves the data folder.
    #[error(
        "another cartwire process serves the data folder {}: stop it first, or use another folder (--data-dir)",
        .0.display()
    )]
    AlreadyRunning(PathBuf),
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {path}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Locks the data folder for this process.
pub(crate) fn lock(folder: &Path) -> Result<File, LockError> {
    let path = folder.join(LOCK_FILE);
    let failed = |source| LockError::File {
        path: path.clone(),
        source,
    };
    let mut options = File::options();
    let file = options
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    let locked = match file.try_lock() {
        // A command that checks the lock holds it for a moment.
        Err(TryLockError::WouldBlock) => {
            std::thread::sleep(Duration::from_millis(100));
            file.try_lock()
        }
        locked => locked,
    };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::AlreadyRunning(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// `true` while a gateway serves this data folder.
#[must_use]
pub(crate) fn is_served(folder: &Path) -> bool {
    // Never created here: a folder that no gateway has served has no lock file.
    File::open(folder.join(LOCK_FILE))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Refuses to open a file whose format would change while a gateway uses it.
///
/// # Errors
/// [`OpenError::Served`].
pub(crate) fn refuse_served_older(folder: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    if !folder.join(DATA_FILE).exists() || !is_served(folder) {
        return Ok(());
    }
    let path = folder.join(DATA_FILE);
    let found = version(&open_reader(folder)?);
    match found {
        Ok(found) if found < migrations.len() => Err(OpenError::Served {
            path,
            found,
            known: migrations.len(),
        }),
        // Other faults are found when the file is opened.
        Ok(_) | Err(_) => Ok(()),
    }
}
