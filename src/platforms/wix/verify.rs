//! Verifies a delivery: the body is one compact JWT, signed with RS256 by the private key of the app.
//!
//! Issuer and audience are not checked, because the platform sends neither with webhooks. A genuine token with unreadable
//! content is accepted and becomes a dead letter. A rejection would only make the platform retry the same token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;

use super::payload::{Claims, Kept, Opened, members, nanoseconds};
use crate::delivery::{ConnectionId, DeliveryKey, RawDelivery};
use crate::platforms::verified::{
    DeliveryParts, Rejection, VerificationKey, Verified, VerifiedDelivery,
};

/// The platform's name in URLs, event attributes and metric labels.
pub(super) const NAME: &str = "wix";

/// Maximum length of a token's header in bytes. The platform's headers have about 40 bytes.
const MAX_HEADER_BYTES: usize = 4096;
/// Maximum difference between the clocks of sender and gateway, in nanoseconds.
const CLOCK_LEEWAY_NS: i128 = 60 * 1_000_000_000;

pub(super) fn verify(
    raw: &RawDelivery<'_>,
    keys: &[VerificationKey],
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let token = std::str::from_utf8(raw.body.trim_ascii()).map_err(|_| Rejection::Unreadable)?;
    let mut parts = token.split('.');
    check_header(parts.next().unwrap_or_default())?;
    let (Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Rejection::SignatureMalformed);
    };
    if signature.is_empty() {
        return Err(Rejection::SignatureMissing);
    }
    let claims = decoded(payload).ok_or(Rejection::SignatureMalformed)?;
    decoded(signature).ok_or(Rejection::SignatureMalformed)?;
    let signed = &token[..token.len() - signature.len() - 1];
    if !keys.iter().any(|key| fits(key, signature, signed)) {
        return Err(Rejection::SignatureWrong);
    }
    // The signature is valid, so the sender is genuine from here on.
    let opened = Claims::parse(&claims).ok_or(Rejection::Unreadable)?;
    check_time(&opened, now)?;
    let issued_at = opened.get("iat").and_then(nanoseconds);
    let opened = opened.open();
    let connection = opened
        .instance_id
        .as_deref()
        .and_then(|id| ConnectionId::new(id).ok());
    let connection = connection.unwrap_or_else(|| raw.endpoint.clone());
    let topic = opened.topic();
    let signed = Signed {
        endpoint: raw.endpoint,
        connection: &connection,
        topic: &topic,
        issued_at,
    };
    let key = signed.key(&opened, raw.received_at);
    let (headers, body) = Kept::parts(opened, claims);
    Ok(Verified::Delivery(Box::new(VerifiedDelivery::new(
        DeliveryParts {
            platform: NAME,
            endpoint: raw.endpoint.clone(),
            connection,
            topic,
            key,
            headers,
            body: Bytes::from(body),
            received_at: raw.received_at,
        },
    ))))
}

/// Checks that the header names RS256. Another algorithm is refused before any key is used, because an attacker must not
/// choose the algorithm.
fn check_header(segment: &str) -> Result<(), Rejection> {
    // The sender is not verified yet, so a header of any size must not cost time.
    let segment = Some(segment)
        .filter(|segment| segment.len() <= MAX_HEADER_BYTES)
        .ok_or(Rejection::Unreadable)?;
    let bytes = decoded(segment).ok_or(Rejection::Unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Rejection::Unreadable)?;
    let header = members(text).ok_or(Rejection::Unreadable)?;
    // `crit` names extensions that a verifier must support (RFC 7515, section 4.1.11). This verifier supports none.
    let rs256 = header
        .get("alg")
        .is_some_and(|alg| alg.get() == r#""RS256""#);
    if rs256 && !header.contains_key("crit") {
        Ok(())
    } else {
        Err(Rejection::AlgorithmRefused)
    }
}

fn decoded(segment: &str) -> Option<Vec<u8>> {
    if segment.is_empty() {
        None
    } else {
        URL_SAFE_NO_PAD.decode(segment).ok()
    }
}

fn fits(key: &VerificationKey, signature: &str, signed: &str) -> bool {
    match key {
        VerificationKey::Rs256(key) => {
            jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, Algorithm::RS256)
                .unwrap_or(false)
        }
        VerificationKey::HmacSha256(_) => false,
    }
}

/// Checks `exp` and `nbf`. Both may be absent, as in the platform's SDK. A claim that is not a number is refused.
fn check_time(claims: &Claims<'_>, now: Timestamp) -> Result<(), Rejection> {
    let now = now.as_nanosecond();
    if let Some(exp) = claims.get("exp") {
        let exp = nanoseconds(exp).ok_or(Rejection::TokenExpired)?;
        if now > exp.saturating_add(CLOCK_LEEWAY_NS) {
            return Err(Rejection::TokenExpired);
        }
    }
    if let Some(nbf) = claims.get("nbf") {
        let nbf = nanoseconds(nbf).ok_or(Rejection::TokenNotYetValid)?;
        if nbf > now.saturating_add(CLOCK_LEEWAY_NS) {
            return Err(Rejection::TokenNotYetValid);
        }
    }
    Ok(())
}

/// The parts of the delivery key beside the payload.
struct Signed<'a> {
    endpoint: &'a ConnectionId,
    connection: &'a ConnectionId,
    topic: &'a str,
    /// The claim `iat` in nanoseconds; `None` if the claim is absent or not a number.
    issued_at: Option<i128>,
}

impl Signed<'_> {
    /// The key of the delivery. A domain event is identified by its event id. Other deliveries have no id, so their content
    /// and the token's `iat` identify them: the same content with another `iat` is another delivery. A token without `iat`
    /// cannot be recognized as a duplicate, so its key contains the time of arrival.
    fn key(&self, opened: &Opened, received_at: Timestamp) -> DeliveryKey {
        let (kind, content) = match &opened.payload {
            Ok(payload) => match &payload.event_id {
                Some(id) => {
                    return DeliveryKey::of(&[
                        NAME.as_bytes(),
                        self.endpoint.as_str().as_bytes(),
                        self.connection.as_str().as_bytes(),
                        b"event",
                        id.as_bytes(),
                    ]);
                }
                None => (&b"legacy"[..], payload.text.as_str()),
            },
            Err(broken) => (&b"token"[..], broken.text.as_str()),
        };
        let (origin, time) = match self.issued_at {
            Some(issued_at) => (&b"iat"[..], issued_at),
            None => (&b"received"[..], received_at.as_nanosecond()),
        };
        DeliveryKey::of(&[
            NAME.as_bytes(),
            self.endpoint.as_str().as_bytes(),
            self.connection.as_str().as_bytes(),
            kind,
            self.topic.as_bytes(),
            content.as_bytes(),
            origin,
            &time.to_be_bytes(),
        ])
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
