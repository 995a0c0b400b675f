//! The identity of the data folder: detects that the open files were moved, removed or replaced.
//!
//! Writes to moved files would be lost, because no later start finds the files. So no delivery may be answered 200 then. The
//! files are identified by device and inode. The identities are compared before a commit, and again before its answers.
//! When the same files come back, the journal continues. Other files in their place are never used before a restart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use super::open::DATA_FILE;
use super::serve_lock::LOCK_FILE;

/// The open files no longer have their names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {}", path.display(), if *replaced { "was replaced" } else { "was moved or removed" })]
pub struct FolderMoved {
    /// The first path that has another file or none.
    pub path: PathBuf,
    /// `true` if another file has this name now.
    pub replaced: bool,
}

/// A file's device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self(metadata.dev(), metadata.ino()))
    }
}

/// The folder with the identities of its open files.
#[derive(Debug)]
pub(crate) struct DataFolder {
    folder: PathBuf,
    /// The first two are the folder and the data file.
    files: RwLock<Vec<(PathBuf, FileId)>>,
}

impl DataFolder {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            files: RwLock::default(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Records the files that have just been opened.
    pub(crate) fn record_files(&self) {
        let file = self.folder.join(DATA_FILE);
        let beside = |suffix| self.folder.join(format!("{}{suffix}", DATA_FILE));
        let paths = [
            self.folder.clone(),
            file,
            beside("-wal"),
            beside("-shm"),
            self.folder.join(LOCK_FILE),
        ];
        let known = paths
            .into_iter()
            .filter_map(|path| FileId::of(&path).map(|id| (path, id)));
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
    }

    /// Checks that all files still have their names.
    ///
    /// # Errors
    /// [`FolderMoved`] with the first path that has another file or none.
    pub(crate) fn check(&self) -> Result<(), FolderMoved> {
        self.compare(usize::MAX)
    }

    /// Checks that the folder and the data file still have their names. SQLite may have recreated the other files.
    ///
    /// # Errors
    /// [`FolderMoved`].
    pub(crate) fn check_data_file(&self) -> Result<(), FolderMoved> {
        self.compare(2)
    }

    fn compare(&self, count: usize) -> Result<(), FolderMoved> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        for (path, expected) in files.iter().take(count) {
            let found = FileId::of(path);
            if found != Some(*expected) {
                return Err(FolderMoved {
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
        std::fs::write(folder.join(DATA_FILE), "").expect("written");
        let data_folder = DataFolder::new(folder.clone());
        data_folder.record_files();
        assert_eq!(data_folder.check(), Ok(()));
        std::fs::rename(&folder, &elsewhere).expect("moved");
        let moved = |replaced| {
            Err(FolderMoved {
                path: folder.clone(),
                replaced,
            })
        };
        assert_eq!(data_folder.check(), moved(false));
        std::fs::create_dir(&folder).expect("replaced");
        assert_eq!(data_folder.check(), moved(true));
        std::fs::remove_dir(&folder).expect("removed");
        std::fs::rename(&elsewhere, &folder).expect("moved back");
        assert_eq!(data_folder.check(), Ok(()));
        std::fs::remove_file(folder.join(DATA_FILE)).expect("removed");
        assert!(data_folder.check_data_file().is_err());
    }
}
