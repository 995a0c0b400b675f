//! Makes the request that WooCommerce would send: for fixtures, replay and tests.
//!
//! Options: `webhook_id` (`1`), `delivery_id` (made from the nonce), `source` (the shop's home page).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::Mac;

use super::verify::NAME;
use super::{entities, verify};
use crate::delivery::DeliveryKey;
use crate::platforms::signing::{SignedRequest, Unsigned};
use crate::platforms::verified::InvalidKey;

/// Signs as a shop does in which `secret` is stored: WordPress decodes it first.
pub(super) fn sign(unsigned: &Unsigned<'_>, secret: &str) -> Result<SignedRequest, InvalidKey> {
    verify::key(secret)?;
    let tag = verify::keyed(entities::decode(secret).as_bytes())?
        .chain_update(unsigned.payload)
        .finalize()
        .into_bytes();
    let option = |name: &str, default: &str| {
        unsigned
            .options
            .get(name)
            .map_or_else(|| default.to_owned(), Clone::clone)
    };
    let (resource, event) = unsigned
        .topic
        .split_once('.')
        .unwrap_or((unsigned.topic, ""));
    // A real one has 32 hexadecimal digits as well.
    let delivery = DeliveryKey::of(&[NAME.as_bytes(), &unsigned.nonce.to_be_bytes()]).to_string();
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        (
            "User-Agent",
            "WooCommerce/11.0.1 Hookshot (WordPress/7.1)".to_owned(),
        ),
        (
            "X-WC-Webhook-Source",
            option("source", "https://shop.example/"),
        ),
        ("X-WC-Webhook-Topic", unsigned.topic.to_owned()),
        ("X-WC-Webhook-Resource", resource.to_owned()),
        ("X-WC-Webhook-Event", event.to_owned()),
        ("X-WC-Webhook-Signature", STANDARD.encode(tag)),
        ("X-WC-Webhook-ID", option("webhook_id", "1")),
        ("X-WC-Webhook-Delivery-ID", option("delivery_id", &delivery)),
    ];
    Ok(SignedRequest {
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        body: Bytes::copy_from_slice(unsigned.payload),
    })
}
