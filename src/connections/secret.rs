//! A connection's secret as it is stored: encrypted, under the connection's id and the field's name.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::seal::{Seal, SealError};
use crate::delivery::ConnectionId;

/// A secret as stored.
#[derive(Clone, Debug)]
pub struct SealedSecret {
    /// The field's name.
    pub name: String,
    /// Encrypted for this connection and name.
    pub sealed: Vec<u8>,
    /// For a previous secret: when its grace time ends. `None` for the current one.
    pub valid_until: Option<Timestamp>,
}

impl SealedSecret {
    /// Encrypts a secret of a connection.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn new(
        seal: &Seal,
        id: &ConnectionId,
        name: &str,
        secret: &SecretString,
    ) -> Result<Self, SealError> {
        let sealed = seal.seal(&purpose(id, name), secret.expose_secret())?;
        Ok(Self {
            name: name.to_owned(),
            sealed,
            valid_until: None,
        })
    }

    /// Decrypts the secret.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn open(&self, seal: &Seal, id: &ConnectionId) -> Result<SecretString, SealError> {
        let secret = seal.open(&purpose(id, &self.name), &self.sealed);
        if secret.is_ok() || !id.is_uuid() {
            return secret;
        }
        // Earlier versions stored an id in the form of a UUID in the case that was entered, and the secret was encrypted
        // under that id. Tools print either case.
        let upper = id.as_str().to_ascii_uppercase();
        seal.open(&format!("{upper}/{}", self.name), &self.sealed)
            .or(secret)
    }
}

fn purpose(id: &ConnectionId, name: &str) -> String {
    format!("{id}/{name}")
}

/// Generates a webhook secret of 48 characters. Only these 64 characters are used, because the admin forms of some stores
/// change others.
///
/// # Errors
/// [`SealError::Random`].
pub fn generate_secret() -> Result<SecretString, SealError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut bytes = [0_u8; 48];
    getrandom::fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 63)]))
        .collect::<String>()
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_an_upper_case_uuid_is_decrypted_by_the_lower_case_id() {
        let seal = Seal::new([1; 32]);
        let given = "3BBCABC7-EBB7-4FC8-8829-13EA0E142123";
        let secret = SealedSecret {
            name: "secret".to_owned(),
            sealed: seal
                .seal(&format!("{given}/secret"), "geheim")
                .expect("encrypted"),
            valid_until: None,
        };
        let id = ConnectionId::new(given).expect("an id");
        let opened = secret.open(&seal, &id).expect("decrypted");
        assert_eq!(opened.expose_secret(), "geheim");
    }
}
