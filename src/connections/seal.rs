//! Sealing secrets at rest: XChaCha20-Poly1305 under one master key.
//!
//! The key is in a file beside the data, or in one that the operator names; losing it loses the secrets, not the events.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::SecretString;

use super::store;

/// The file's name in the data folder where no other is named.
pub const FILE: &str = "master.key";
const NONCE: usize = 24;

/// The master key.
#[derive(Clone)]
pub struct Seal(XChaCha20Poly1305);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Why secrets cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key's file cannot be read or made.
    #[error("cannot use the master key file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error(
        "the master key file {path} must hold 32 bytes as base64 (make one with: openssl rand -base64 32)"
    )]
    Format {
        /// Which.
        path: PathBuf,
    },
    /// There is none in the data folder.
    #[error(
        "the master key file {path} is missing: restore it from a backup, or name the key that the secrets were sealed with (--master-key-file, CARTWIRE_MASTER_KEY_FILE)"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// No randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// Another key sealed it, or it was altered.
    #[error(
        "a sealed secret does not open with this master key: is CARTWIRE_MASTER_KEY_FILE the one it was sealed with?"
    )]
    Open,
}

impl Seal {
    /// Reads the master key from the named file, else from the data folder. A key is created there as long as nothing is
    /// sealed: for the first start and the first connection.
    ///
    /// # Errors
    /// [`SealError`]; [`SealError::Missing`] among them where secrets are sealed with a key that is not there.
    pub fn load(data_folder: &Path, named: Option<&Path>) -> Result<Self, SealError> {
        let path = data_folder.join(FILE);
        if named.is_none() && !path.exists() {
            if store::holds_sealed(data_folder) {
                return Err(SealError::Missing { path });
            }
            make(&path)?;
        }
        Self::load_existing(data_folder, named)
    }

    /// Reads the master key and never creates one: for commands that only use what was sealed before.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn load_existing(data_folder: &Path, named: Option<&Path>) -> Result<Self, SealError> {
        let path = named.map_or_else(|| data_folder.join(FILE), Path::to_owned);
        let failed = |source| SealError::File {
            path: path.clone(),
            source,
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Err(SealError::Missing { path });
            }
            Err(error) => return Err(failed(error)),
        };
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|_| SealError::Format { path: path.clone() })?;
        let key = <[u8; 32]>::try_from(bytes).map_err(|_| SealError::Format { path })?;
        Ok(Self(XChaCha20Poly1305::new(&Key::from(key))))
    }

    /// Seals a secret for one purpose: it does not open under another's name.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, purpose: &str, secret: &str) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: purpose.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Random)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed for that purpose.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or(SealError::Open)?;
        let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| SealError::Open)?;
        let payload = Payload {
            msg: sealed,
            aad: purpose.as_bytes(),
        };
        let secret = self
            .0
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Open)?;
        String::from_utf8(secret)
            .map(SecretString::from)
            .map_err(|_| SealError::Open)
    }
}

/// Makes the key file whole or not at all: two commands at once must not each have a key.
fn make(path: &Path) -> Result<(), SealError> {
    let failed = |source| SealError::File {
        path: path.to_owned(),
        source,
    };
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|_| SealError::Random)?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|_| SealError::Random)?;
    // Random: the leftover of a crash must not be in the way of a process with the same id.
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

/// Removes drafts that a crash left behind. Young ones may be another process's.
fn remove_leftovers(path: &Path) {
    const LEFTOVER_AGE: Duration = Duration::from_secs(60);
    let entries = path.parent().and_then(|folder| folder.read_dir().ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_draft = name
            .to_str()
            .is_some_and(|name| name.starts_with("master.") && name.ends_with(".new"));
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFTOVER_AGE));
        if is_draft && is_old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_of_an_id_in_upper_case_opens_after_the_migration() {
        let folder = tempfile::tempdir().expect("a folder");
        let seal = Seal::load(folder.path(), None).expect("a key is made");
        let given = "3BBCABC7-EBB7-4FC8-8829-13EA0E142123";
        let secret = crate::connections::SealedSecret {
            name: "secret".to_owned(),
            sealed: seal
                .seal(&format!("{given}/secret"), "geheim")
                .expect("sealed"),
            valid_until: None,
        };
        let id = crate::delivery::ConnectionId::new(given).expect("an id");
        let opened = secret.open(&seal, &id).expect("opens");
        assert_eq!(opened.expose_secret(), "geheim");
    }

    #[test]
    fn a_secret_opens_only_under_its_own_name_and_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let seal = Seal::load(folder.path(), None).expect("a key is made");
        let mode = std::fs::metadata(folder.path().join(FILE))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let sealed = seal.seal("shop/secret", "geheim").expect("sealed");
        assert!(!sealed.windows(6).any(|w| w == b"geheim"));
        let again = Seal::load(folder.path(), None).expect("the same key");
        assert_eq!(
            again
                .open("shop/secret", &sealed)
                .expect("opens")
                .expose_secret(),
            "geheim"
        );
        assert!(again.open("shop/other", &sealed).is_err());
        assert!(again.open("shop/secret", &sealed[..10]).is_err());
        let other = tempfile::tempdir().expect("a folder");
        assert!(
            Seal::load(other.path(), None)
                .expect("a key")
                .open("shop/secret", &sealed)
                .is_err()
        );
    }

    #[test]
    fn a_draft_that_a_crash_left_is_not_in_the_way() {
        let folder = tempfile::tempdir().expect("a folder");
        for id in [1, std::process::id()] {
            let leftover = folder.path().join(format!("master.{id}.new"));
            std::fs::write(leftover, "").expect("written");
        }
        Seal::load(folder.path(), None).expect("a key is created all the same");
        let empty = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            Seal::load_existing(empty.path(), None),
            Err(SealError::Missing { .. })
        ));
        assert!(!empty.path().join(FILE).exists(), "no decoy is written");
    }

    #[test]
    fn a_named_key_file_is_never_made_and_its_format_is_checked() {
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
