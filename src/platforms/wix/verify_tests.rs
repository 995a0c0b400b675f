//! Verification of genuine, forged, expired and malformed tokens.

use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, EncodingKey};

use super::*;
use crate::platforms::contract::WebhookPlatform;
use crate::platforms::signing::Unsigned;
use crate::platforms::wix::key::public_key;

/// A test delivery that the platform's dashboard sent in December 2021. [`GENUINE_KEY`] is the public key of its app.
const GENUINE: &str = "eyJraWQiOiJMR3VhcGtTRCIsImFsZyI6IlJTMjU2In0.eyJkYXRhIjoie1wiZGF0YVwiOlwie1xcXCJhcHBJZFxcXCI6XFxcIjViYzIwNjJkLTAxMGItNDQ4Yy1hNjJhLWQ2YmIyNjljNWE0Y1xcXCIsIFxcXCJvcmlnaW5JbnN0YW5jZUlkXFxcIjpcXFwiMDc4NjRjMTYtM2E2Zi00ZGQyLTk5NzMtMDI4NzA1NzYyYjJjXFxcIn1cIixcImluc3RhbmNlSWRcIjpcIjNiYmNhYmM3LWViYjctNGZjOC04ODI5LTEzZWEwZTE0MjEyM1wiLFwiZXZlbnRUeXBlXCI6XCJBcHBJbnN0YWxsZWRcIn0iLCJpYXQiOjE2NDA3ODg1NTQsImV4cCI6MTY0NDM4ODU1NH0.efOBeS4YXRIFUMOQ1x8AiHX50zrzdmSg3hU03dYFtsXdcf2S_lvu2VlnvxuesEFUoqLTh3ALnMs7gQpLPkCeLscWWOwW6sEuue3ONFFizB92YUDlQGjKAg4duykz37wbFrkak38Gp1k6ghGQGN7GXmoYHRFvHpXlVxONPRn9cgt4SSxVbR4po5aUpbDOjB8VkoUzbtQPiVW2Dv4-L8E4kQSXvbXuDhMwEHWyboFNRB1W7ayQS6_TiXoy4cTu-4PLMFh3Wfg8YnfEmmL56qXbWyutLfPs94gAT2--6vSqJzNhDoauj-nzCQESwAz2VeBeldI_GoVZFt6XFVhgynPwdg";
const GENUINE_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAjUtCVyLGf8M0+qlYWrJv\nNYXpCwV2viCFuf4TJcdxoocZT0GOghRA0q9tYko5Rt4uJXARwn3khou9qKnZYC1+\n7+81HY3JSoY9Hc5FILrYuxhkdYEDwKd2A27x4k4MLlEV9YlU2Vugr3oGE3+smuNl\n6RhPn7gHvdK7cK9Ss1cZIg+icNPjUD+tHiDa4tn4I8uJOQqvA+PNXok3AntDZvYD\nETlQctvZVLV5cNvP81JdYOf4huItqoZkATtXwJE8Cm0cvu9vm0IqZCn4KHxjTnBk\nCMY5DcX4T+CyW9klcdmWINxGRQI8VAHORuvGi2gKTK0zZvk7FZHOTjLfEMdgJ/uY\nvwIDAQAB\n-----END PUBLIC KEY-----";
const SIGNING: &str = include_str!("../../../fixtures/keys/wix/signing.key");
const VERIFICATION: &str = include_str!("../../../fixtures/keys/wix/verification.key");
const NOW: i64 = 1_700_000_000;
const CLAIMS: &str =
    r#"{"data":"{\"data\":\"{}\",\"instanceId\":\"i\",\"eventType\":\"AppInstalled\"}"}"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("the time should be valid")
}

fn key(pem: &str) -> VerificationKey {
    VerificationKey::Rs256(Box::new(
        public_key(pem).expect("the key should be valid").decoding,
    ))
}

