//! Signs tokens as the platform does, for fixtures, replay and tests.
//!
//! Options: `instance_id`; for the envelope `identity` (JSON text, sent as a string) and `account` (JSON text, sent as an
//! object); `layers`, which is `strings` (the default, as the platform sends them) or `objects`; `iat_offset` in seconds. The
//! nonce is not used, because the payload is sent unchanged with its event id.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde::Serialize;
use serde_json::value::RawValue;

use super::key::private_key;
use crate::platforms::signing::{SignedRequest, Unsigned};
use crate::platforms::verified::InvalidKey;

/// The instance id of fixtures without the option `instance_id`.
const INSTANCE: &str = "7f0c2a4e-5b1d-4c3e-9a68-0d1e2f3a4b5c";
/// Lifetime of the platform's tokens in seconds: 1000 hours.
const LIFETIME: i64 = 3_600_000;
/// The header of a token. As at the platform, it has no `typ`.
const HEADER: &[u8] = br#"{"kid":"testonly","alg":"RS256"}"#;

#[derive(Serialize)]
struct Envelope<'a> {
    data: &'a RawValue,
    #[serde(rename = "instanceId", skip_serializing_if = "str::is_empty")]
    instance_id: &'a str,
    #[serde(rename = "eventType")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(rename = "accountInfo", skip_serializing_if = "Option::is_none")]
    account: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Claims<'a> {
    data: &'a RawValue,
    iat: i64,
    exp: i64,
}

pub(super) fn sign(
    unsigned: &Unsigned<'_>,
    key: &str,
    now: Timestamp,
) -> Result<SignedRequest, InvalidKey> {
    let key = private_key(key)?;
    let option = |name: &str| unsigned.options.get(name).map(String::as_str);
    let as_objects = option("layers") == Some("objects");
    let offset = option("iat_offset")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let iat = now.as_second().saturating_add(offset);
    let payload = std::str::from_utf8(unsigned.payload)
        .map_err(|_| InvalidKey("the payload is not UTF-8".to_owned()))?;
    let account = option("account")
        .map(|text| RawValue::from_string(text.to_owned()))
        .transpose();
    let envelope = written(&Envelope {
        data: &layer(payload, as_objects)?,
        instance_id: option("instance_id").unwrap_or(INSTANCE),
        event_type: unsigned.topic,
        identity: option("identity"),
        account: account.map_err(no_json)?.as_deref(),
    })?;
    let claims = written(&Claims {
        data: &layer(&envelope, as_objects)?,
        iat,
        exp: iat.saturating_add(LIFETIME),
    })?;
    token(HEADER, claims.as_bytes(), &key)
}

/// Signs header and claims, and joins them with the signature to a request body.
fn token(
    header: &[u8],
    claims: &[u8],
    key: &jsonwebtoken::EncodingKey,
) -> Result<SignedRequest, InvalidKey> {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::RS256)
        .map_err(|_| InvalidKey("the signing key cannot sign".to_owned()))?;
    Ok(SignedRequest {
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        body: Bytes::from(format!("{message}.{signature}")),
    })
}

fn layer(text: &str, as_object: bool) -> Result<Box<RawValue>, InvalidKey> {
    if as_object {
        RawValue::from_string(text.to_owned())
    } else {
        serde_json::value::to_raw_value(text)
    }
    .map_err(no_json)
}

fn written(layer: &impl Serialize) -> Result<String, InvalidKey> {
    serde_json::to_string(layer).map_err(no_json)
}

fn no_json(_: serde_json::Error) -> InvalidKey {
    InvalidKey("the payload is not JSON".to_owned())
}
