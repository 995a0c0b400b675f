//! Shared parts of the fuzz targets: requests as text, senders with keys, and assertions about deliveries.
//!
//! Inputs are text as far as possible, so that seeds and findings are readable.

pub mod store;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use cartwire::delivery::{ConnectionId, Enriched, Enrichment, Headers, RawDelivery, ReasonCode};
use cartwire::event::{Event, json_schema};
use cartwire::journal::entry::{Entry, EntryKind};
use cartwire::normalize::{Assembled, assemble};
use cartwire::platforms::{
    Rejection, VerificationKey, Verified, VerifiedDelivery, WebhookPlatform, platform,
};
use cartwire::replay::fixture::test_key;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

/// The fixed clock. The seeds are signed for this time, so they stay valid.
///
/// # Panics
/// Never: the time is valid.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).expect("the time should be valid")
}

/// A platform with the keys of the fixtures.
pub struct Sender {
    /// The platform.
    pub platform: &'static dyn WebhookPlatform,
    /// The key that signs deliveries.
    pub signing_key: String,
    keys: [VerificationKey; 1],
    endpoint: ConnectionId,
}

impl Sender {
    /// Finds a platform by its name.
    ///
    /// # Panics
    /// If there is no such platform, or the fixtures have no keys for it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let platform = platform(name).expect("the platform should exist");
        let key = |which| test_key(platform, which).expect("the fixtures should contain the key");
        let keys = [platform
            .verification_key(&key("verification"))
            .expect("the verification key should be valid")];
        Self {
            platform,
            signing_key: key("signing"),
            keys,
            endpoint: ConnectionId::new("store").expect("the connection id should be valid"),
        }
    }

    /// Verifies a request as the receiver does.
    ///
    /// # Errors
    /// As [`Platform::verify`].
    pub fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejection> {
        let headers = Headers(
            request
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect(),
        );
        let body = Bytes::copy_from_slice(request.body);
        let raw = RawDelivery {
            endpoint: &self.endpoint,
            headers,
            body,
            received_at: now(),
        };
        self.platform.verify(&raw, &self.keys, now())
    }

    /// Verifies a signed request twice, and asserts that it is never rejected as unauthorized, except for its time, and
    /// that both results are the same delivery. Returns `None` if the request is rejected for another reason.
    ///
    /// # Panics
    /// If an assertion fails.
    #[must_use]
    pub fn prove(&self, request: &Request<'_>) -> Option<VerifiedDelivery> {
        match (self.verify(request), self.verify(request)) {
            (Ok(Verified::Delivery(first)), Ok(Verified::Delivery(second))) => {
                let (first_parts, second_parts) = (first.parts(), second.parts());
                assert_eq!(
                    first_parts.key, second_parts.key,
                    "the same request should give the same delivery key"
                );
                assert_eq!(
                    (&first_parts.topic, &first_parts.body),
                    (&second_parts.topic, &second_parts.body)
                );
                assert!(
                    first_parts.topic.len() <= 200 && !first_parts.topic.contains(char::is_control),
                    "a topic should be short and printable"
                );
                Some(*first)
            }
            (Ok(Verified::Ping), _) => panic!("a signed request should not be a ping"),
            (Err(rejection), Err(_)) => {
                let time = matches!(
                    rejection,
                    Rejection::TokenExpired | Rejection::TokenNotYetValid
                );
                assert!(
                    time || !rejection.is_unauthorized(),
                    "a valid signature was rejected: {rejection:?}"
                );
                None
            }
            (first, second) => panic!("one request had two results: {first:?}, {second:?}"),
        }
    }
}

/// A request as text: header lines, an empty line, the body. Without an empty line the whole input is the body.
pub struct Request<'a> {
    /// Header names in lower case, as the receiver passes them on, with their values.
    pub headers: Vec<(String, &'a [u8])>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Parses an input. Headers that no HTTP parser would accept are skipped.
    #[must_use]
    pub fn read(input: &'a [u8]) -> Self {
        let split = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = split.map_or((&b""[..], input), |at| (&input[..at], &input[at + 2..]));
        let header = |line: &'a [u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is_name = !name.is_empty()
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
            let is_value = value.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
            (is_name && is_value).then(|| (String::from_utf8_lossy(name).to_lowercase(), value))
        };
        Self {
            headers: head
                .split(|byte| *byte == b'\n')
                .filter_map(header)
                .collect(),
            body,
        }
    }

    /// Writes a request in the format that [`Request::read`] parses.
    #[must_use]
    pub fn write(headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
        let head: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        [head.as_bytes(), b"\n", body].concat()
    }
}

