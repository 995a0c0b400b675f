//! The shop's check of OAuth 1.0a. It follows RFC 5849 and WooCommerce's source, and shares no code with the gateway.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::options::Fault;
use super::state::{ShopRequest, State};

/// The result of the OAuth check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The request has no OAuth parameter.
    None,
    /// The consumer key is unknown.
    KeyUnknown,
    /// A required parameter is missing.
    Incomplete,
    /// The signature does not match.
    SignatureWrong,
    /// The timestamp differs by more than 15 minutes from the shop's clock.
    TimeOff,
    /// The nonce was used before.
    NonceUsed,
    /// The signature is valid.
    Right,
}

/// Checks a request. `home` is the shop's own URL, which is part of the signed text.
pub(super) fn prove(requested: &ShopRequest, state: &mut State, home: &str, base: &str) -> Proof {
    // WooCommerce accepts the parameters in the header or in the query.
    let mut oauth = BTreeMap::new();
    for (name, value) in requested
        .query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
    {
        if name.starts_with("oauth_") {
            oauth.insert(decode(name), decode(value));
        }
    }
    let header = requested
        .headers
        .get("authorization")
        .filter(|_| state.fault != Fault::AuthorizationStripped)
        .and_then(|value| value.strip_prefix("OAuth "));
    if let Some(header) = header {
        for member in header.split(',') {
            let Some((name, value)) = member.trim().split_once('=') else {
                return Proof::Incomplete;
            };
            oauth.insert(decode(name), decode(value.trim_matches('"')));
        }
    }
    if oauth.is_empty() {
        return Proof::None;
    }
    let member = |name: &str| oauth.get(name).cloned().unwrap_or_default();
    for name in [
        "oauth_consumer_key",
        "oauth_nonce",
        "oauth_signature",
        "oauth_signature_method",
        "oauth_timestamp",
    ] {
        if member(name).is_empty() {
            return Proof::Incomplete;
        }
    }
    if member("oauth_consumer_key") != state.options.consumer_key {
        return Proof::KeyUnknown;
    }
    // WordPress verifies the signature for its own configured URL, not for the URL that the client called.
    let folder = base
        .splitn(4, '/')
        .nth(3)
        .map(|folder| format!("/{folder}"))
        .unwrap_or_default();
    let address = format!(
        "{}{}",
        home,
        requested
            .path
            .strip_prefix(&folder)
            .unwrap_or(&requested.path)
    );
    let mut pairs: Vec<(String, String)> = requested
        .query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("oauth_"))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(&decode(name)), encode(&decode(value))))
        .chain(
            oauth
                .iter()
                .filter(|(name, _)| *name != "oauth_signature")
                .map(|(name, value)| (encode(name), encode(value))),
        )
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let text = format!(
        "{}&{}&{}",
        requested.method,
        encode(&address),
        encode(&pairs.join("&"))
    );
    let key =
        Hmac::<Sha256>::new_from_slice(format!("{}&", state.options.consumer_secret).as_bytes())
            .expect("HMAC accepts any key length");
    let right = STANDARD.encode(key.chain_update(text.as_bytes()).finalize().into_bytes());
    if member("oauth_signature_method") != "HMAC-SHA256" || member("oauth_signature") != right {
        return Proof::SignatureWrong;
    }
    let made: i64 = member("oauth_timestamp").parse().unwrap_or_default();
    if (jiff::Timestamp::now().as_second() - made).abs() > 15 * 60 {
        return Proof::TimeOff;
    }
    if !state.nonces.insert(member("oauth_nonce")) {
        return Proof::NonceUsed;
    }
    Proof::Right
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Decodes a name or a value of a query; `+` means a space.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
