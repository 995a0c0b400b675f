//! What is let in, and what is not.

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::delivery::{ConnectionId, Headers};

type Pairs<'a> = Vec<(&'a str, &'a [u8])>;

const SECRET: &str = "a&amp;b secret";
const BODY: &[u8] = br#"{"id":18}"#;

fn signature(key: &[u8], body: &[u8]) -> String {
    STANDARD.encode(
        keyed(key)
            .expect("a key")
            .chain_update(body)
            .finalize()
            .into_bytes(),
    )
}

fn tried(headers: Pairs<'_>, body: &[u8], secrets: &[&str]) -> Result<Verified, Rejection> {
    let endpoint = ConnectionId::new("shop-a").expect("an id");
    let raw = RawDelivery {
        endpoint: &endpoint,
        headers: Headers(headers),
        body: Bytes::copy_from_slice(body),
        received_at: Timestamp::UNIX_EPOCH,
    };
    let keys: Vec<_> = secrets
        .iter()
        .map(|secret| key(secret).expect("a key"))
        .collect();
    verify(&raw, &keys)
}

fn parts(headers: Pairs<'_>, body: &[u8]) -> DeliveryParts {
    match tried(headers, body, &[SECRET]) {
        Ok(Verified::Delivery(delivery)) => delivery.parts().clone(),
        other => panic!("no delivery: {other:?}"),
    }
}

fn refusal(headers: Pairs<'_>, body: &[u8]) -> Rejection {
    tried(headers, body, &[SECRET]).expect_err("a refusal")
}

#[test]
fn either_reading_of_any_valid_secret_lets_in() {
    for reading in [&b"a&amp;b secret"[..], b"a&b secret"] {
        let signature = signature(reading, BODY);
        let headers = vec![(SIGNATURE, signature.as_bytes())];
        assert!(tried(headers.clone(), BODY, &["previous", SECRET]).is_ok());
        assert_eq!(
            tried(headers.clone(), BODY, &["previous"]).expect_err("a refusal"),
            Rejection::SignatureWrong
        );
        assert_eq!(
            tried(headers, BODY, &[]).expect_err("a refusal"),
            Rejection::SignatureWrong
        );
    }
    assert!(key("").is_err());
}

#[test]
fn a_changed_byte_anywhere_is_a_wrong_signature() {
    let good = signature(b"a&b secret", BODY);
    for at in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[at] ^= 1;
        assert_eq!(
            refusal(vec![(SIGNATURE, good.as_bytes())], &body),
            Rejection::SignatureWrong
        );
    }
    let longer = [BODY, b"\n"].concat();
    assert_eq!(
        refusal(vec![(SIGNATURE, good.as_bytes())], &longer),
        Rejection::SignatureWrong
    );
    let other = if good.starts_with('A') { "B" } else { "A" };
    let changed = format!("{other}{}", &good[1..]);
    assert_eq!(
        refusal(vec![(SIGNATURE, changed.as_bytes())], BODY),
        Rejection::SignatureWrong
    );
}

#[test]
fn signature_has_44_characters_of_base64() {
    let good = signature(b"a&b secret", BODY);
    let url_safe = format!("-_{}", &good[2..]);
    let spaced = format!("{} {}", &good[..20], &good[20..]);
    let unpadded = good.trim_end_matches('=').to_owned();
    let hexadecimal = "0".repeat(64);
    for bad in [
        url_safe.as_str(),
        &spaced,
        &unpadded,
        &hexadecimal,
        "",
        "=",
        &good[..40],
        &format!("{good}{good}"),
    ] {
        assert_eq!(
            refusal(vec![(SIGNATURE, bad.as_bytes())], BODY),
            Rejection::SignatureMalformed,
            "{bad}"
        );
    }
    assert_eq!(
        refusal(vec![(SIGNATURE, b"\xff")], BODY),
        Rejection::SignatureMalformed
    );
    let twice = vec![(SIGNATURE, good.as_bytes()), (SIGNATURE, good.as_bytes())];
    assert_eq!(refusal(twice, BODY), Rejection::SignatureMalformed);
    // White space around a header's value belongs to HTTP, not to the value.
    let padded = format!("  {good}\t");
    assert!(tried(vec![(SIGNATURE, padded.as_bytes())], BODY, &[SECRET]).is_ok());
}

#[test]
fn only_the_unsigned_form_is_a_ping() {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let charset: &[u8] = b"application/x-www-form-urlencoded; charset=UTF-8";
    for content_type in [
        FORM,
        charset,
        b"Application/X-WWW-Form-Urlencoded;charset=utf-8",
    ] {
        let headers = vec![("content-type", content_type), ("x-plugin", b"1")];
        assert!(matches!(
            tried(headers, b"webhook_id=82", &[SECRET]),
            Ok(Verified::Ping)
        ));
    }
    let long = format!("webhook_id={}", "1".repeat(21));
    for body in [
        &b"webhook_id="[..],
        b"webhook_id=1\n",
        b"webhook_id=-1",
        b"webhook_id=1&x=2",
        b"id=1",
        b"",
        long.as_bytes(),
    ] {
        assert_eq!(
            refusal(vec![("content-type", FORM)], body),
            Rejection::SignatureMissing
        );
    }
    for content_type in [
        &b"application/json"[..],
        b"text/plain",
        b"application/x-www-form-urlencodedx",
        b"",
    ] {
        assert_eq!(
            refusal(vec![("content-type", content_type)], b"webhook_id=1"),
            Rejection::SignatureMissing
        );
    }
    assert_eq!(
        refusal(vec![], b"webhook_id=1"),
        Rejection::SignatureMissing
    );
    assert_eq!(
        refusal(vec![("content-type", b"application/json")], BODY),
        Rejection::SignatureMissing
    );
    // With a signature it is a delivery.
    let signed = signature(b"a&b secret", b"webhook_id=1");
    let headers = vec![("content-type", FORM), (SIGNATURE, signed.as_bytes())];
    assert_eq!(&parts(headers, b"webhook_id=1").body[..], b"webhook_id=1");
}

