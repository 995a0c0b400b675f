//! Deliveries as plain data: as received and as read from the journal.
//!
//! A delivery is one webhook request of a platform. `platforms` verifies deliveries, and `journal` stores them.

mod reason;

use std::fmt;

pub use reason::{Reason, ReasonCode};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of a connection: the operator's choice, or the platform's id of an installation.
///
/// 1 to 64 characters of `[A-Za-z0-9._-]`; the first one is a letter or a digit. The name is part of URLs, routing keys
/// and metric labels. A UUID is converted to lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(String);

/// The text is not a valid [`ConnectionId`].
#[derive(Debug, thiserror::Error)]
#[error(
    "a connection id has 1 to 64 characters of A-Z a-z 0-9 . _ - and begins with a letter or a digit"
)]
pub struct InvalidConnectionId;

impl ConnectionId {
    /// # Errors
    /// [`InvalidConnectionId`] if the name breaks the rule of [`ConnectionId`].
    pub fn new(id: &str) -> Result<Self, InvalidConnectionId> {
        let fits = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && id.as_bytes()[0].is_ascii_alphanumeric();
        if is_uuid(id) {
            Ok(Self(id.to_ascii_lowercase()))
        } else if fits {
            Ok(Self(id.to_owned()))
        } else {
            Err(InvalidConnectionId)
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `true` for an id in the form of a UUID.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        is_uuid(&self.0)
    }
}

/// `true` for the 36 characters of a UUID with hyphens, in any case.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, b)| match index {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::new(&id).map_err(serde::de::Error::custom)
    }
}

/// The path of a connection's webhook endpoint.
#[must_use]
pub fn webhook_path(platform: &str, connection: &ConnectionId) -> String {
    format!("/webhooks/{platform}/{connection}")
}

/// A request on a webhook route before verification.
#[derive(Debug)]
pub struct RawDelivery<'a> {
    /// The connection that the URL names.
    pub endpoint: &'a ConnectionId,
    pub headers: Headers<'a>,
    /// The body's bytes, not decoded.
    pub body: Bytes,
    /// When the request's body was complete.
    pub received_at: Timestamp,
}

/// The headers of a request in the order of the request: lower-case names with their values.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a>(pub Vec<(&'a str, &'a [u8])>);

/// Why a header has no usable value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The request has the header more than once.
    Repeated,
    /// The value is not UTF-8.
    NotText,
}

impl<'a> Headers<'a> {
    /// The trimmed value of a header, or `None` if the request does not have the header.
    ///
    /// # Errors
    /// [`HeaderFault`] if the header was sent twice or is not UTF-8.
    pub fn one(&self, name: &str) -> Result<Option<&'a str>, HeaderFault> {
        let mut values = self
            .0
            .iter()
            .filter(|(n, _)| *n == name)
            .map(|(_, value)| *value);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(HeaderFault::Repeated);
        }
        std::str::from_utf8(value)
            .map(|v| Some(v.trim()))
            .map_err(|_| HeaderFault::NotText)
    }
}

/// Identifies a delivery: a digest of the signed content and the endpoint. Two deliveries with one key are duplicates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey([u8; 16]);

impl DeliveryKey {
    /// Digests the parts with their lengths, so that `["ab", "c"]` and `["a", "bc"]` give different keys.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&digest.finalize()[..16]);
        Self(key)
    }

    /// Reads the form that [`fmt::Display`] writes: 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }

    /// The form that the journal stores.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The key from the form that the journal stores.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The delivery's public id in the response to the sender and in the admin API.
impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A delivery as read from the journal, with all data that normalizing needs.
#[derive(Clone, Debug)]
pub struct JournaledDelivery {
    /// The platform's name.
    pub platform: String,
    /// The connection that the URL named.
    pub endpoint: ConnectionId,
    /// The store's connection. For an app's endpoint this is the connection of the installation.
    pub connection: ConnectionId,
    /// The platform's event type.
    pub topic: String,
    /// The headers that the platform's `verify` selected, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The part of the body that the platform's `verify` selected.
    pub body: Bytes,
    /// When the request's body was complete.
    pub received_at: Timestamp,
    /// The result of enriching a thin delivery; `None` if no request was made.
    pub enriched: Option<Enriched>,
}

/// The result of enriching a thin delivery, as stored beside the delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Enriched {
    pub enrichment: Enrichment,
    /// When the request to the store was made.
    pub fetched_at: Timestamp,
}

/// What a store's API says about the entity of a thin delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrichment {
    /// The store sent all data: JSON for the platform's `normalize`.
    Complete(Bytes),
    /// The store's response contradicts the delivery; with a reason code.
    Contradicted(Reason),
    /// The store has no such entity. This confirms a deletion only if the gateway has seen the entity before: WooCommerce
    /// also announces deletions of ids that never belonged to such an entity.
    NotFound,
    /// The data cannot be fetched; with a reason code. The delivery is published without the data.
    Unavailable(Reason),
}

impl JournaledDelivery {
    /// The size in bytes of the body and of the store's response.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len() + self.response().map_or(0, Bytes::len)
    }

    /// Estimated memory of the delivery's events in bytes, without parsing: the text twice, and for each JSON value the
    /// size of a line item. Commas and brackets in texts make the estimate too large, never too small.
    #[must_use]
    pub fn cost(&self) -> usize {
        const VALUE_BYTES: usize = 128;
        let values = |body: &[u8]| {
            body.iter()
                .filter(|byte| matches!(byte, b',' | b'[' | b'{'))
                .count()
        };
        let response = self.response().map_or(0, |response| values(response));
        2 * self.bytes() + VALUE_BYTES * (values(&self.body) + response)
    }

    /// The store's response as JSON, if the store sent all data.
    #[must_use]
    pub fn response(&self) -> Option<&Bytes> {
        match &self.enriched.as_ref()?.enrichment {
            Enrichment::Complete(body) => Some(body),
            Enrichment::Contradicted(_) | Enrichment::NotFound | Enrichment::Unavailable(_) => None,
        }
    }

    /// The value of a stored header; `name` is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