fn verified(
    body: &[u8],
    keys: &[VerificationKey],
    now: Timestamp,
) -> Result<DeliveryParts, Rejection> {
    let endpoint = ConnectionId::new("my-app").expect("the connection id should be valid");
    let raw = RawDelivery {
        endpoint: &endpoint,
        headers: crate::delivery::Headers::default(),
        body: Bytes::copy_from_slice(body),
        received_at: now,
    };
    match verify(&raw, keys, now)? {
        Verified::Ping => panic!("Wix sends no pings"),
        Verified::Delivery(delivery) => Ok(delivery.parts().clone()),
    }
}

fn outcome(body: impl AsRef<[u8]>) -> Result<DeliveryParts, Rejection> {
    verified(body.as_ref(), &[key(VERIFICATION)], at(NOW))
}

fn signed_as(algorithm: Algorithm, header: &str, claims: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = EncodingKey::from_rsa_pem(SIGNING.as_bytes()).expect("the key should be valid");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm)
        .expect("the claims should be signed");
    format!("{message}.{signature}")
}

fn signed(claims: &str) -> String {
    signed_as(
        Algorithm::RS256,
        r#"{"kid":"testonly","alg":"RS256"}"#,
        claims,
    )
}

fn with(members: &str) -> String {
    signed(&format!("{{{members},{}", &CLAIMS[1..]))
}

#[test]
fn genuine_delivery_is_accepted() {
    let parts = verified(GENUINE.as_bytes(), &[key(GENUINE_KEY)], at(1_641_000_000))
        .expect("the token should be accepted");
    assert_eq!(
        (parts.platform, parts.topic.as_str()),
        ("wix", "AppInstalled")
    );
    assert_eq!(
        parts.connection.as_str(),
        "3bbcabc7-ebb7-4fc8-8829-13ea0e142123"
    );
    assert_eq!(parts.endpoint.as_str(), "my-app");
    // The payload becomes the body, and the other members of each layer become headers.
    let payload = r#"{"appId":"5bc2062d-010b-448c-a62a-d6bb269c5a4c", "originInstanceId":"07864c16-3a6f-4dd2-9973-028705762b2c"}"#;
    assert_eq!(parts.body, payload);
    let envelope =
        r#"{"eventType":"AppInstalled","instanceId":"3bbcabc7-ebb7-4fc8-8829-13ea0e142123"}"#;
    let claims = r#"{"exp":1644388554,"iat":1640788554}"#;
    assert_eq!(
        parts.headers,
        [
            ("claims", claims.to_owned()),
            ("envelope", envelope.to_owned())
        ]
    );
    // The same token is rejected after its `exp`, and with the key of another app.
    assert_eq!(
        verified(
            GENUINE.as_bytes(),
            &[key(GENUINE_KEY)],
            "2026-11-21T00:00:00Z"
                .parse()
                .expect("the time should be valid")
        )
        .err(),
        Some(Rejection::TokenExpired)
    );
    assert_eq!(
        verified(GENUINE.as_bytes(), &[key(VERIFICATION)], at(1_641_000_000)).err(),
        Some(Rejection::SignatureWrong)
    );
}

#[test]
fn signature_by_any_of_the_keys_is_accepted() {
    let keys = [key(GENUINE_KEY), key(VERIFICATION)];
    assert!(verified(signed(CLAIMS).as_bytes(), &keys, at(NOW)).is_ok());
    assert_eq!(
        verified(signed(CLAIMS).as_bytes(), &[], at(NOW)).err(),
        Some(Rejection::SignatureWrong)
    );
}

#[test]
fn token_with_any_changed_byte_is_rejected() {
    let token = signed(CLAIMS);
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        assert!(outcome(&bytes).is_err(), "byte {index}");
    }
    let mut parts: Vec<&str> = token.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(CLAIMS.replace("AppInstalled", "AppRemoved"));
    parts[1] = &other;
    assert_eq!(
        outcome(parts.join(".")).err(),
        Some(Rejection::SignatureWrong)
    );
}

