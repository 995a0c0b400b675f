//! Keeps the background check from looking at a store while a command changes something there: half-registered webhooks are
//! no news.
//!
//! A lock on a file in the data folder: it goes with its process, however that ends. Commands share it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::SystemTime;

const FILE: &str = "stores.lock";

/// Held by a command while it changes something at a store, and here because of it.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code, reason = "it is open as long as it is held")] File);

impl Hold {
    /// Takes it.
    ///
    /// # Errors
    /// Where the file cannot be made or locked.
    pub fn take(folder: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(folder.join(FILE))?;
        file.lock_shared()?;
        // Tells whoever began to look before that something changed.
        file.set_modified(SystemTime::now())?;
        Ok(Self(file))
    }
}

/// When it was last taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHeld(Option<SystemTime>);

/// When it was last taken; `None` while a command holds it.
#[must_use]
pub fn last_held(folder: &Path) -> Option<LastHeld> {
    let Ok(file) = File::open(folder.join(FILE)) else { return Some(LastHeld(None)) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        Ok(()) | Err(TryLockError::Error(_)) => Some(LastHeld(file.metadata().and_then(|data| data.modified()).ok())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_sees_that_a_command_changes_something_or_did() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = last_held(folder.path()).expect("nobody holds it");
        let (one, another) = (Hold::take(folder.path()).expect("taken"), Hold::take(folder.path()).expect("shared"));
        assert_eq!(last_held(folder.path()), None);
        drop(one);
        assert_eq!(last_held(folder.path()), None);
        drop(another);
        let after = last_held(folder.path()).expect("nobody holds it");
        assert_ne!(after, before);
        assert_eq!(last_held(folder.path()), Some(after));
    }
}
