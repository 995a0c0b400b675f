//! Every invalid signature or token gets the same 401.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use support::http::{HttpResponse, Request};
use support::in_process::{APP, FOREIGN_APP, InProcessGateway, SHOP, key, order, token};

use crate::bad_input::{ORDER, SIGNATURE, assert_nothing_kept};

/// An order of the shop whose headers are changed before it is sent.
pub(crate) async fn tampered(
    gateway: &InProcessGateway,
    change: impl Fn(&str, &str) -> Vec<(String, Vec<u8>)>,
) -> HttpResponse {
    let signed = order("order.updated", ORDER, 1);
    let changed = signed
        .headers
        .iter()
        .flat_map(|(name, value)| change(name, value));
    let request = changed.fold(Request::new("POST", SHOP), |request, (name, value)| {
        request.header(&name, value)
    });
    request.body(&signed.body).send(gateway.public).await
}

/// The same with another signature header, or several, or none.
async fn signed_as(gateway: &InProcessGateway, signatures: &[&[u8]]) -> HttpResponse {
    tampered(gateway, |name, value| match name {
        SIGNATURE => signatures
            .iter()
            .map(|signature| (name.to_owned(), signature.to_vec()))
            .collect(),
        _ => vec![(name.to_owned(), value.as_bytes().to_vec())],
    })
    .await
}

/// A token made by hand.
fn made(algorithm: Algorithm, key: &EncodingKey, header: &str, claims: &Value) -> Vec<u8> {
    let message = format!(
        "{}.{}",
        BASE64.encode(header),
        BASE64.encode(claims.to_string())
    );
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("a signature");
    format!("{message}.{signature}").into_bytes()
}

fn claims(more: &Value) -> Value {
    let now = Timestamp::now().as_second();
    let envelope =
        json!({"data": "{}", "instanceId": "site-1", "eventType": "AppInstalled"}).to_string();
    let mut claims = json!({"data": envelope, "iat": now, "exp": now + 3600});
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

/// The response as a sender without keys sees it, without the parts that differ in each response.
fn seen(answer: &HttpResponse) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    headers.sort();
    (answer.status, headers, answer.text().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invalid_signature_or_token_gets_the_same_401() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let good = signed
        .headers
        .iter()
        .find(|(name, _)| name == SIGNATURE)
        .map(|(_, value)| value.clone())
        .expect("signed");
    let other = order("order.updated", r#"{"id":18}"#, 1).headers[6]
        .1
        .clone();
    assert_ne!(other, good);
    let url_safe = format!("-_{}", &good[2..]);
    let spaced = format!("{} {}", &good[..20], &good[20..]);
    let mut answers = vec![("missing".to_owned(), signed_as(&gateway, &[]).await)];
    for bad in [
        &other,
        &good[..40],
        &good[..43],
        &good[1..],
        &url_safe,
        &spaced,
        "",
        "=",
        "sha256=",
        &"0".repeat(64),
        &"é".repeat(22),
    ] {
        answers.push((
            format!("signature {bad:?}"),
            signed_as(&gateway, &[bad.as_bytes()]).await,
        ));
    }
    answers.push((
        "twice".to_owned(),
        signed_as(&gateway, &[good.as_bytes(), good.as_bytes()]).await,
    ));
    answers.push((
        "no UTF-8".to_owned(),
        signed_as(&gateway, &[b"\xff\xfe\xfd"]).await,
    ));

    let rsa = EncodingKey::from_rsa_pem(key("wix", "signing").as_bytes()).expect("a key");
    let shared = EncodingKey::from_secret(key("wix", "verification").as_bytes());
    let now = Timestamp::now().as_second();
    let nothing = json!({});
    let rs256 = r#"{"kid":"k","alg":"RS256"}"#;
    let unsigned = format!(
        "{}.{}.",
        BASE64.encode(r#"{"alg":"none"}"#),
        BASE64.encode(claims(&nothing).to_string())
    );
    let cut = made(Algorithm::RS256, &rsa, rs256, &claims(&nothing));
    for (what, body) in [
        (
            "RS512",
            made(
                Algorithm::RS512,
                &rsa,
                r#"{"alg":"RS512"}"#,
                &claims(&nothing),
            ),
        ),
        (
            "PS256",
            made(
                Algorithm::PS256,
                &rsa,
                r#"{"alg":"PS256"}"#,
                &claims(&nothing),
            ),
        ),
        (
            "HS256 with the public key",
            made(
                Algorithm::HS256,
                &shared,
                r#"{"alg":"HS256"}"#,
                &claims(&nothing),
            ),
        ),
        (
            "HS256 that calls itself RS256",
            made(Algorithm::HS256, &shared, rs256, &claims(&nothing)),
        ),
        ("none", unsigned.clone().into_bytes()),
        (
            "none that calls itself RS256",
            unsigned
                .replacen(
                    &BASE64.encode(r#"{"alg":"none"}"#),
                    &BASE64.encode(rs256),
                    1,
                )
                .into_bytes(),
        ),
        (
            "expired",
            made(
                Algorithm::RS256,
                &rsa,
                rs256,
                &claims(&json!({"exp": now - 120})),
            ),
        ),
        (
            "expiring at no time",
            made(
                Algorithm::RS256,
                &rsa,
                rs256,
                &claims(&json!({"exp": "soon"})),
            ),
        ),
        (
            "not yet valid",
            made(
                Algorithm::RS256,
                &rsa,
                rs256,
                &claims(&json!({"nbf": now + 3600})),
            ),
        ),
        ("truncated", cut[..cut.len() - 9].to_vec()),
        ("a part too many", [&cut[..], b".x"].concat()),
    ] {
        answers.push((
            what.to_owned(),
            Request::new("POST", APP)
                .body(body)
                .send(gateway.public)
                .await,
        ));
    }
    let genuine = token("AppInstalled", "{}", "site-1");
    answers.push((
        "another app's key".to_owned(),
        gateway.post(FOREIGN_APP, &genuine).await,
    ));

    for (what, answer) in &answers {
        assert_eq!(answer.text(), r#"{"error":"unauthorized"}"#, "{what}");
        assert_eq!(seen(answer), seen(&answers[0].1), "{what}");
    }
    assert_eq!(answers[0].1.status, 401);
    assert_nothing_kept(&gateway).await;
    // The operator sees the reason, the sender does not.
    let shop = gateway.get("/api/connections/shop-a").await.json();
    let reasons: Vec<&str> = shop["rejections"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|r| r["reason"].as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "signature_missing",
            "signature_wrong",
            "signature_malformed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_token_with_an_invalid_inner_layer_is_a_dead_letter() {
    let gateway = InProcessGateway::start().await;
    let rsa = EncodingKey::from_rsa_pem(key("wix", "signing").as_bytes()).expect("a key");
    let envelope =
        json!({"data": "no JSON", "instanceId": "site-1", "eventType": "AppInstalled"}).to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for data in [json!(envelope), json!("no JSON"), json!(deep), json!(null)] {
        let body = made(
            Algorithm::RS256,
            &rsa,
            r#"{"alg":"RS256"}"#,
            &claims(&json!({"data": data})),
        );
        let answer = Request::new("POST", APP)
            .body(body)
            .send(gateway.public)
            .await;
        assert_eq!(answer.word(), "accepted");
        let delivery = gateway.settled(&answer.delivery()).await;
        assert_eq!(delivery["delivery"]["state"], "dead_lettered");
        assert!(delivery["delivery"]["reason"].is_string());
    }
}