#[test]
fn other_algorithm_is_rejected_even_with_the_right_key() {
    for (algorithm, name) in [
        (Algorithm::RS512, "RS512"),
        (Algorithm::RS384, "RS384"),
        (Algorithm::PS256, "PS256"),
        (Algorithm::RS256, "rs256"),
    ] {
        let token = signed_as(algorithm, &format!(r#"{{"alg":"{name}"}}"#), CLAIMS);
        assert_eq!(
            outcome(token).err(),
            Some(Rejection::AlgorithmRefused),
            "{name}"
        );
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":["RS256"]}"#,
        r#"{"alg":"RS256","alg":"none"}"#,
        r#"{"alg":"RS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"RS256","crit":[]}"#,
    ] {
        let token = signed_as(Algorithm::RS256, header, CLAIMS);
        assert_eq!(
            outcome(token).err(),
            Some(Rejection::AlgorithmRefused),
            "{header}"
        );
    }
    // The header names RS256, but the signature is made with PS256.
    let token = signed_as(Algorithm::PS256, r#"{"alg":"RS256"}"#, CLAIMS);
    assert_eq!(outcome(token).err(), Some(Rejection::SignatureWrong));
}

#[test]
fn public_key_as_hmac_secret_is_rejected() {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
        URL_SAFE_NO_PAD.encode(CLAIMS)
    );
    let der = STANDARD
        .decode(
            VERIFICATION
                .lines()
                .filter(|l| !l.starts_with('-'))
                .collect::<String>(),
        )
        .expect("the key should be base64");
    for secret in [
        VERIFICATION.as_bytes(),
        VERIFICATION.trim().as_bytes(),
        &der,
    ] {
        let key = EncodingKey::from_secret(secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256)
            .expect("the claims should be signed");
        assert_eq!(
            outcome(format!("{message}.{signature}")).err(),
            Some(Rejection::AlgorithmRefused)
        );
        let as_rs256 = message.replacen(
            &URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
            &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
            1,
        );
        assert_eq!(
            outcome(format!("{as_rs256}.{signature}")).err(),
            Some(Rejection::SignatureWrong)
        );
    }
    for none in ["none", "None", "NONE", "nOnE"] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{none}"}}"#));
        let token = format!("{header}.{}.", URL_SAFE_NO_PAD.encode(CLAIMS));
        assert_eq!(
            outcome(token).err(),
            Some(Rejection::AlgorithmRefused),
            "{none}"
        );
    }
    let hmac = VerificationKey::Rs256(Box::new(DecodingKey::from_secret(b"x")));
    assert_eq!(
        verified(signed(CLAIMS).as_bytes(), &[hmac], at(NOW)).err(),
        Some(Rejection::SignatureWrong)
    );
}

#[test]
fn missing_and_malformed_signatures_have_distinct_rejections() {
    let token = signed(CLAIMS);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("the token should have three parts")
    };
    for (body, rejection) in [
        (format!("{header}.{payload}."), Rejection::SignatureMissing),
        (format!("{header}.{payload}"), Rejection::SignatureMalformed),
        (header.to_owned(), Rejection::SignatureMalformed),
        (
            format!("{token}.{signature}"),
            Rejection::SignatureMalformed,
        ),
        (
            format!("{header}.{payload}.{signature}=="),
            Rejection::SignatureMalformed,
        ),
        (
            format!("{header}.{payload}.not base64"),
            Rejection::SignatureMalformed,
        ),
        (
            format!("{header}.!{payload}.{signature}"),
            Rejection::SignatureMalformed,
        ),
        (
            token[..token.len() - 10].to_owned(),
            Rejection::SignatureWrong,
        ),
        (
            format!("{header}..{signature}"),
            Rejection::SignatureMalformed,
        ),
        (String::new(), Rejection::Unreadable),
        (" ".to_owned(), Rejection::Unreadable),
        ("hello".to_owned(), Rejection::Unreadable),
        ("a.b.c".to_owned(), Rejection::Unreadable),
        (r#"{"data":{}}"#.to_owned(), Rejection::Unreadable),
        (format!("\"{token}\""), Rejection::Unreadable),
        (
            format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("[1]")),
            Rejection::Unreadable,
        ),
        (format!("Bearer {token}"), Rejection::Unreadable),
    ] {
        assert_eq!(outcome(&body).err(), Some(rejection), "{body}");
    }
    assert_eq!(outcome(b"\xff\xfe").err(), Some(Rejection::Unreadable));
}

