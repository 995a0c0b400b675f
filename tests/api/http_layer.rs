//! HTTP below the routes: broken requests, upgrades, forms of targets. Every answer has a body and an id.

use serde_json::json;

use support::http::{HttpResponse, Peer, Request};
use support::in_process::{APP, InProcessGateway, SHOP, order, token};

const ORDER: &str = r#"{"id":17,"total":"19.90","currency":"EUR"}"#;

async fn answer_to(address: std::net::SocketAddr, bytes: &[u8]) -> HttpResponse {
    let mut peer = Peer::connect(address).await;
    peer.try_write(bytes).await;
    peer.next_answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_is_answered_with_json_and_a_request_id() {
    let gateway = InProcessGateway::start().await;
    let large = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(200 << 10)
    );
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let pipelined = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    for address in [gateway.public, gateway.admin] {
        for (bytes, status, error) in [
            ("nonsense\r\n\r\n", 400, "bad_request"),
            ("GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
            (
                "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
                400,
                "bad_request",
            ),
            (
                "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                400,
                "bad_request",
            ),
            ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
                400,
                "bad_request",
            ),
            (&large, 431, "headers_too_large"),
            (&many, 431, "headers_too_large"),
        ] {
            let answer = answer_to(address, bytes.as_bytes()).await;
            let shown = &bytes[..bytes.len().min(60)];
            assert_eq!(answer.status, status, "{shown:?}");
            assert_eq!(answer.json()["error"], error, "{shown:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let id = answer.header("x-request-id").expect("an id");
            assert_eq!(id.len(), 16, "{shown:?}");
        }
        // After an answer on the same connection, too.
        let mut peer = Peer::connect(address).await;
        peer.write(format!("{pipelined}nonsense\r\n\r\n").as_bytes())
            .await;
        assert_eq!(peer.next_answer().await.status, 200);
        let second = peer.next_answer().await;
        assert_eq!(
            (second.status, &second.json()["error"]),
            (400, &json!("bad_request"))
        );
        assert!(second.header("x-request-id").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_head_is_408_with_json_and_a_request_id() {
    let gateway = InProcessGateway::start().await;
    let answer = answer_to(
        gateway.public,
        b"POST /webhooks/woocommerce/shop-a HTTP/1.1\r\nHo",
    )
    .await;
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (408, &json!("timeout"))
    );
    assert!(answer.header("x-request-id").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_on_a_webhook_is_ignored_and_answered_at_once() {
    // A body timeout that is longer than the tests' patience: nothing may wait for it.
    let gateway = InProcessGateway::with(|args| args.body_timeout_seconds = "120".to_owned()).await;
    let signed = order("order.updated", ORDER, 1);
    for protocol in ["websocket", "WebSocket", "h2c", "TLS/1.0", "x"] {
        let upgrade = |request: Request| {
            let (head, body) = request
                .header("Connection", "Upgrade")
                .header("Upgrade", protocol)
                .header("Sec-WebSocket-Version", "13")
                .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
                .parts(gateway.public);
            let head = String::from_utf8(head).expect("text");
            [head.replace("Connection: close\r\n", "").as_bytes(), &body].concat()
        };
        let with_body = upgrade(
            Request::new("POST", SHOP)
                .headers(&signed.headers)
                .body(&signed.body),
        );
        let answer = answer_to(gateway.public, &with_body).await;
        assert_eq!(answer.status, 200, "{protocol}: the delivery counts");
        let without_length = upgrade(
            Request::new("POST", SHOP)
                .headers(&signed.headers)
                .without_length(),
        );
        let answer = answer_to(gateway.public, &without_length).await;
        assert_eq!(
            answer.status, 401,
            "{protocol}: no body, so the signature is wrong"
        );
        let wix = upgrade(Request::new("POST", APP).without_length());
        assert_eq!(
            answer_to(gateway.public, &wix).await.status,
            400,
            "{protocol}"
        );
        for path in [SHOP, "/healthz", "/webhooks/woocommerce/unknown"] {
            let get = upgrade(Request::new("GET", path).without_length());
            let status = answer_to(gateway.public, &get).await.status;
            assert!(
                [200, 404, 405].contains(&status),
                "{protocol} {path}: {status}"
            );
        }
        let get = upgrade(Request::new("GET", "/api/events").without_length());
        assert_eq!(
            answer_to(gateway.admin, &get).await.status,
            200,
            "{protocol}"
        );
    }
    let connect = "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n";
    assert_eq!(
        answer_to(gateway.public, connect.as_bytes()).await.status,
        404
    );
    assert_eq!(gateway.kept().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn target_in_absolute_form_or_with_a_query_is_the_same_path() {
    let gateway = InProcessGateway::start().await;
    for (nonce, target) in (1..).zip([
        format!("http://{}{SHOP}", gateway.public),
        format!("http://anything.example{SHOP}?x=1"),
        format!("{SHOP}?"),
        "/webhooks/woocommerce/shop%2Da".to_owned(),
        "/webhooks/woocommerce/%73hop-a".to_owned(),
    ]) {
        let signed = order("order.updated", &format!(r#"{{"id":{nonce}}}"#), nonce);
        let request = Request::new("POST", &target)
            .headers(&signed.headers)
            .body(&signed.body);
        assert_eq!(request.send(gateway.public).await.status, 200, "{target}");
    }
    let token = token("AppInstalled", r#"{"appId":"a"}"#, "site-1");
    let target = format!("http://x{APP}");
    let request = Request::new("POST", &target)
        .headers(&token.headers)
        .body(&token.body);
    assert_eq!(request.send(gateway.public).await.word(), "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_request_is_answered_before_a_body_that_expects_to_continue() {
    let gateway = InProcessGateway::start().await;
    for (path, status) in [(SHOP, 401), ("/webhooks/woocommerce/unknown", 404)] {
        let (head, _) = Request::new("POST", path)
            .header("Expect", "100-continue")
            .without_length()
            .header("Content-Length", "1000000")
            .parts(gateway.public);
        let mut peer = Peer::connect(gateway.public).await;
        peer.write(&head).await;
        assert_eq!(peer.answer().await.status, status, "{path}");
    }
    let form = Request::new("POST", SHOP)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .without_length()
        .header("Content-Length", "1000000");
    assert_eq!(
        form.send(gateway.public).await.status,
        401,
        "too long for a ping"
    );
}
