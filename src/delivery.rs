//! What arrives and what the journal keeps of it: deliveries as plain data.
//!
//! A delivery is one attempt by a platform to tell us something. This file knows neither how one is verified
//! (`platforms`) nor how it is stored (`journal`).

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of a connection: what the operator typed, or the id under which a platform knows an installation.
///
/// 1 to 64 characters of `[A-Za-z0-9._-]`, beginning with a letter or a digit: it stands in URLs, routing keys and metric
/// labels. A name in the form of a UUID is one in lower case, whatever the case it was written in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(String);

/// A connection's name that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error(
    "a connection's id has 1 to 64 characters of A-Z a-z 0-9 . _ - and begins with a letter or a digit"
)]
pub struct InvalidConnectionId;

impl ConnectionId {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`InvalidConnectionId`] where the name does not fit the rule above.
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

    /// The name itself.
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

/// A request on a webhook route, as it came: nothing about it is proved.
#[derive(Debug)]
pub struct RawDelivery<'a> {
    /// The connection that the URL names.
    pub endpoint: &'a ConnectionId,
    /// Header names in lower case, with their values, in the order of the request.
    pub headers: Headers<'a>,
    /// The body's bytes, before any decoding.
    pub body: Bytes,
    /// When the request's body was complete.
    pub received_at: Timestamp,
}

/// The headers of a request.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a>(pub Vec<(&'a str, &'a [u8])>);

/// Why a header could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// It stands in the request more than once: which one was meant?
    Repeated,
    /// Its value is no UTF-8.
    NotText,
}

impl<'a> Headers<'a> {
    /// The one value of a header, if it was sent.
    ///
    /// # Errors
    /// [`HeaderFault`] where it was sent twice or is no text.
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

/// What makes two deliveries the same: a digest over what the sender signed, and where it came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey([u8; 16]);

impl DeliveryKey {
    /// Digests the parts, each with its length before it, so that no two lists of parts collide by concatenation.
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
        let number = (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| u128::from_str_radix(text, 16).ok())??;
        Some(Self(number.to_be_bytes()))
    }

    /// As the journal stores it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the journal.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The delivery's public id: what the sender's answer and the admin API show.
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

/// A delivery read back from the journal: everything that normalizing needs.
#[derive(Clone, Debug)]
pub struct JournaledDelivery {
    /// The platform's name.
    pub platform: String,
    /// The connection that the URL named.
    pub endpoint: ConnectionId,
    /// The store's connection: the installation's own where the endpoint serves many.
    pub connection: ConnectionId,
    /// The platform's event type.
    pub topic: String,
    /// What the platform kept of the headers, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// What the platform kept of the body: see the platform's `verify`.
    pub body: Bytes,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What the store said when it was asked for what this lacks.
    pub completion: Option<Completion>,
}

/// What a store said when it was asked for what a thin delivery lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// How asking ended.
    pub outcome: Completed,
    /// When the store was asked.
    pub asked_at: Timestamp,
}

/// How asking for a delivery's rest ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Completed {
    /// With all of it: JSON, for the platform's `normalize`.
    Whole(Bytes),
    /// What the delivery says is not so; why, as a bounded word.
    Untrue(String),
    /// The store has no such entity: a deletion is true if the entity was known before.
    Absent,
    /// Without it; why, as a bounded word.
    GivenUp(String),
}

impl JournaledDelivery {
    /// The bytes that it takes: its body, and what the store said of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len() + self.completed().map_or(0, Bytes::len)
    }

    /// An estimate of the memory in bytes that its events take, made without reading it: its bytes, and as much for each
    /// value as a line item takes. Texts with commas and brackets make the estimate larger, never smaller.
    #[must_use]
    pub fn cost(&self) -> usize {
        const VALUE_BYTES: usize = 128;
        let values = |body: &[u8]| {
            body.iter()
                .filter(|byte| matches!(byte, b',' | b'[' | b'{'))
                .count()
        };
        let completed = self.completed().map_or(0, |told| values(told));
        2 * self.bytes() + VALUE_BYTES * (values(&self.body) + completed)
    }

    /// What the store said beyond the delivery itself, as JSON.
    #[must_use]
    pub fn completed(&self) -> Option<&Bytes> {
        match &self.completion.as_ref()?.outcome {
            Completed::Whole(body) => Some(body),
            Completed::Untrue(_) | Completed::Absent | Completed::GivenUp(_) => None,
        }
    }

    /// A header that the platform kept.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_id_fits_urls_and_routing_keys() {
        for good in [
            "shop-a",
            "a",
            "3bbcabc7-ebb7-4fc8-8829-13ea0e142123",
            "shop.example.com",
            "A_1",
        ] {
            assert!(ConnectionId::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "-a",
            "a/b",
            "a b",
            "ä",
            "a#",
            "a*",
            &"x".repeat(65),
        ] {
            assert!(ConnectionId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_delivery_key_tells_apart_parts_that_concatenate_alike() {
        assert_ne!(
            DeliveryKey::of(&[b"ab", b"c"]),
            DeliveryKey::of(&[b"a", b"bc"])
        );
        let key = DeliveryKey::of(&[b"shop"]);
        assert_eq!(DeliveryKey::parse(&key.to_string()), Some(key));
        assert_eq!(DeliveryKey::parse("+0000000000000000000000000000000"), None);
    }

    #[test]
    fn a_repeated_header_is_no_header() {
        let headers = Headers(vec![("x", b"1"), ("y", b"2"), ("x", b"1"), ("z", b"\xff")]);
        assert_eq!(headers.one("x"), Err(HeaderFault::Repeated));
        assert_eq!(headers.one("y"), Ok(Some("2")));
        assert_eq!(headers.one("z"), Err(HeaderFault::NotText));
        assert_eq!(headers.one("w"), Ok(None));
    }
}