#[test]
fn headers_that_identify_a_delivery_are_single_and_text() {
    let good = signature(b"a&b secret", BODY);
    for name in [TOPIC, WEBHOOK_ID, DELIVERY_ID] {
        let twice = vec![(SIGNATURE, good.as_bytes()), (name, b"1"), (name, b"1")];
        assert_eq!(refusal(twice, BODY), Rejection::HeaderAmbiguous);
        assert_eq!(
            refusal(vec![(SIGNATURE, good.as_bytes()), (name, b"\xff")], BODY),
            Rejection::HeaderAmbiguous
        );
        // The signature is checked first, so a client without a key learns nothing.
        assert_eq!(
            refusal(vec![(SIGNATURE, &[b'A'; 44][..]), (name, b"\xff")], BODY),
            Rejection::SignatureMalformed
        );
    }
    let source = vec![
        (SIGNATURE, good.as_bytes()),
        ("x-wc-webhook-source", b"a"),
        ("x-wc-webhook-source", b"b"),
    ];
    assert!(parts(source, BODY).headers.is_empty());
}

#[test]
fn a_signed_body_is_accepted_whatever_it_is() {
    let deep = vec![b'['; 100_000];
    for body in [
        &deep[..],
        b" {\"id\":1} ",
        b"null",
        b"\"\\ud800\"",
        b"",
        b"{",
        b"{\"id\":1}x",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"<html>",
    ] {
        let signed = signature(b"a&b secret", body);
        let parts = parts(vec![(SIGNATURE, signed.as_bytes())], body);
        assert_eq!(&parts.body[..], body);
    }
}

#[test]
fn the_topic_is_named_by_its_header_or_by_its_halves() {
    let good = signature(b"a&b secret", BODY);
    let topic = |more: Pairs<'static>| {
        parts([vec![(SIGNATURE, good.as_bytes())], more].concat(), BODY).topic
    };
    assert_eq!(
        topic(vec![
            (TOPIC, b"order.deleted"),
            (RESOURCE, b"x"),
            (EVENT, b"y")
        ]),
        "order.deleted"
    );
    assert_eq!(
        topic(vec![(RESOURCE, b"order"), (EVENT, b"deleted")]),
        "order.deleted"
    );
    assert_eq!(topic(vec![(RESOURCE, b"order")]), "");
    assert_eq!(topic(vec![]), "");
    assert_eq!(topic(vec![(TOPIC, &[b'x'; 201])]), "");
    assert_eq!(topic(vec![(TOPIC, b"order\x01updated")]), "");
}

#[test]
fn deliveries_with_one_delivery_id_have_different_keys() {
    let made = |topic: &[u8], webhook: &[u8], delivery: &[u8], body: &[u8]| {
        let good = signature(b"a&b secret", body);
        parts(
            vec![
                (SIGNATURE, good.as_bytes()),
                (TOPIC, topic),
                (WEBHOOK_ID, webhook),
                (DELIVERY_ID, delivery),
            ],
            body,
        )
        .key
    };
    let first = made(b"order.updated", b"1", b"d", BODY);
    assert_eq!(first, made(b"order.updated", b"1", b"d", BODY));
    for other in [
        made(b"order.created", b"1", b"d", BODY),
        made(b"order.updated", b"2", b"d", BODY),
        made(b"order.updated", b"1", b"e", BODY),
        made(b"order.updated", b"1", b"d", br#"{"id":19}"#),
        made(b"order.updated", b"1d", b"", BODY),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn long_headers_are_cut() {
    let good = signature(b"a&b secret", BODY);
    let agent = "é".repeat(400);
    let kept = parts(
        vec![
            (SIGNATURE, good.as_bytes()),
            ("user-agent", agent.as_bytes()),
            ("cookie", b"x"),
        ],
        BODY,
    )
    .headers;
    assert_eq!(kept, [("user-agent", "é".repeat(256))]);
}

#[test]
fn body_in_another_form_than_wordpress_writes_was_reencoded() {
    let written = r#"{"name":"Caf\u00e9 \"A\\","url":"https:\/\/shop.example\/?a=1","id":18}"#;
    let good = signature(b"a&b secret", written.as_bytes());
    let refused = |body: &str| refusal(vec![(SIGNATURE, good.as_bytes())], body.as_bytes());
    for reencoded in [
        r#"{"name":"Café \"A\\","url":"https:\/\/shop.example\/?a=1","id":18}"#,
        r#"{"name":"Caf\u00e9 \"A\\","url":"https://shop.example/?a=1","id":18}"#,
    ] {
        assert_eq!(refused(reencoded), Rejection::BodyReencoded, "{reencoded}");
        assert!(Rejection::BodyReencoded.is_unauthorized());
    }
    // What the encoder might have written, with another secret.
    for own in [
        r#"{"name":"Caf\u00e9 \"A\\","id":19}"#,
        r#"{"url":"https:\/\/shop.example\/"}"#,
        "a/b",
    ] {
        assert_eq!(refused(own), Rejection::SignatureWrong, "{own}");
    }
}
