//! Verifies a delivery: HMAC-SHA-256 over the bytes of the body, in base64. Only the body is signed.
//!
//! The headers are not signed: they describe the delivery, and prove nothing. The protocol has no time, so it has no protection
//! against a replayed delivery. A replayed delivery has the same key and is a duplicate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::entities;
use crate::delivery::{DeliveryKey, HeaderFault, Headers, RawDelivery};
use crate::platforms::registered::ClaimedWebhook;
use crate::platforms::verified::{
    DeliveryParts, InvalidKey, Rejection, VerificationKey, Verified, VerifiedDelivery,
};

/// The platform's name in URLs, event attributes and metric labels.
pub(super) const NAME: &str = "woocommerce";

pub(super) const SIGNATURE: &str = "x-wc-webhook-signature";
pub(super) const TOPIC: &str = "x-wc-webhook-topic";
pub(super) const RESOURCE: &str = "x-wc-webhook-resource";
pub(super) const EVENT: &str = "x-wc-webhook-event";
pub(super) const WEBHOOK_ID: &str = "x-wc-webhook-id";
pub(super) const DELIVERY_ID: &str = "x-wc-webhook-delivery-id";

/// The headers that the journal stores.
const KEPT: [&str; 5] = [
    TOPIC,
    WEBHOOK_ID,
    DELIVERY_ID,
    "x-wc-webhook-source",
    "user-agent",
];
/// Maximum length of a header value that is used.
const LONGEST_KEPT: usize = 512;
/// Maximum length of a topic: WordPress stores 200 characters.
const LONGEST_TOPIC: usize = 200;

/// The possible keys of a secret: the entered text, and the text that WordPress reads from its escaped form.
pub(super) fn key(given: &str) -> Result<VerificationKey, InvalidKey> {
    if given.is_empty() {
        return Err(InvalidKey(
            "the webhook's secret is empty; give the text of the webhook's field \"Secret\""
                .to_owned(),
        ));
    }
    let decoded = entities::decode(given);
    let mut readings = vec![keyed(given.as_bytes())?];
    if decoded != given {
        readings.push(keyed(decoded.as_bytes())?);
    }
    Ok(VerificationKey::HmacSha256(readings))
}

/// An HMAC without its message.
pub(super) fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, InvalidKey> {
    Hmac::new_from_slice(key)
        .map_err(|_| InvalidKey("the webhook's secret cannot be a key".to_owned()))
}

/// The kind of request by its headers. Nothing is proved yet.
enum Claim {
    /// A delivery with this signature.
    Signed([u8; 32]),
    /// The unsigned form that WooCommerce posts to test an address.
    Ping,
}

/// The begin of a ping's body. The id of the webhook follows.
const PING: &[u8] = b"webhook_id=";
/// Maximum number of digits of the id.
const LONGEST_ID: usize = 20;

fn claim(headers: &Headers<'_>) -> Result<Claim, Rejection> {
    match headers.one(SIGNATURE) {
        Ok(Some(signature)) => {
            let mut tag = [0; 32];
            let length = STANDARD.decode_slice(signature, &mut tag);
            if signature.len() == 44 && length == Ok(tag.len()) {
                Ok(Claim::Signed(tag))
            } else {
                Err(Rejection::SignatureMalformed)
            }
        }
        Ok(None) if is_form(headers) => Ok(Claim::Ping),
        Ok(None) => Err(Rejection::SignatureMissing),
        Err(HeaderFault::Repeated | HeaderFault::NotText) => Err(Rejection::SignatureMalformed),
    }
}

/// A signed body may have any length. An unsigned form that is longer than a ping is rejected.
pub(super) fn longest_body(headers: &Headers<'_>) -> Result<usize, Rejection> {
    claim(headers).map(|claim| match claim {
        Claim::Signed(_) => usize::MAX,
        Claim::Ping => PING.len() + LONGEST_ID,
    })
}

