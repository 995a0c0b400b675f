//! Keeps the background check from looking at a store while a command changes something there: half-registered webhooks are
//! no news.
//!
//! A lock on a file in the data folder: it goes with its process, however that ends. One command holds it at a time, so that two
//! of them never register the same webhooks twice.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

const FILE: &str = "stores.lock";
/// How long one command waits for another.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Held by a command while it changes something at a store, and here because of it.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code, reason = "it is open as long as it is held")] File);

impl Hold {
    /// Takes it, as soon as nobody else holds it.
    ///
    /// # Errors
    /// Where the file cannot be made or locked, and [`io::ErrorKind::WouldBlock`] where another command goes on holding it.
    pub fn take(folder: &Path) -> io::Result<Self> {
        Self::within(folder, PATIENCE)
    }

    fn within(folder: &Path, patience: Duration) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(folder.join(FILE))?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let busy = "another command changes something at stores now: try again when it has ended";
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, busy));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            }
        }
        // Tells whoever began to look before that something changed.
        file.set_modified(SystemTime::now())?;
        Ok(Self(file))
    }
}

/// When it was last taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHeld(Option<SystemTime>);

impl LastHeld {
    /// When a command last began to change something at a store.
    pub(super) fn at(self) -> Option<Timestamp> {
        Timestamp::try_from(self.0?).ok()
    }
}

/// When it was last taken; `None` while a command holds it.
#[must_use]
pub fn last_held(folder: &Path) -> Option<LastHeld> {
    let Ok(file) = File::open(folder.join(FILE)) else {
        return Some(LastHeld(None));
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        Ok(()) | Err(TryLockError::Error(_)) => Some(LastHeld(
            file.metadata().and_then(|data| data.modified()).ok(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_sees_that_a_command_changes_something_or_did() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = last_held(folder.path()).expect("nobody holds it");
        let one = Hold::take(folder.path()).expect("taken");
        assert_eq!(last_held(folder.path()), None);
        let another = Hold::within(folder.path(), Duration::ZERO).expect_err("one at a time");
        assert_eq!(another.kind(), io::ErrorKind::WouldBlock);
        drop(one);
        let after = last_held(folder.path()).expect("nobody holds it");
        assert_ne!(after, before);
        assert_eq!(last_held(folder.path()), Some(after));
    }
}
