//! The claims of a Wix token, signed by the app, verified and normalized to events.
#![no_main]

use std::sync::LazyLock;

use cartwire_fuzz::{RS256, Request, Sender, assert_told_well, token};
use libfuzzer_sys::fuzz_target;

static APP: LazyLock<Sender> = LazyLock::new(|| Sender::new("wix"));

fuzz_target!(|claims: &[u8]| {
    if claims.is_empty() {
        return;
    }
    let body = token(RS256, claims);
    if let Some(delivery) = APP.prove(&Request {
        headers: Vec::new(),
        body: &body,
    }) {
        assert_told_well(&delivery);
    }
});
