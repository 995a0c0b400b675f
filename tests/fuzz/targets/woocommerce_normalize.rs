//! A WooCommerce payload with any headers, signed by the shop, verified and normalized to events.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cartwire::platforms::Unsigned;
use cartwire_fuzz::{Request, Sender, assert_told_well, now};
use libfuzzer_sys::fuzz_target;

static SHOP: LazyLock<Sender> = LazyLock::new(|| Sender::new("woocommerce"));

fuzz_target!(|input: &[u8]| {
    // The first line is the topic, the rest the payload.
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let Ok(topic) = std::str::from_utf8(&input[..end]) else {
        return;
    };
    let payload = input.get(end + 1..).unwrap_or_default();
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload,
        nonce: 1,
        options: &options,
    };
    let signed = SHOP
        .platform
        .sign(&unsigned, &SHOP.signing_key, now())
        .expect("the payload should be signed");
    let headers = signed
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_bytes()));
    if let Some(delivery) = SHOP.prove(&Request {
        headers: headers.collect(),
        body: &signed.body,
    }) {
        assert_told_well(&delivery);
    }
});
