//! Verifies a delivery: one compact JWT as the whole body, signed by the app's key with RS256 and nothing else.
//!
//! What the token's issuer and audience say does not matter: the platform sends neither with webhooks. A token that is
//! genuine and cannot be read below its claims is a delivery all the same: that is our dead letter, not the sender's error.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;

use super::payload::{Claims, Kept, Opened, members, nanoseconds};
use crate::delivery::{ConnectionId, DeliveryKey, RawDelivery};
use crate::platforms::{
    DeliveryParts, Recurrence, Rejection, VerificationKey, Verified, VerifiedDelivery,
};

/// The platform's token headers have some forty characters.
const LONGEST_HEADER: usize = 4096;
/// How far the sender's clock and ours may disagree.
const LEEWAY: i128 = 60 * 1_000_000_000;

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
    // From here on the sender is genuine.
    let opened = Claims::parse(&claims).ok_or(Rejection::Unreadable)?;
    check_time(&opened, now)?;
    let opened = opened.open();
    let connection = opened
        .instance_id
        .as_deref()
        .and_then(|id| ConnectionId::new(id).ok());
    let connection = connection.unwrap_or_else(|| raw.endpoint.clone());
    let topic = opened.topic();
    let key = delivery_key(raw.endpoint, &connection, &topic, &opened);
    let recurrence = recurrence(&topic, &opened);
    let (headers, body) = Kept::parts(opened, claims);
    Ok(Verified::Delivery(Box::new(VerifiedDelivery::new(
        DeliveryParts {
            platform: super::NAME,
            endpoint: raw.endpoint.clone(),
            connection,
            topic,
            key,
            headers,
            body: Bytes::from(body),
            received_at: raw.received_at,
            recurrence,
        },
    ))))
}

/// Is it a token at all, and one of the only sort that the platform signs? The algorithm is ours to say, not the token's:
/// a token that names another one is refused before any key is touched.
fn check_header(segment: &str) -> Result<(), Rejection> {
    // Nobody has proved anything yet: what is no header costs no time.
    let segment = Some(segment)
        .filter(|segment| segment.len() <= LONGEST_HEADER)
        .ok_or(Rejection::Unreadable)?;
    let bytes = decoded(segment).ok_or(Rejection::Unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Rejection::Unreadable)?;
    let header = members(text).ok_or(Rejection::Unreadable)?;
    // `crit` names extensions that must be understood; we understand none.
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

/// `exp` may be absent, as in the platform's own SDK; present, it must be a time.
fn check_time(claims: &Claims<'_>, now: Timestamp) -> Result<(), Rejection> {
    let now = now.as_nanosecond();
    if let Some(exp) = claims.get("exp") {
        let exp = nanoseconds(exp).ok_or(Rejection::TokenExpired)?;
        if now > exp.saturating_add(LEEWAY) {
            return Err(Rejection::TokenExpired);
        }
    }
    if let Some(nbf) = claims.get("nbf") {
        let nbf = nanoseconds(nbf).ok_or(Rejection::TokenNotYetValid)?;
        if nbf > now.saturating_add(LEEWAY) {
            return Err(Rejection::TokenNotYetValid);
        }
    }
    Ok(())
}

/// Domain events name themselves; of the others the whole content is the name, without the token's times, which a retry
/// may renew.
fn delivery_key(
    endpoint: &ConnectionId,
    connection: &ConnectionId,
    topic: &str,
    opened: &Opened,
) -> DeliveryKey {
    let (platform, endpoint) = (super::NAME.as_bytes(), endpoint.as_str().as_bytes());
    match &opened.payload {
        Ok(payload) => match &payload.event_id {
            Some(id) => DeliveryKey::of(&[
                platform,
                endpoint,
                connection.as_str().as_bytes(),
                b"event",
                id.as_bytes(),
            ]),
            None => DeliveryKey::of(&[
                platform,
                endpoint,
                connection.as_str().as_bytes(),
                b"legacy",
                topic.as_bytes(),
                payload.text.as_bytes(),
            ]),
        },
        Err(broken) => DeliveryKey::of(&[platform, endpoint, b"token", broken.text.as_bytes()]),
    }
}

/// A retry comes within two days (the twelfth after 47 hours and 11 minutes); what comes later with the same content is a
/// new fact. An app can be removed and installed again at any time.
const RETRIED_FOR: i64 = (48 * 60 + 30) * 60 * 1000;

fn recurrence(topic: &str, opened: &Opened) -> Recurrence {
    match &opened.payload {
        Ok(payload) if payload.event_id.is_some() => Recurrence::Never,
        _ => Recurrence::After {
            milliseconds: RETRIED_FOR,
            or_once: match topic {
                "AppInstalled" => Some("AppRemoved"),
                "AppRemoved" => Some("AppInstalled"),
                _ => None,
            },
        },
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
