//! Reads a data folder that cannot be written, for example a snapshot or a read-only mount.
//!
//! SQLite needs files beside the data file to read it. If they cannot be created, the data file and its log are copied to a
//! temporary folder, which is removed with the reader.

use std::fs::File;
use std::path::Path;

use super::open::{DATA_FILE, OpenError};

/// A temporary copy, which is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct FolderCopy(tempfile::TempDir);

impl FolderCopy {
    /// Copies the data file of a folder, with its log.
    ///
    /// # Errors
    /// [`OpenError::Folder`].
    pub(crate) fn of(folder: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path, source| OpenError::Folder {
            path: path.to_owned(),
            source,
        };
        let copy = tempfile::Builder::new()
            .prefix("cartwire-")
            .tempdir()
            .map_err(|source| failed(&std::env::temp_dir(), source))?;
        for name in [DATA_FILE.to_owned(), format!("{DATA_FILE}-wal")] {
            let from = folder.join(&name);
            if !from.exists() {
                continue;
            }
            let to = copy.path().join(&name);
            // Copied by content, so that the copy can be written even if the original's mode forbids it.
            let copied = File::open(&from)
                .and_then(|mut from| std::io::copy(&mut from, &mut File::create(&to)?));
            copied.map_err(|source| failed(&to, source))?;
        }
        Ok(Self(copy))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// `true` if this process cannot write to the folder.
pub(crate) fn is_read_only(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err()
}
