//! A Wix token through verify: unsigned, and with its first two lines as header and claims that the app signed.
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
        // With a part more it is no token, whatever the signature says.
        let longer = [input.trim_ascii(), b".x"].concat();
        let forged = APP.verify(&Request {
            headers: Vec::new(),
            body: &longer,
        });
        assert!(
            forged.is_err_and(|rejection| rejection.is_unauthorized()),
            "a lengthened token was taken"
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
                    "every signed byte of the claims is kept"
                );
            }
        }
    }
});
