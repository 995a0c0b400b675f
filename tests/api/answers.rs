//! What is right, and what it gets: 200 for what is on disk, in all the ways in which platforms send.

use serde_json::{Value, json};

use support::http::{HttpResponse, Peer, Request};
use support::in_process::{APP, InProcessGateway, SHOP, order, token};

const ORDER: &str = r#"{"id":17,"status":"processing","total":"19.90","currency":"EUR"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn repeated_delivery_is_a_duplicate_with_the_same_id() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let first = gateway.post(SHOP, &signed).await;
    assert_eq!(first.word(), "accepted");
    assert_eq!(first.header("content-type"), Some("application/json"));
    // On disk now, not soon: the answer said so.
    assert_eq!(gateway.kept().await.len(), 1);
    for _ in 0..2 {
        let again = gateway.post(SHOP, &signed).await;
        assert_eq!(
            (again.word().as_str(), again.delivery()),
            ("duplicate", first.delivery())
        );
    }
    let kept = gateway.kept().await;
    assert_eq!(
        (kept.len(), &kept[0]["duplicates"], &kept[0]["id"]),
        (1, &json!(2), &json!(first.delivery()))
    );
    gateway.settled(&first.delivery()).await;
    assert_eq!(
        gateway.events("subject=order/17", 1).await.len(),
        1,
        "a duplicate is no event"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_body_with_the_same_delivery_id_is_another_delivery() {
    let gateway = InProcessGateway::start().await;
    // The shop's delivery ids have a granularity of one second.
    let first = gateway.order("order.updated", ORDER, 1).await;
    let second = gateway.order("order.updated", r#"{"id":18}"#, 1).await;
    let third = gateway.order("order.created", ORDER, 1).await;
    assert!(first != second && second != third && first != third);
    assert_eq!(gateway.kept().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_copies_of_one_delivery_are_accepted_once() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let sent = futures_util::future::join_all((0..16).map(|_| gateway.post(SHOP, &signed))).await;
    let accepted = sent
        .iter()
        .filter(|answer| answer.word() == "accepted")
        .count();
    let duplicates = sent
        .iter()
        .filter(|answer| answer.word() == "duplicate")
        .count();
    assert_eq!((accepted, duplicates), (1, 15));
    assert_eq!(gateway.kept().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_a_request_id() {
    let gateway = InProcessGateway::start().await;
    let good = gateway.post(SHOP, &order("order.updated", ORDER, 1)).await;
    let wrong = Request::new("POST", SHOP)
        .body("{}")
        .send(gateway.public)
        .await;
    let nowhere = Request::new("GET", "/nowhere").send(gateway.public).await;
    let method = Request::new("GET", SHOP).send(gateway.public).await;
    let admin = gateway.get("/api/events").await;
    let ids: Vec<Option<&str>> = [&good, &wrong, &nowhere, &method, &admin]
        .map(|answer| answer.header("x-request-id"))
        .to_vec();
    for (at, id) in ids.iter().enumerate() {
        assert!(id.is_some_and(|id| !id.is_empty()), "answer {at}");
        assert!(!ids[..at].contains(id), "each has its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_body_with_a_valid_signature_is_accepted() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let request = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .without_length()
        .header("Transfer-Encoding", "chunked");
    let (head, _) = request.parts(gateway.public);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&head).await;
    for byte in &signed.body[..] {
        peer.write(&[b"1\r\n", &[*byte][..], b"\r\n"].concat())
            .await;
    }
    peer.write(b"0\r\n\r\n").await;
    let answer = peer.answer().await;
    assert_eq!(answer.word(), "accepted");
    assert_eq!(gateway.settled(&answer.delivery()).await["body"], ORDER);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_body_that_expects_100_continue_gets_it() {
    let gateway = InProcessGateway::start().await;
    let large = format!(r#"{{"id":17,"note":"{}"}}"#, "x".repeat(2_500_000));
    let signed = order("order.updated", &large, 1);
    let request = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .header("Expect", "100-continue");
    let (head, body) = request.body(&signed.body).parts(gateway.public);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&head).await;
    assert_eq!(peer.head().await.status, 100, "before any of the body");
    peer.write(&body).await;
    let answer = peer.answer().await;
    assert_eq!(answer.word(), "accepted");
    assert_eq!(
        gateway.settled(&answer.delivery()).await["delivery"]["bytes"],
        json!(large.len())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn body_sent_before_100_continue_is_accepted() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let request = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .header("Expect", "100-Continue");
    assert_eq!(
        request.body(&signed.body).send(gateway.public).await.word(),
        "accepted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_request_is_accepted() {
    let gateway = InProcessGateway::start().await;
    let signed = order("order.updated", ORDER, 1);
    let (head, body) = Request::new("POST", SHOP)
        .headers(&signed.headers)
        .body(&signed.body)
        .parts(gateway.public);
    let head = String::from_utf8(head)
        .expect("text")
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&[head.as_bytes(), &body].concat()).await;
    assert_eq!(peer.answer().await.word(), "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_is_200_and_is_not_stored() {
    let gateway = InProcessGateway::start().await;
    for content_type in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
    ] {
        let ping = Request::new("POST", SHOP)
            .header("Content-Type", content_type)
            .header("User-Agent", "WooCommerce/11.0.1 Hookshot (WordPress/7.1)")
            .body("webhook_id=82");
        let answer = ping.send(gateway.public).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, r#"{"status":"ping"}"#),
            "{content_type}"
        );
    }
    for (content_type, body) in [
        ("application/json", "webhook_id=82"),
        ("application/x-www-form-urlencoded", "webhook_id=82&x=1"),
    ] {
        let answer = Request::new("POST", SHOP)
            .header("Content-Type", content_type)
            .body(body)
            .send(gateway.public)
            .await;
        assert_eq!(answer.status, 401, "{content_type} {body}");
    }
    assert_eq!(gateway.kept().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn token_with_white_space_and_any_content_type_is_accepted() {
    let gateway = InProcessGateway::start().await;
    let signed = token("AppInstalled", r#"{"appId":"a"}"#, "site-1");
    let text = String::from_utf8(signed.body.to_vec()).expect("a token is text");
    let send = async |content_type: Option<&str>, body: String| -> HttpResponse {
        let request = Request::new("POST", APP).body(body);
        match content_type {
            Some(content_type) => request.header("Content-Type", content_type),
            None => request,
        }
        .send(gateway.public)
        .await
    };
    let first = send(Some("text/plain"), text.clone()).await;
    assert_eq!(first.word(), "accepted");
    for (content_type, body) in [
        (None, format!("{text}\n")),
        (Some("application/json"), format!("  {text}")),
        (Some("application/jwt"), format!("\r\n\t{text}\r\n")),
        (Some("application/x-www-form-urlencoded"), text.clone()),
        (Some("multipart/form-data; boundary=x"), text.clone()),
        (Some("no content type"), text.clone()),
    ] {
        let again = send(content_type, body).await;
        assert_eq!(
            (again.word().as_str(), again.delivery()),
            ("duplicate", first.delivery()),
            "{content_type:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_signed_again_for_a_retry_is_a_duplicate() {
    let gateway = InProcessGateway::start().await;
    let payload =
        r#"{"id":"e1","entityFqdn":"wix.ecom.v1.order","slug":"created","entityId":"o1"}"#;
    let signed = |at: &str| {
        let options = [("instance_id", "site-1"), ("iat_offset", at)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let unsigned = cartwire::platforms::Unsigned {
            topic: "wix.ecom.v1.order_created",
            payload: payload.as_bytes(),
            nonce: 1,
            options: &options,
        };
        let platform = cartwire::platforms::platform("wix").expect("a platform");
        platform
            .sign(
                &unsigned,
                &support::in_process::key("wix", "signing"),
                jiff::Timestamp::now(),
            )
            .expect("signed")
    };
    let (first, retry) = (signed("-600"), signed("0"));
    assert_ne!(first.body, retry.body);
    let first = gateway.post(APP, &first).await;
    let retry = gateway.post(APP, &retry).await;
    assert_eq!(
        (first.word().as_str(), retry.word().as_str()),
        ("accepted", "duplicate")
    );
    assert_eq!(first.delivery(), retry.delivery());
}

#[tokio::test(flavor = "multi_thread")]
async fn public_listener_serves_healthz_and_no_admin_route() {
    let gateway = InProcessGateway::start().await;
    assert_eq!(
        Request::new("GET", "/healthz")
            .send(gateway.public)
            .await
            .status,
        200
    );
    for path in [
        "/api/events",
        "/api/deliveries",
        "/api/connections",
        "/metrics",
        "/readyz",
    ] {
        assert_eq!(
            Request::new("GET", path).send(gateway.public).await.status,
            404,
            "{path}"
        );
    }
}