/// Checks the signature, then identifies the delivery.
pub(super) fn verify(
    raw: &RawDelivery<'_>,
    keys: &[VerificationKey],
) -> Result<Verified, Rejection> {
    match claim(&raw.headers)? {
        Claim::Signed(tag) => check(&tag, &raw.body, keys)?,
        Claim::Ping if is_ping(&raw.body) => return Ok(Verified::Ping),
        Claim::Ping => return Err(Rejection::SignatureMissing),
    }
    let topic = topic(raw)?;
    let webhook = one(raw, WEBHOOK_ID)?.unwrap_or_default();
    let delivery = one(raw, DELIVERY_ID)?.unwrap_or_default();
    // A signed body that is not JSON is stored, and becomes a dead letter. Refusals would only make the store disable its
    // webhook.
    let key = DeliveryKey::of(&[
        NAME.as_bytes(),
        raw.endpoint.as_str().as_bytes(),
        topic.as_bytes(),
        webhook.as_bytes(),
        delivery.as_bytes(),
        &Sha256::digest(&raw.body),
    ]);
    let kept = KEPT.iter().filter_map(|name| {
        let value = raw.headers.one(name).ok().flatten()?;
        Some((
            *name,
            value[..value.floor_char_boundary(LONGEST_KEPT)].to_owned(),
        ))
    });
    Ok(Verified::Delivery(Box::new(VerifiedDelivery::new(
        DeliveryParts {
            platform: NAME,
            endpoint: raw.endpoint.clone(),
            connection: raw.endpoint.clone(),
            topic,
            key,
            headers: kept.collect(),
            body: raw.body.clone(),
            received_at: raw.received_at,
        },
    ))))
}

/// Compares the signature with every possible key. `verify_slice` takes constant time, whichever bytes differ.
/// No signature is compared with `==`.
fn check(tag: &[u8; 32], body: &[u8], keys: &[VerificationKey]) -> Result<(), Rejection> {
    let readings = keys.iter().flat_map(|key| match key {
        VerificationKey::HmacSha256(readings) => readings.as_slice(),
        VerificationKey::Rs256(_) => &[],
    });
    for reading in readings {
        if reading.clone().chain_update(body).verify_slice(tag).is_ok() {
            return Ok(());
        }
    }
    Err(if was_reencoded(body) {
        Rejection::BodyReencoded
    } else {
        Rejection::SignatureWrong
    })
}

/// `true` if WordPress cannot have written these bytes. Its encoder escapes all characters beyond ASCII, and each slash in a
/// string. A proxy that re-encodes JSON does not.
fn was_reencoded(body: &[u8]) -> bool {
    if !body.is_ascii() {
        return true;
    }
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'"' => in_string = !in_string,
            b'\\' => escaped = in_string,
            b'/' if in_string => return true,
            _ => {}
        }
    }
    false
}

/// `true` if the request may be the unsigned form. Anyone can send one: it is answered and not stored.
fn is_form(headers: &Headers<'_>) -> bool {
    let Ok(Some(content_type)) = headers.one("content-type") else {
        return false;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn is_ping(body: &[u8]) -> bool {
    let Some(id) = body.strip_prefix(PING) else {
        return false;
    };
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_digit)
}

/// The webhook that the headers name. The headers are not signed.
pub(super) fn claimed_webhook(headers: &Headers<'_>) -> Option<ClaimedWebhook> {
    let one = |name: &str| headers.one(name).ok().flatten();
    let (id, topic) = (one(WEBHOOK_ID)?, one(TOPIC)?);
    let fits = id.len() <= LONGEST_ID && topic.len() <= LONGEST_TOPIC;
    fits.then(|| ClaimedWebhook {
        id: id.to_owned(),
        topic: topic.to_owned(),
    })
}

/// The value of a header that identifies deliveries.
fn one<'a>(raw: &RawDelivery<'a>, name: &str) -> Result<Option<&'a str>, Rejection> {
    raw.headers.one(name).map_err(|fault| match fault {
        HeaderFault::Repeated | HeaderFault::NotText => Rejection::HeaderAmbiguous,
    })
}

/// The topic, or the topic made of resource and event; empty if neither is a valid topic.
fn topic(raw: &RawDelivery<'_>) -> Result<String, Rejection> {
    let topic = match one(raw, TOPIC)? {
        Some(topic) if !topic.is_empty() => topic.to_owned(),
        _ => match (one(raw, RESOURCE)?, one(raw, EVENT)?) {
            (Some(resource), Some(event)) => format!("{resource}.{event}"),
            _ => String::new(),
        },
    };
    let fits = topic.len() <= LONGEST_TOPIC && !topic.chars().any(char::is_control);
    Ok(if fits { topic } else { String::new() })
}

#[cfg(test)]
mod tests;
