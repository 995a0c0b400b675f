//! Whether the files that are open still have their names.
//!
//! A data folder can be moved, removed or replaced while the gateway serves. Writes then go into files that no later
//! start will find, so nothing may be answered 200. The files are known by device and inode. They are compared before a
//! commit and again before its answers. When the same files come back, the journal goes on; another file in their place
//! is never used before a restart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use super::health::Unwritable;
use crate::sqlite;

/// A file's device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self(metadata.dev(), metadata.ino()))
    }
}

/// The folder and its files as they were opened.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    /// The first two are the folder and the data file.
    files: RwLock<Vec<(PathBuf, FileId)>>,
}

impl Place {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            files: RwLock::default(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Notes the files that have just been opened.
    pub(super) fn note(&self) {
        let file = self.folder.join(sqlite::FILE);
        let beside = |suffix| self.folder.join(format!("{}{suffix}", sqlite::FILE));
        let paths = [
            self.folder.clone(),
            file,
            beside("-wal"),
            beside("-shm"),
            self.folder.join(sqlite::LOCK_FILE),
        ];
        let known = paths
            .into_iter()
            .filter_map(|path| FileId::of(&path).map(|id| (path, id)));
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
    }

    /// Whether all files still have their names.
    ///
    /// # Errors
    /// [`Unwritable::Moved`] with the first path that names another file, or none.
    pub(super) fn check(&self) -> Result<(), Unwritable> {
        self.compare(usize::MAX)
    }

    /// Whether the folder and the data file still have their names. The others may have been recreated by SQLite.
    ///
    /// # Errors
    /// [`Unwritable::Moved`].
    pub(super) fn check_data_file(&self) -> Result<(), Unwritable> {
        self.compare(2)
    }

    fn compare(&self, most: usize) -> Result<(), Unwritable> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        for (path, expected) in files.iter().take(most) {
            let found = FileId::of(path);
            if found != Some(*expected) {
                return Err(Unwritable::Moved {
                    path: path.clone(),
                    replaced: found.is_some(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_and_replaced_files_are_noticed_until_the_same_come_back() {
        let outer = tempfile::tempdir().expect("a folder");
        let (folder, elsewhere) = (outer.path().join("data"), outer.path().join("elsewhere"));
        std::fs::create_dir(&folder).expect("created");
        std::fs::write(folder.join(sqlite::FILE), "").expect("written");
        let place = Place::new(folder.clone());
        place.note();
        assert_eq!(place.check(), Ok(()));
        std::fs::rename(&folder, &elsewhere).expect("moved");
        let moved = |replaced| {
            Err(Unwritable::Moved {
                path: folder.clone(),
                replaced,
            })
        };
        assert_eq!(place.check(), moved(false));
        std::fs::create_dir(&folder).expect("replaced");
        assert_eq!(place.check(), moved(true));
        std::fs::remove_dir(&folder).expect("removed");
        std::fs::rename(&elsewhere, &folder).expect("moved back");
        assert_eq!(place.check(), Ok(()));
        std::fs::remove_file(folder.join(sqlite::FILE)).expect("removed");
        assert!(place.check_data_file().is_err());
    }
}
