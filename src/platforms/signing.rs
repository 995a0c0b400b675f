//! A request as its platform would sign it, for fixtures, replay and tests.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A payload to sign as its platform would.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The platform's event type.
    pub topic: &'a str,
    /// The payload; for nested envelopes the innermost one.
    pub payload: &'a [u8],
    /// Makes deliveries of the same payload different.
    pub nonce: u64,
    /// Further values that the platform's `sign` needs.
    pub options: &'a BTreeMap<String, String>,
}

/// A signed request for a webhook endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRequest {
    /// Headers except those of HTTP itself.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}
