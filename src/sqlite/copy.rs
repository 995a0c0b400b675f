//! Reading a data folder that cannot be written: a backup that is mounted read-only, a snapshot.
//!
//! SQLite needs files beside the data file to read it. Where they cannot be created, the data file and its log are copied
//! to a temporary folder, which is removed with the reader.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{FILE, OpenError};

/// A temporary folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct FolderCopy(PathBuf);

impl FolderCopy {
    /// Copies the data file of a folder, with its log.
    ///
    /// # Errors
    /// [`OpenError::Folder`].
    pub(crate) fn of(folder: &Path) -> Result<Self, OpenError> {
        let mut random = [0_u8; 8];
        let failed = |path: &Path, source| OpenError::Folder {
            path: path.to_owned(),
            source,
        };
        let path = std::env::temp_dir();
        getrandom::fill(&mut random)
            .map_err(|_| failed(&path, std::io::Error::other("no random bytes")))?;
        let path = path.join(format!("cartwire-{:016x}", u64::from_ne_bytes(random)));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|source| failed(&path, source))?;
        let copy = Self(path);
        for name in [FILE.to_owned(), format!("{FILE}-wal")] {
            let from = folder.join(&name);
            if !from.exists() {
                continue;
            }
            let to = copy.0.join(&name);
            // By content, so that the copy can be written whatever the mode of the original is.
            let copied = std::fs::File::open(&from)
                .and_then(|mut from| std::io::copy(&mut from, &mut std::fs::File::create(&to)?));
            copied.map_err(|source| failed(&to, source))?;
        }
        Ok(copy)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for FolderCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a folder cannot be written by this process.
pub(crate) fn is_read_only(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err()
}
