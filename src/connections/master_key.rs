//! The file of the master key: 32 bytes as base64, in the data folder or in a file that the operator names.
//!
//! A key is created only in the data folder, and only while no secret is stored. If the key is lost, the secrets are lost;
//! the events are not encrypted.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::seal::{Seal, SealError};
use super::store;

/// The default name of the key file, in the data folder.
pub const FILE: &str = "master.key";

impl Seal {
    /// Reads the master key from the named file, or from the data folder if none is named. Creates a key in the data folder
    /// if it has no key and no secret is stored.
    ///
    /// # Errors
    /// [`SealError`]; [`SealError::Missing`] if there are secrets and no key.
    pub fn load(data_folder: &Path, named: Option<&Path>) -> Result<Self, SealError> {
        let path = data_folder.join(FILE);
        if named.is_none() && !path.exists() {
            if store::has_sealed_secrets(data_folder) {
                return Err(SealError::Missing { path });
            }
            create(&path)?;
        }
        Self::load_existing(data_folder, named)
    }

    /// Reads the master key, and never creates one. For commands that only need secrets that are already stored.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn load_existing(data_folder: &Path, named: Option<&Path>) -> Result<Self, SealError> {
        let path = named.map_or_else(|| data_folder.join(FILE), Path::to_owned);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Err(SealError::Missing { path });
            }
            Err(source) => return Err(SealError::File { path, source }),
        };
        let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
        match <[u8; 32]>::try_from(bytes) {
            Ok(key) => Ok(Self::new(key)),
            Err(_) => Err(SealError::Format { path }),
        }
    }
}

/// Creates the key file atomically, so that two commands at the same time use the same key.
fn create(path: &Path) -> Result<(), SealError> {
    let failed = |source| SealError::File {
        path: path.to_owned(),
        source,
    };
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|_| SealError::Random)?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|_| SealError::Random)?;
    // A random name does not collide with a draft that a crashed process left.
    let draft = path.with_extension(format!("{:016x}.new", u64::from_ne_bytes(random)));
    remove_leftovers(path);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    file.write_all((STANDARD.encode(key) + "\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Removes drafts that a crash left. A young draft may belong to another process.
fn remove_leftovers(path: &Path) {
    const LEFTOVER_AGE: Duration = Duration::from_secs(60);
    let entries = path.parent().and_then(|folder| folder.read_dir().ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_draft = name
            .to_str()
            .is_some_and(|name| name.starts_with("master.") && name.ends_with(".new"));
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFTOVER_AGE));
        if is_draft && is_old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_created_key_is_private_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let seal = Seal::load(folder.path(), None).expect("a key is created");
        let metadata = std::fs::metadata(folder.path().join(FILE)).expect("the file");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let sealed = seal.seal("purpose", "geheim").expect("encrypted");
        let again = Seal::load(folder.path(), None).expect("the same key");
        assert!(again.open("purpose", &sealed).is_ok());
    }

    #[test]
    fn a_draft_of_a_crashed_process_does_not_prevent_a_new_key() {
        let folder = tempfile::tempdir().expect("a folder");
        for id in [1, std::process::id()] {
            let leftover = folder.path().join(format!("master.{id}.new"));
            std::fs::write(leftover, "").expect("written");
        }
        Seal::load(folder.path(), None).expect("a key is created");
    }

    #[test]
    fn load_existing_never_creates_a_key() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            Seal::load_existing(folder.path(), None),
            Err(SealError::Missing { .. })
        ));
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn a_named_key_file_is_never_created_and_its_format_is_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("named");
        assert!(matches!(
            Seal::load(folder.path(), Some(&path)),
            Err(SealError::File { .. })
        ));
        std::fs::write(&path, "short").expect("written");
        assert!(matches!(
            Seal::load(folder.path(), Some(&path)),
            Err(SealError::Format { .. })
        ));
    }
}
