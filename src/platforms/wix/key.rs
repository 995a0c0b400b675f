//! Reads the app's public key in all forms that dashboards, files and environment variables produce.
//!
//! A damaged key is refused at configuration, because otherwise each delivery would look forged. No error message contains a
//! part of the key. The operator enters the key, because the platform has no endpoint that publishes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use crate::platforms::verified::InvalidKey;

/// Minimum size of the modulus in bits. Shorter keys are unsafe, and the verifier refuses them.
const MIN_KEY_BITS: usize = 2048;
/// Maximum size of the modulus in bits that the verifier accepts.
const MAX_KEY_BITS: usize = 8192;
/// Maximum length of the text in bytes. A longer file is not a key.
const MAX_KEY_TEXT_BYTES: usize = 32 * 1024;

const WHERE: &str = "copy it from the app's dashboard under Webhooks, \"Get Public Key\"";

pub(super) struct PublicKey {
    pub(super) decoding: DecodingKey,
    /// The key as normalized PEM.
    pub(super) pem: String,
}

/// Reads a public key: PEM with any line ends or none, base64 of PEM, or base64 of DER.
pub(super) fn public_key(material: &str) -> Result<PublicKey, InvalidKey> {
    let der = der_of(material, Wanted::Public)?;
    let refused = || {
        InvalidKey(format!(
            "the public key is damaged or not an RSA key; {WHERE}"
        ))
    };
    // The parser would ignore bytes after the key, so the length is checked here.
    if let [0x30, 0x82, high, low, contents @ ..] = &der[..]
        && contents.len() != usize::from(u16::from_be_bytes([*high, *low]))
    {
        return Err(refused());
    }
    // `DecodingKey` copies the bytes without a check, so modulus and exponent are read here.
    let (modulus, exponent) = (DEFAULT_PROVIDER
        .key_utils
        .rsa_pub_components_from_public_key)(&der)
    .map_err(|_| refused())?;
    let significant: Vec<u8> = modulus
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    let bits = significant.len() * 8
        - significant
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize);
    if !(MIN_KEY_BITS..=MAX_KEY_BITS).contains(&bits) {
        return Err(InvalidKey(format!(
            "the public key has {bits} bits; RSA keys of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits are accepted; {WHERE}"
        )));
    }
    // SPKI begins with a sequence inside its sequence, PKCS#1 with the modulus.
    let label = if begins_with(&der, &[0x30]) {
        "PUBLIC KEY"
    } else {
        "RSA PUBLIC KEY"
    };
    Ok(PublicKey {
        decoding: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
        pem: pem_of(label, &der),
    })
}

/// Reads a private key that signs fixtures. Only signing shows whether the key is valid.
pub(super) fn private_key(material: &str) -> Result<EncodingKey, InvalidKey> {
    EncodingKey::from_rsa_pem(private_pem(material)?.as_bytes()).map_err(|_| no_private_key())
}

/// A private key as normalized PEM. A test signature proves that the key is valid.
pub(super) fn tried_private_key(material: &str) -> Result<String, InvalidKey> {
    jsonwebtoken::crypto::sign(b"", &private_key(material)?, Algorithm::RS256)
        .map_err(|_| no_private_key())?;
    private_pem(material)
}

fn private_pem(material: &str) -> Result<String, InvalidKey> {
    let der = der_of(material, Wanted::Private)?;
    let pkcs8 = begins_with(&der, &[0x02, 0x01, 0x00, 0x30]);
    Ok(pem_of(
        if pkcs8 {
            "PRIVATE KEY"
        } else {
            "RSA PRIVATE KEY"
        },
        &der,
    ))
}

fn no_private_key() -> InvalidKey {
    InvalidKey("the signing key is not an RSA private key in PEM format".to_owned())
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Public,
    Private,
}

fn der_of(material: &str, wanted: Wanted) -> Result<Vec<u8>, InvalidKey> {
    if material.len() > MAX_KEY_TEXT_BYTES {
        return Err(InvalidKey("the text is too long for a key".to_owned()));
    }
    let text = unwrapped(material);
    if text.is_empty() {
        return Err(InvalidKey(match wanted {
            Wanted::Public => format!("the public key is empty; {WHERE}"),
            Wanted::Private => "the signing key is empty".to_owned(),
        }));
    }
    let der = if text.contains("-----BEGIN") {
        der_of_pem(&text, wanted)?
    } else {
        let bytes = from_base64(&text).ok_or_else(|| {
            InvalidKey("the text is neither PEM (-----BEGIN …) nor base64 of PEM or DER".to_owned())
        })?;
        match std::str::from_utf8(&bytes) {
            Ok(inner) if inner.contains("-----BEGIN") => der_of_pem(&unwrapped(inner), wanted)?,
            _ => bytes,
        }
    };
    // PKCS#1 and PKCS#8 private keys begin with a version number.
    let private = begins_with(&der, &[0x02, 0x01, 0x00]) || begins_with(&der, &[0x02, 0x01, 0x01]);
    match wanted {
        Wanted::Public if private => Err(is_private()),
        Wanted::Private if !private => Err(InvalidKey(
            "the signing key is not a private key".to_owned(),
        )),
        Wanted::Public | Wanted::Private => Ok(der),
    }
}

fn is_private() -> InvalidKey {
    InvalidKey(format!(
        "this is a private key; the public key is required: {WHERE}"
    ))
}

/// Removes quotes and white space around the value, and replaces `\\n` by line ends.
fn unwrapped(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    text.replace("\\r", "\n").replace("\\n", "\n")
}

fn der_of_pem(text: &str, wanted: Wanted) -> Result<Vec<u8>, InvalidKey> {
    let damaged = || {
        InvalidKey("the PEM text is damaged: -----BEGIN … and -----END … do not match".to_owned())
    };
    let (_, rest) = text.split_once("-----BEGIN").ok_or_else(damaged)?;
    let (label, rest) = rest.split_once("-----").ok_or_else(damaged)?;
    let (body, rest) = rest.split_once("-----END").ok_or_else(damaged)?;
    let (closing, rest) = rest.split_once("-----").ok_or_else(damaged)?;
    if label != closing {
        return Err(damaged());
    }
    if rest.contains("-----BEGIN") {
        return Err(InvalidKey("the text contains more than one key".to_owned()));
    }
    match (label.trim(), wanted) {
        ("PUBLIC KEY" | "RSA PUBLIC KEY", Wanted::Public)
        | ("PRIVATE KEY" | "RSA PRIVATE KEY", Wanted::Private) => {
            from_base64(body).ok_or_else(|| {
                InvalidKey("the PEM text is damaged: its body is not base64".to_owned())
            })
        }
        (label, Wanted::Public) if label.ends_with("PRIVATE KEY") => Err(is_private()),
        ("CERTIFICATE", Wanted::Public) => Err(InvalidKey(format!(
            "this is a certificate; the public key is required: {WHERE}"
        ))),
        (_, Wanted::Public) => Err(InvalidKey(format!(
            "this is not an RSA public key; {WHERE}"
        ))),
        (_, Wanted::Private) => Err(InvalidKey(
            "the signing key is not an RSA private key".to_owned(),
        )),
    }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.split_whitespace().collect();
    (!compact.is_empty()).then(|| STANDARD.decode(compact).ok())?
}

/// `true` if the content of the outer DER sequence begins with these bytes. The length field of every accepted key has two
/// bytes.
fn begins_with(der: &[u8], contents: &[u8]) -> bool {
    der.starts_with(&[0x30, 0x82])
        && der
            .get(4..)
            .is_some_and(|inner| inner.starts_with(contents))
}

fn pem_of(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