#[test]
fn white_space_around_a_token_is_ignored() {
    let token = signed(CLAIMS);
    let plain = outcome(&token).expect("the token should be accepted").key;
    for body in [
        format!("{token}\n"),
        format!(" {token}"),
        format!("\r\n\t{token}\r\n"),
    ] {
        assert_eq!(outcome(&body).map(|parts| parts.key), Ok(plain), "{body:?}");
    }
}

#[test]
fn token_expires_sixty_seconds_after_its_exp() {
    for (exp, ends) in [
        ((NOW - 60).to_string(), false),
        ((NOW - 61).to_string(), true),
        (format!("{}.0", NOW - 60), false),
        (format!("{}.999999999", NOW - 61), true),
        (NOW.to_string(), false),
        (format!("\"{}\"", NOW + 10), true),
        ("null".to_owned(), true),
        ("true".to_owned(), true),
        ("{}".to_owned(), true),
        ("-1".to_owned(), true),
        ("1e300".to_owned(), true),
        ("1.7e9".to_owned(), false),
    ] {
        let found = outcome(with(&format!(r#""exp":{exp}"#))).err();
        assert_eq!(found, ends.then_some(Rejection::TokenExpired), "{exp}");
    }
    assert!(
        outcome(signed(CLAIMS)).is_ok(),
        "a token without `exp` does not expire"
    );
}

#[test]
fn token_is_accepted_from_sixty_seconds_before_its_nbf() {
    for (nbf, early) in [
        ((NOW + 60).to_string(), false),
        ((NOW + 61).to_string(), true),
        (format!("{}.000000001", NOW + 60), true),
        ((NOW - 1000).to_string(), false),
        ("\"soon\"".to_owned(), true),
        ("null".to_owned(), true),
    ] {
        let found = outcome(with(&format!(r#""nbf":{nbf}"#))).err();
        assert_eq!(found, early.then_some(Rejection::TokenNotYetValid), "{nbf}");
    }
}

#[test]
fn issuer_audience_and_issue_time_are_not_checked() {
    for members in [
        r#""iss":"unknown","aud":["x"]"#,
        r#""aud":7"#,
        r#""iat":9999999999"#,
        r#""iat":"x""#,
        r#""sub":{}"#,
    ] {
        assert!(outcome(with(members)).is_ok(), "{members}");
    }
}

#[test]
fn claims_that_are_not_an_object_are_unreadable() {
    for claims in ["[]", "7", "null", "\"x\"", "{", "", "{\"a\":}"] {
        let expected = if claims.is_empty() {
            Rejection::SignatureMalformed
        } else {
            Rejection::Unreadable
        };
        assert_eq!(outcome(signed(claims)).err(), Some(expected), "{claims}");
    }
}

#[test]
fn valid_token_with_unreadable_layers_is_stored() {
    for claims in [
        "{}",
        r#"{"data":null}"#,
        r#"{"data":"x"}"#,
        r#"{"data":"{\"data\":\"x\",\"eventType\":\"AppInstalled\"}"}"#,
        r#"{"data":"\ud800"}"#,
    ] {
        let parts = outcome(signed(claims)).expect("the token should be accepted");
        assert_eq!(parts.connection.as_str(), "my-app", "{claims}");
        assert_eq!(parts.body, claims);
    }
    let deep = format!(
        r#"{{"data":{}{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert_eq!(
        outcome(signed(&deep))
            .expect("the token should be accepted")
            .topic,
        ""
    );
}

/// The delivery key of a signed payload. `second` is the token's `iat`.
fn key_of(topic: &str, payload: &str, options: &[(&str, &str)], second: i64) -> DeliveryKey {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce: 1,
        options: &options,
    };
    let request = crate::platforms::wix::Wix
        .sign(&unsigned, SIGNING, at(second))
        .expect("the payload should be signed");
    verified(&request.body, &[key(VERIFICATION)], at(NOW))
        .expect("the token should be accepted")
        .key
}

#[test]
fn key_of_a_flat_event_depends_on_its_content_and_iat() {
    let payload = r#"{"appId":"a"}"#;
    let same = key_of("AppInstalled", payload, &[], NOW);
    assert_eq!(same, key_of("AppInstalled", payload, &[], NOW));
    assert_eq!(
        same,
        key_of("AppInstalled", payload, &[("layers", "objects")], NOW)
    );
    for (topic, payload, options, second) in [
        ("AppInstalled", payload, [].as_slice(), NOW - 1),
        ("AppInstalled", payload, &[], NOW + 3600),
        ("AppInstalled", r#"{"appId":"b"}"#, &[], NOW),
        ("AppRemoved", payload, &[], NOW),
        ("AppInstalled", payload, &[("instance_id", "another")], NOW),
    ] {
        let other = key_of(topic, payload, options, second);
        assert_ne!(same, other, "{topic} {payload} {options:?} {second}");
    }
}

#[test]
fn key_of_a_domain_event_depends_on_its_event_id() {
    let event = |id: &str, entity: &str| {
        format!(r#"{{"id":"{id}","entityFqdn":"f","slug":"s","entityId":"{entity}"}}"#)
    };
    let same = key_of("f_s", &event("e", "1"), &[], NOW);
    assert_eq!(same, key_of("f_s", &event("e", "2"), &[], NOW - 1));
    assert_ne!(same, key_of("f_s", &event("e2", "1"), &[], NOW));
    let elsewhere = [("instance_id", "x")];
    assert_ne!(same, key_of("f_s", &event("e", "1"), &elsewhere, NOW));
    let nameless = r#"{"entityFqdn":"f","slug":"s","entityId":"1"}"#;
    let first = key_of("f_s", nameless, &[], NOW);
    assert_eq!(first, key_of("f_s", nameless, &[], NOW));
    assert_ne!(first, key_of("f_s", nameless, &[], NOW - 1));
}

#[test]
fn token_without_iat_is_never_a_duplicate() {
    let received = |token: &str, nanosecond: i128| {
        let now = Timestamp::from_nanosecond(nanosecond).expect("the time should be valid");
        verified(token.as_bytes(), &[key(VERIFICATION)], now)
            .expect("the token should be accepted")
            .key
    };
    let nanosecond = i128::from(NOW) * 1_000_000_000;
    for token in [signed(CLAIMS), with(r#""iat":"x""#), signed("{}")] {
        assert_ne!(
            received(&token, nanosecond),
            received(&token, nanosecond + 1)
        );
    }
    for iat in [
        r#""iat":1700000000"#,
        r#""iat":1.7e9"#,
        r#""iat":1700000000.0"#,
    ] {
        assert_eq!(
            received(&with(iat), nanosecond),
            received(&with(r#""iat":1700000000"#), nanosecond + 1),
            "{iat}"
        );
    }
    let broken = signed(r#"{"data":"no JSON","iat":1700000000}"#);
    assert_eq!(
        received(&broken, nanosecond),
        received(&broken, nanosecond + 1)
    );
}

#[test]
fn upper_and_lower_case_of_an_instance_id_are_equal() {
    let (lower, upper) = (
        "3bbcabc7-ebb7-4fc8-8829-13ea0e142123",
        "3BBCABC7-EBB7-4FC8-8829-13EA0E142123",
    );
    let named = |id| key_of("AppRemoved", "{}", &[("instance_id", id)], NOW);
    assert_eq!(named(lower), named(upper));
    let claims = format!(r#"{{"data":{{"data":{{}},"instanceId":"{upper}"}}}}"#);
    assert_eq!(
        outcome(signed(&claims))
            .expect("the token should be accepted")
            .connection
            .as_str(),
        lower
    );
}
