//! The token of the admin listener.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token that admin requests must have.
#[derive(Clone, Debug)]
pub struct AdminToken(SecretString);

impl AdminToken {
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }

    /// Compares in constant time. The digests have the same length, so the time does not depend on the token's length.
    pub(super) fn is(&self, guess: &str) -> bool {
        let token = Sha256::digest(self.0.expose_secret());
        token.ct_eq(&Sha256::digest(guess)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::AdminToken;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = AdminToken::new("geheim".to_owned().into());
        assert!(token.is("geheim"));
        for guess in ["", "geheim ", "gehei", "Geheim"] {
            assert!(!token.is(guess), "{guess:?}");
        }
    }
}
