//! Properties of verification, with generated input: no forged request is accepted, and no input causes a panic.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use cartwire::delivery::{ConnectionId, Headers, RawDelivery};
use cartwire::platforms::{
    PLATFORMS, Rejection, SignedRequest, Unsigned, VerificationKey, Verified, VerifiedDelivery,
    WebhookPlatform, platform,
};
use cartwire::replay::fixture::{Fixture, test_key};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::generated_json::json;

pub(crate) fn config(cases: u32) -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/properties.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(persistence)),
        ..ProptestConfig::with_cases(cases)
    }
}

/// The clock of these tests.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).expect("an instant")
}

pub(crate) fn id(text: &str) -> ConnectionId {
    ConnectionId::new(text).expect("an id")
}

pub(crate) fn key(platform: &dyn WebhookPlatform, name: &str) -> String {
    test_key(platform, name).expect("a test key")
}

/// Each platform's key, read once.
static KEYS: LazyLock<BTreeMap<&'static str, [VerificationKey; 1]>> = LazyLock::new(|| {
    let read = |platform: &&dyn WebhookPlatform| {
        (
            platform.name(),
            [platform
                .verification_key(&key(*platform, "verification"))
                .expect("a key")],
        )
    };
    PLATFORMS.iter().map(read).collect()
});

/// Who sends a payload, under which topic, and the payload.
type Case = (&'static dyn WebhookPlatform, String, Vec<u8>);

/// Payloads as the platforms send them, of all sizes below a bound.
pub(crate) static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let cases = support::fixtures()
        .into_iter()
        .filter_map(|fixture| match fixture {
            Fixture::Case(case) if case.payload.len() < 4000 => {
                Some((case.platform, case.topic, case.payload))
            }
            Fixture::Case(_) | Fixture::Recorded(_) => None,
        });
    cases.collect()
});

fn signed(
    platform: &dyn WebhookPlatform,
    topic: &str,
    payload: &[u8],
    nonce: u64,
) -> SignedRequest {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload,
        nonce,
        options: &options,
    };
    platform
        .sign(&unsigned, &key(platform, "signing"), now())
        .expect("the test key signs")
}

pub(crate) fn verify(
    platform: &dyn WebhookPlatform,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
) -> Result<Verified, Rejection> {
    verify_with(platform, headers, body, &KEYS[platform.name()])
}

fn verify_with(
    platform: &dyn WebhookPlatform,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
    keys: &[VerificationKey],
) -> Result<Verified, Rejection> {
    let endpoint = id("store");
    let headers = Headers(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect(),
    );
    let raw = RawDelivery {
        endpoint: &endpoint,
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: now(),
    };
    platform.verify(&raw, keys, now())
}

/// As the receiver gives them on: names in lower case.
pub(crate) fn received(request: &SignedRequest) -> Vec<(String, Vec<u8>)> {
    request
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes()))
        .collect()
}

pub(crate) fn genuine(
    platform: &dyn WebhookPlatform,
    topic: &str,
    payload: &[u8],
    nonce: u64,
) -> VerifiedDelivery {
    let request = signed(platform, topic, payload, nonce);
    match verify(platform, &received(&request), &request.body).expect("genuine") {
        Verified::Delivery(delivery) => *delivery,
        Verified::Ping => panic!("it was signed"),
    }
}

fn assert_refused(result: Result<Verified, Rejection>, what: &str) {
    match result {
        Ok(_) => panic!("accepted: {what}"),
        Err(rejection) => assert!(
            rejection.is_unauthorized() || rejection == Rejection::Unreadable,
            "{what}: {rejection:?}"
        ),
    }
}

