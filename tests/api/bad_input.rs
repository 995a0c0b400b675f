//! Bad input and what it gets: the answer of the contract, and nothing stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use support::eventually;
use support::http::{Answer, Peer, Request};
use support::in_process::{APP, FOREIGN_APP, InProcessGateway, SHOP, key, order, token};

const SIGNATURE: &str = "X-WC-Webhook-Signature";
const ORDER: &str = r#"{"id":17,"status":"processing","total":"19.90","currency":"EUR"}"#;

/// An order of the shop whose headers are changed before it is sent.
async fn tampered(
    gateway: &InProcessGateway,
    change: impl Fn(&str, &str) -> Vec<(String, Vec<u8>)>,
) -> Answer {
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
async fn signed_as(gateway: &InProcessGateway, signatures: &[&[u8]]) -> Answer {
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

/// What a stranger sees: everything but what differs in every answer.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    headers.sort();
    (answer.status, headers, answer.text().to_owned())
}

async fn assert_nothing_kept(gateway: &InProcessGateway) {
    assert_eq!(
        gateway.kept().await,
        Vec::<Value>::new(),
        "what was refused is not stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_signature_or_token_the_answer_is_one_and_the_same_401() {
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
    // We know what the stranger does not.
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
async fn a_signed_body_that_is_no_json_is_a_dead_letter() {
    let gateway = InProcessGateway::start().await;
    for (nonce, (body, reason)) in (1..).zip([
        ("", "empty_body"),
        (" ", "empty_body"),
        ("{", "not_json"),
        ("<html>", "not_json"),
        ("webhook_id=1", "not_json"),
        ("{\"id\":1}x", "not_json"),
        ("Notice: Undefined index\n{\"id\":1}", "not_json"),
    ]) {
        let id = gateway.order("order.updated", body, nonce).await;
        let delivery = gateway.settled(&id).await;
        assert_eq!(delivery["delivery"]["state"], "dead_lettered", "{body:?}");
        assert_eq!(delivery["delivery"]["reason"], reason, "{body:?}");
        assert_eq!(delivery["body"], body, "as it was received");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_400() {
    let gateway = InProcessGateway::start().await;
    for body in [
        &b""[..],
        b" ",
        b"hello",
        b"a.b.c",
        br#"{"data":"{}"}"#,
        b"\xff\xfe",
        b"webhook_id=1",
    ] {
        let answer = Request::new("POST", APP)
            .body(body)
            .send(gateway.public)
            .await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("unreadable")),
            "{body:?}"
        );
    }
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_stands_twice_or_is_no_text_is_400() {
    let gateway = InProcessGateway::start().await;
    for ambiguous in [
        "X-WC-Webhook-Topic",
        "X-WC-Webhook-ID",
        "X-WC-Webhook-Delivery-ID",
    ] {
        let twice = tampered(&gateway, |name, value| {
            vec![
                (name.to_owned(), value.as_bytes().to_vec());
                if name == ambiguous { 2 } else { 1 }
            ]
        });
        let twice = twice.await;
        assert_eq!(
            (twice.status, &twice.json()["error"]),
            (400, &json!("unreadable")),
            "{ambiguous} twice"
        );
        let no_text = tampered(&gateway, |name, value| {
            vec![(
                name.to_owned(),
                if name == ambiguous {
                    b"\xff\xfe".to_vec()
                } else {
                    value.as_bytes().to_vec()
                },
            )]
        });
        let no_text = no_text.await;
        assert_eq!(
            (no_text.status, &no_text.json()["error"]),
            (400, &json!("unreadable")),
            "{ambiguous} is no text"
        );
    }
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_platform_or_connection_is_404() {
    let gateway = InProcessGateway::start().await;
    for path in [
        "/webhooks/shopify/shop-a",
        "/webhooks/woocommerce/shop-b",
        "/webhooks/woocommerce/my-app",
        "/webhooks/wix/shop-a",
        "/webhooks/WooCommerce/shop-a",
        "/webhooks/woocommerce/shop-a/more",
        "/webhooks/woocommerce",
        "/webhooks/woocommerce/..%2fshop-a",
        "/webhooks/woocommerce/%ff",
        "/",
    ] {
        let answer = gateway.post(path, &order("order.updated", ORDER, 1)).await;
        assert_eq!(
            (answer.status, answer.text()),
            (404, r#"{"error":"not_found"}"#),
            "{path}"
        );
    }
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_post_is_allowed() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = Request::new(method, SHOP)
            .headers(&signed.headers)
            .body(&signed.body);
        let answer = request.send(gateway.public).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("POST")),
            "{method}"
        );
    }
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_announced_too_large_is_413_before_any_of_it_is_sent() {
    let gateway = InProcessGateway::with(|args| args.max_body_bytes = "64KiB".to_owned()).await;
    for length in ["65537", "8000000000", "18446744073709551615"] {
        let request = Request::new("POST", SHOP)
            .without_length()
            .header("Content-Length", length);
        let answer = request.send(gateway.public).await;
        assert_eq!(
            (answer.status, answer.text()),
            (413, r#"{"error":"too_large"}"#),
            "{length}"
        );
    }
    let padded = format!("{{\"id\":1{}}}", " ".repeat((64 << 10) - 8));
    assert_eq!(padded.len(), 64 << 10);
    let answer = gateway
        .post(SHOP, &order("order.updated", &padded, 1))
        .await;
    assert_eq!(answer.word(), "accepted", "exactly the limit is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_headers_rule_out_is_answered_before_any_of_his_body_is_sent() {
    let gateway = InProcessGateway::start().await;
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for (what, headers) in [
        ("no signature", vec![]),
        (
            "no signature, JSON",
            vec![("Content-Type", "application/json")],
        ),
        ("half a signature", vec![(SIGNATURE, "c2hvcnQ=")]),
        ("two signatures", vec![(SIGNATURE, "x"), (SIGNATURE, "x")]),
    ] {
        let request = headers
            .iter()
            .fold(Request::new("POST", SHOP), |request, (name, value)| {
                request.header(name, value)
            });
        let answer = request
            .without_length()
            .header("Content-Length", "1000000")
            .send(gateway.public)
            .await;
        assert_eq!(
            (answer.status, answer.text()),
            (401, r#"{"error":"unauthorized"}"#),
            "{what}"
        );
    }
    for (method, path, status) in [
        ("GET", SHOP, 405),
        ("PUT", SHOP, 405),
        ("POST", "/webhooks/woocommerce/nobody", 404),
    ] {
        let request = Request::new(method, path)
            .without_length()
            .header("Content-Length", "1000000");
        assert_eq!(
            request.send(gateway.public).await.status,
            status,
            "{method} {path}"
        );
    }
    // A form may be a ping, until it is longer than any.
    let request = Request::new("POST", SHOP)
        .header(form.0, form.1)
        .without_length()
        .header("Content-Length", "1000000");
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(
        &[
            &request.parts(gateway.public).0[..],
            b"webhook_id=123456789012345678901",
        ]
        .concat(),
    )
    .await;
    assert_eq!(peer.answer().await.status, 401);
    let ping = Request::new("POST", SHOP)
        .header(form.0, form.1)
        .body("webhook_id=12345678901234567890");
    assert_eq!(ping.send(gateway.public).await.word(), "ping");
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_that_has_come_whole_costs_no_new_connection() {
    let gateway = InProcessGateway::start().await;
    let kept_open = |request: Request| {
        let (head, body) = request.parts(gateway.public);
        let head = String::from_utf8(head)
            .expect("text")
            .replace("Connection: close\r\n", "");
        [head.as_bytes(), &body].concat()
    };
    let mut peer = Peer::connect(gateway.public).await;
    for (path, status) in [
        (SHOP, 401),
        ("/webhooks/woocommerce/nobody", 404),
        (SHOP, 401),
    ] {
        peer.write(&kept_open(Request::new("POST", path).body("{\"id\":1}")))
            .await;
        assert_eq!(peer.next_answer().await.status, status);
    }
    let signed = order("order.updated", ORDER, 1);
    peer.write(&kept_open(
        Request::new("POST", SHOP)
            .headers(&signed.headers)
            .body(&signed.body),
    ))
    .await;
    assert_eq!(
        peer.next_answer().await.word(),
        "accepted",
        "on the same connection"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_that_grows_too_large_is_413_without_its_end() {
    let gateway = InProcessGateway::with(|args| args.max_body_bytes = "64KiB".to_owned()).await;
    let signed = order("order.updated", ORDER, 1);
    let request = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .without_length()
        .header("Transfer-Encoding", "chunked");
    let (head, _) = request.parts(gateway.public);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&head).await;
    let chunk = [b"2000\r\n", &[b' '; 0x2000][..], b"\r\n"].concat();
    for _ in 0..9 {
        // It may hang up as soon as it knows.
        if !peer.write_if_heard(&chunk).await {
            break;
        }
    }
    let answer = peer.answer().await;
    assert_eq!(
        (answer.status, answer.text()),
        (413, r#"{"error":"too_large"}"#)
    );
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_encoding_is_415_unless_it_is_none() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    for encoding in ["gzip", "br", "deflate", "gzip, identity", "x", "\u{fe}"] {
        let request = Request::new("POST", SHOP)
            .headers(&signed.headers)
            .header("Content-Encoding", encoding);
        let answer = request.body(&signed.body).send(gateway.public).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (415, &json!("unsupported_content_encoding")),
            "{encoding}"
        );
    }
    assert_nothing_kept(&gateway).await;
    let request = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .header("Content-Encoding", "Identity");
    assert_eq!(
        request.body(&signed.body).send(gateway.public).await.word(),
        "accepted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_408() {
    let gateway = InProcessGateway::with(|args| args.body_timeout_seconds = "1".to_owned()).await;
    let signed = order("order.updated", ORDER, 1);
    let (head, body) = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .body(&signed.body)
        .parts(gateway.public);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&head).await;
    peer.write(&body[..10]).await;
    let answer = peer.answer().await;
    assert_eq!(
        (answer.status, answer.text()),
        (408, r#"{"error":"timeout"}"#)
    );
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_not_stored() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let (head, body) = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .body(&signed.body)
        .parts(gateway.public);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&head).await;
    peer.write(&body[..body.len() - 1]).await;
    drop(peer);
    eventually("the broken body is noticed", async || {
        let shop = gateway.get("/api/connections/shop-a").await.json();
        let rejections = shop["rejections"].as_array().expect("a list").clone();
        rejections
            .iter()
            .any(|rejection| rejection["reason"] == "broken_body")
            .then_some(())
    })
    .await;
    assert_nothing_kept(&gateway).await;
    let lying = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .without_length()
        .header("Transfer-Encoding", "chunked");
    let (head, _) = lying.parts(gateway.public);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&[&head[..], b"zz\r\n", &body].concat()).await;
    assert_eq!(peer.answer().await.status, 400, "no chunk has such a size");
    assert_nothing_kept(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_json_with_a_right_signature_is_kept_byte_for_byte() {
    let gateway = InProcessGateway::start().await;
    let deep = format!(
        r#"{{"id":1,"meta":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let strange = [
        deep.as_str(),
        r#"{"id":2,"note":"\ud800 alone"}"#,
        r#"{"id":3,"id":4,"total":"1.00","total":"2.00"}"#,
        r#"{"id":5,"total":123456789012345678901234567890123456789012345678901234567890.5}"#,
        r#"{"id":1e999999999}"#,
        "null",
        "[]",
        r#""text""#,
    ];
    for (nonce, body) in (1..).zip(strange) {
        let id = gateway.order("order.updated", body, nonce).await;
        let delivery = gateway.settled(&id).await;
        assert_eq!(delivery["body"], body, "as it was received");
        match delivery["delivery"]["state"].as_str() {
            Some("logged") => {
                let event = delivery["events"][0]["id"].as_str().expect("an event");
                let event = gateway.get(&format!("/api/events/{event}")).await;
                let raw = body.replace(r"\ud800", r"\ufffd");
                assert!(
                    event.text().contains(&format!("\"raw\":{raw}")),
                    "raw is what came, but for half a surrogate pair: {}",
                    &body[..body.len().min(80)]
                );
            }
            Some("dead_lettered" | "ignored") => {
                assert!(delivery["delivery"]["reason"].is_string())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genuine_token_with_an_unreadable_inner_layer_is_a_dead_letter() {
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