/// A token with any header and any claims, signed with the app's key.
///
/// # Panics
/// Never: the key of the fixtures is valid.
#[must_use]
pub fn token(header: &[u8], claims: &[u8]) -> Vec<u8> {
    static KEY: LazyLock<jsonwebtoken::EncodingKey> = LazyLock::new(|| {
        let wix = Sender::new("wix");
        jsonwebtoken::EncodingKey::from_rsa_pem(wix.signing_key.as_bytes()).expect("a valid key")
    });
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &KEY, jsonwebtoken::Algorithm::RS256)
            .expect("the token should be signed");
    format!("{message}.{signature}").into_bytes()
}

/// The header of a valid token.
pub const RS256: &[u8] = br#"{"alg":"RS256"}"#;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::to_value(json_schema()).expect("the schema should be JSON");
    jsonschema::validator_for(&schema).expect("the schema should be valid")
});

/// Creates the events of a delivery as the relay does, and asserts the invariants of all events.
///
/// # Panics
/// If an invariant is violated.
pub fn assert_told_well(delivery: &VerifiedDelivery) {
    assert_entry_told_well(&entry(delivery));
}

/// As [`assert_told_well`], with enrichment. It may add details, but must not change the events' number or identity.
///
/// # Panics
/// If an invariant is violated.
pub fn assert_completed_well(delivery: &VerifiedDelivery, reported: &Bytes) {
    assert!(
        serde_json::from_slice::<&RawValue>(reported).is_ok(),
        "the enrichment should be JSON"
    );
    let thin = entry(delivery);
    let mut whole = thin.clone();
    whole.delivery.enriched = Some(Enriched {
        enrichment: Enrichment::Complete(reported.clone()),
        fetched_at: now(),
    });
    let (before, after) = (
        assert_entry_told_well(&thin),
        assert_entry_told_well(&whole),
    );
    assert_eq!(
        before.len(),
        after.len(),
        "enrichment should not change the number of events"
    );
    for (before, after) in before.iter().zip(&after) {
        for name in ["id", "type", "subject", "partitionkey", "sequence", "time"] {
            assert_eq!(
                before[name], after[name],
                "enrichment should not change {name}"
            );
        }
    }
}

fn entry(delivery: &VerifiedDelivery) -> Entry {
    Entry {
        position: 7,
        key: delivery.parts().key,
        kind: EntryKind::Delivery,
        redriven: false,
        attempts: 0,
        delivery: delivery.to_journaled(),
        record: None,
    }
}

/// The parsed events of an entry. Asserts the invariants of each.
fn assert_entry_told_well(entry: &Entry) -> Vec<Value> {
    let first = reported(entry);
    assert_eq!(first, reported(entry), "events should be deterministic");
    let events: Vec<Value> = first
        .iter()
        .map(|text| serde_json::from_str(text).expect("an event should be JSON"))
        .collect();
    for (index, event) in events.iter().enumerate() {
        if let Err(error) = SCHEMA.validate(event) {
            panic!(
                "the schema rejects {}: {error} at {}",
                event["type"],
                error.instance_path()
            );
        }
        let id = event["id"].as_str().expect("an event should have an id");
        assert_eq!(
            id,
            format!("{}-{index}", entry.key),
            "an event id should be the delivery key and the index"
        );
        let subject = event["subject"]
            .as_str()
            .and_then(|subject| subject.split_once('/'));
        assert!(
            subject.is_some_and(|(entity, id)| !entity.is_empty() && !id.is_empty()),
            "a subject should have an entity and an id: {subject:?}"
        );
    }
    events
}

/// The events as published.
fn reported(entry: &Entry) -> Vec<String> {
    let reason = match assemble(entry) {
        Assembled::Events { events, .. } => return events.iter().map(written).collect(),
        Assembled::Ignored(reason) => reason,
        Assembled::Unreadable(reason) => reason.into(),
    };
    let code = reason.code().expect("a reason code");
    assert_ne!(code, ReasonCode::NormalizerFailed);
    Vec::new()
}

fn written(event: &Event) -> String {
    serde_json::to_string(event).expect("an event should be JSON")
}
