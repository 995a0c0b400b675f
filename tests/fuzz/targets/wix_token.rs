//! The verification of a Wix token: the input as a token, and a signed token with the input's first two lines as header
//! and claims.
#![no_main]

use std::sync::LazyLock;

use cartwire::platforms::{Rejection, Verified};
use cartwire_fuzz::{Request, Sender, now, token};
use libfuzzer_sys::fuzz_target;

static APP: LazyLock<Sender> = LazyLock::new(|| Sender::new("wix"));

fuzz_target!(|input: &[u8]| {
    if let Ok(Verified::Delivery(delivery)) = APP.verify(&Request {
        headers: Vec::new(),
        body: input,
    }) {
        assert_eq!(delivery.parts().received_at, now());
        // A token with an additional part is invalid, even if the signature is valid.
        let longer = [input.trim_ascii(), b".x"].concat();
        let forged = APP.verify(&Request {
            headers: Vec::new(),
            body: &longer,
        });
        assert!(
            forged.is_err_and(|rejection| rejection.is_unauthorized()),
            "a token with an additional part was accepted"
        );
    }
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (header, claims) = (&input[..end], &input[end + 1..]);
    let body = token(header, claims);
    let request = Request {
        headers: Vec::new(),
        body: &body,
    };
    match APP.verify(&request) {
        Err(
            Rejection::AlgorithmRefused | Rejection::Unreadable | Rejection::SignatureMalformed,
        ) => {}
        Ok(_) | Err(_) => {
            if let Some(delivery) = APP.prove(&request) {
                assert_eq!(
                    delivery.parts().body,
                    claims,
                    "the stored claims should equal the signed claims"
                );
            }
        }
    }
});
