//! Invalid requests get the response of the contract, and nothing is stored.

use serde_json::{Value, json};

use support::http::Request;
use support::in_process::{APP, InProcessGateway, SHOP, order};

use crate::bad_signatures::tampered;

pub(crate) const SIGNATURE: &str = "X-WC-Webhook-Signature";
pub(crate) const ORDER: &str =
    r#"{"id":17,"status":"processing","total":"19.90","currency":"EUR"}"#;

pub(crate) async fn assert_nothing_kept(gateway: &InProcessGateway) {
    assert_eq!(
        gateway.kept().await,
        Vec::<Value>::new(),
        "what was refused is not stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_body_that_is_not_json_is_a_dead_letter() {
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
async fn body_that_is_not_a_token_is_400() {
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
async fn repeated_or_non_text_header_is_400() {
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
async fn unusual_json_with_a_valid_signature_is_stored_byte_for_byte() {
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