/// A change of one byte: where, as a part of the length, and by what.
pub(crate) fn change() -> impl Strategy<Value = (prop::sample::Index, u8)> {
    (any::<prop::sample::Index>(), 1_u8..=255)
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn a_changed_byte_of_a_signed_body_is_always_refused(
        case in any::<prop::sample::Index>(),
        (at, by) in change(),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let request = signed(*platform, topic, payload, 1);
        let headers = received(&request);
        prop_assert!(verify(*platform, &headers, &request.body).is_ok(), "the original is genuine");
        let mut body = request.body.to_vec();
        prop_assume!(!body.is_empty());
        let at = at.index(body.len());
        body[at] ^= by;
        assert_refused(verify(*platform, &headers, &body), &format!("{topic}, byte {at}"));
    }

    #[test]
    fn a_changed_byte_of_a_signature_header_is_always_refused(
        case in any::<prop::sample::Index>(),
        (at, by) in change(),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let request = signed(*platform, topic, payload, 1);
        let mut headers = received(&request);
        let Some((_, signature)) = headers.iter_mut().find(|(name, _)| name.contains("signature")) else { return Ok(()) };
        let at = at.index(signature.len());
        signature[at] ^= by;
        assert_refused(verify(*platform, &headers, &request.body), &format!("{topic}, byte {at}"));
    }

    #[test]
    fn a_cut_or_lengthened_body_is_always_refused(
        case in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let request = signed(*platform, topic, payload, 1);
        let headers = received(&request);
        let whole = request.body.to_vec();
        assert_refused(verify(*platform, &headers, &whole[..cut.index(whole.len())]), topic);
        let longer = [&whole[..], &more].concat();
        // Around a token white space means nothing; it is cut off before anything is looked at.
        let same = longer.trim_ascii() == whole.trim_ascii() && verify(*platform, &headers, &longer).is_ok();
        prop_assert!(!same || !headers.iter().any(|(name, _)| name.contains("signature")), "only a token may have more around it");
        if !same {
            assert_refused(verify(*platform, &headers, &longer), topic);
        }
    }

    #[test]
    fn a_secret_that_differs_is_always_refused(
        secret in "[A-Za-z0-9_-]{8,48}",
        (at, by) in change(),
        payload in "\\{\"id\":[1-9][0-9]{0,8}\\}",
    ) {
        let platform = platform("woocommerce").expect("a platform");
        let options = BTreeMap::new();
        let unsigned = Unsigned { topic: "order.updated", payload: payload.as_bytes(), nonce: 1, options: &options };
        let request = platform.sign(&unsigned, &secret, now()).expect("signed");
        let mut other = secret.clone().into_bytes();
        let at = at.index(other.len());
        other[at] = if other[at] == b'a' { b'b' } else { b'a' + by % 2 };
        prop_assume!(other != secret.as_bytes());
        let keys = |secret: &str| [platform.verification_key(secret).expect("a key")];
        let other = String::from_utf8(other).expect("ASCII");
        let headers = received(&request);
        prop_assert!(verify_with(platform, &headers, &request.body, &keys(&secret)).is_ok());
        assert_refused(verify_with(platform, &headers, &request.body, &keys(&other)), "another secret");
    }

    #[test]
    fn random_bytes_and_headers_never_verify_and_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..400),
        headers in prop::collection::vec((header_name(), prop::collection::vec(any::<u8>(), 0..60)), 0..8),
    ) {
        for platform in PLATFORMS {
            if let Ok(Verified::Delivery(delivery)) = verify(*platform, &headers, &body) {
                panic!("no test signed {:?}", delivery.parts().body);
            }
        }
    }

    #[test]
    fn what_looks_like_a_token_never_panics(
        header in token_part(),
        claims in token_part(),
        signature in "[A-Za-z0-9_=-]{0,400}",
    ) {
        for platform in PLATFORMS {
            let body = format!("{header}.{claims}.{signature}");
            prop_assert!(verify(*platform, &[], body.as_bytes()).is_err());
        }
    }
}

/// The last character of a token's signature carries four bits that stand for nothing. A lenient reader would take sixteen
/// spellings for one signature.
#[test]
fn other_base64_form_of_the_same_signature_is_rejected() {
    let token = |last: char| {
        let request = signed(
            platform("wix").expect("a platform"),
            "AppInstalled",
            b"{}",
            1,
        );
        let text = String::from_utf8(request.body.to_vec()).expect("a token is text");
        (!text.ends_with(last)).then(|| format!("{}{last}", &text[..text.len() - 1]))
    };
    let alphabet = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_', '=', '+', '/']);
    let others: Vec<String> = alphabet.filter_map(token).collect();
    assert_eq!(others.len(), 66);
    for other in others {
        assert_refused(
            verify(platform("wix").expect("a platform"), &[], other.as_bytes()),
            &other[other.len() - 5..],
        );
    }
}

fn header_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x-wc-webhook-signature".to_owned()),
        Just("x-wc-webhook-topic".to_owned()),
        Just("x-wc-webhook-resource".to_owned()),
        Just("x-wc-webhook-event".to_owned()),
        Just("x-wc-webhook-id".to_owned()),
        Just("x-wc-webhook-delivery-id".to_owned()),
        Just("content-type".to_owned()),
        "[a-z-]{1,20}",
    ]
}

fn token_part() -> impl Strategy<Value = String> {
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    prop_oneof![
        "[A-Za-z0-9_-]{0,80}",
        Just(r#"{"alg":"RS256"}"#.to_owned()).prop_map(encode),
        json(3).prop_map(move |value| encode(value.to_string())),
    ]
}
