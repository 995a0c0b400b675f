//! The lock of a command that changes something at a store, such as registering webhooks.
//!
//! The lock is a locked file in the data folder. The operating system releases it when the process ends. Only one
//! command has it at a time, so two commands never register the same webhooks twice. A background check that overlaps
//! with such a command is discarded, because it may have seen only some of the new webhooks.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

const FILE: &str = "stores.lock";
/// Maximum time that a command waits for the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between two attempts to acquire the lock.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The lock. It is released when the value is dropped.
#[derive(Debug)]
pub struct StoreLock(#[allow(dead_code, reason = "the open file keeps the lock")] File);

impl StoreLock {
    /// Waits for the lock, for at most a minute.
    ///
    /// # Errors
    /// If the file cannot be created or locked. [`io::ErrorKind::WouldBlock`] if another command keeps the lock.
    pub fn acquire(folder: &Path) -> io::Result<Self> {
        Self::acquire_within(folder, LOCK_TIMEOUT)
    }

    fn acquire_within(folder: &Path, timeout: Duration) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(folder.join(FILE))?;
        let deadline = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let busy = "another command is changing something at stores: try again when it has ended";
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, busy));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL_INTERVAL),
            }
        }
        // A check that began earlier compares this time and discards its result.
        file.set_modified(SystemTime::now())?;
        Ok(Self(file))
    }
}

/// The time at which the lock was last acquired, if ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastLocked(Option<SystemTime>);

impl LastLocked {
    pub(super) fn at(self) -> Option<Timestamp> {
        Timestamp::try_from(self.0?).ok()
    }
}

/// When the lock was last acquired; `None` while a command has it.
#[must_use]
pub(super) fn last_locked(folder: &Path) -> Option<LastLocked> {
    let Ok(file) = File::open(folder.join(FILE)) else {
        return Some(LastLocked(None));
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        Ok(()) | Err(TryLockError::Error(_)) => Some(LastLocked(
            file.metadata().and_then(|data| data.modified()).ok(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_detects_current_and_earlier_lock_holders() {
        let folder = tempfile::tempdir().expect("a temporary folder should be created");
        let before = last_locked(folder.path()).expect("no command should have the lock");
        let lock = StoreLock::acquire(folder.path()).expect("the lock should be acquired");
        assert_eq!(last_locked(folder.path()), None);
        let other = StoreLock::acquire_within(folder.path(), Duration::ZERO);
        let busy = other.expect_err("the lock should be busy");
        assert_eq!(busy.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        let after = last_locked(folder.path()).expect("no command should have the lock");
        assert_ne!(after, before);
        assert_eq!(last_locked(folder.path()), Some(after));
    }
}
