//! Encryption of secrets at rest: XChaCha20-Poly1305 under one master key. `master_key` reads the key.
//!
//! Each ciphertext is bound to a purpose and cannot be decrypted for another one. Its layout is:
//!
//! ```text
//! | nonce, 24 bytes | ciphertext | tag, 16 bytes |
//! ```

use std::path::PathBuf;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::SecretString;

const NONCE_BYTES: usize = 24;

/// The master key.
#[derive(Clone)]
pub struct Seal(XChaCha20Poly1305);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Why a secret cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file cannot be read or created.
    #[error("cannot use the master key file {path}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "the master key file {path} must contain 32 bytes as base64 (create one with: openssl rand -base64 32)"
    )]
    Format { path: PathBuf },
    /// The data folder contains secrets and no key file.
    #[error(
        "the master key file {path} is missing: restore it from a backup, or name the key that encrypted the secrets (--master-key-file, CARTWIRE_MASTER_KEY_FILE)"
    )]
    Missing { path: PathBuf },
    #[error("cannot read random bytes from the system")]
    Random,
    /// The secret was encrypted with another key or for another purpose, or was changed.
    #[error(
        "a secret cannot be decrypted with this master key: check that CARTWIRE_MASTER_KEY_FILE names the key that encrypted it"
    )]
    Open,
}

impl Seal {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(key)))
    }

    /// Encrypts a secret for one purpose.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, purpose: &str, secret: &str) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
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

    /// Decrypts a secret that was encrypted for this purpose.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(SealError::Open)?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| SealError::Open)?;
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_is_decrypted_only_with_its_purpose_and_key() {
        let seal = Seal::new([1; 32]);
        let sealed = seal.seal("shop/secret", "geheim").expect("encrypted");
        assert!(!sealed.windows(6).any(|bytes| bytes == b"geheim"));
        let opened = seal.open("shop/secret", &sealed).expect("decrypted");
        assert_eq!(opened.expose_secret(), "geheim");
        assert!(seal.open("shop/other", &sealed).is_err());
        assert!(seal.open("shop/secret", &sealed[..10]).is_err());
        let other = Seal::new([2; 32]);
        assert!(other.open("shop/secret", &sealed).is_err());
    }
}
