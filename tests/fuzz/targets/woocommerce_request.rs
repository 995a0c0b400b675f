//! The verification of a WooCommerce request with any headers and body, unsigned and signed by the shop.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cartwire::platforms::{Unsigned, Verified};
use cartwire_fuzz::{Request, Sender, now};
use libfuzzer_sys::fuzz_target;

static SHOP: LazyLock<Sender> = LazyLock::new(|| Sender::new("woocommerce"));

const SIGNATURE: &str = "x-wc-webhook-signature";

fuzz_target!(|input: &[u8]| {
    let mut request = Request::read(input);
    if let Ok(Verified::Delivery(delivery)) = SHOP.verify(&request) {
        assert_eq!(
            delivery.parts().body,
            request.body,
            "the stored body should equal the signed body"
        );
        // The signature must be invalid for any other body.
        let longer = [request.body, b" "].concat();
        let forged = SHOP.verify(&Request {
            headers: request.headers.clone(),
            body: &longer,
        });
        assert!(
            forged.is_err_and(|rejection| rejection.is_unauthorized()),
            "a changed body was accepted"
        );
    }
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic: "",
        payload: request.body,
        nonce: 1,
        options: &options,
    };
    let signed = SHOP
        .platform
        .sign(&unsigned, &SHOP.signing_key, now())
        .expect("the request should be signed");
    let (_, signature) = signed
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(SIGNATURE))
        .expect("the request should have a signature header");
    request.headers.retain(|(name, _)| name != SIGNATURE);
    request
        .headers
        .push((SIGNATURE.to_owned(), signature.as_bytes()));
    if let Some(delivery) = SHOP.prove(&request) {
        assert_eq!(
            delivery.parts().body,
            request.body,
            "the stored body should equal the signed body"
        );
        assert!(
            delivery
                .parts()
                .headers
                .iter()
                .all(|(_, value)| value.len() <= 512),
            "stored header values should be bounded"
        );
    }
});
