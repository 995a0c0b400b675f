//! Bodies that are too large, too slow, truncated or encoded.

use serde_json::json;

use support::eventually;
use support::http::{Peer, Request};
use support::in_process::{InProcessGateway, SHOP, order};

use crate::bad_input::{ORDER, SIGNATURE, assert_nothing_kept};

#[tokio::test(flavor = "multi_thread")]
async fn content_length_over_the_limit_is_413_before_the_body() {
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
async fn request_rejected_by_its_headers_is_answered_before_the_body() {
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
        ("POST", "/webhooks/woocommerce/unknown", 404),
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
async fn connection_stays_open_after_a_rejected_complete_body() {
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
        ("/webhooks/woocommerce/unknown", 404),
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
async fn chunked_body_over_the_limit_is_413_before_its_end() {
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
        if !peer.try_write(&chunk).await {
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
async fn content_encoding_other_than_identity_is_415() {
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
async fn body_that_exceeds_the_time_limit_is_408() {
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
async fn truncated_body_is_not_stored() {
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
