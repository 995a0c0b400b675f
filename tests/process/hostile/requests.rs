//! Hostile requests on one connection: false lengths, pipelines, unfinished heads, compressed bodies.

use support::eventually;
use support::http::{Peer, Request};
use support::process::ProcessGateway;

use crate::hostile::{
    APP, FALSE, SHOP, SIGNATURE, assert_honest_are_answered, assert_memory_below, gateway, head,
    kept, order, request,
};

#[tokio::test(flavor = "multi_thread")]
async fn false_lengths_are_refused_and_not_stored() {
    let gateway = gateway().await;
    let signed = order(10);
    let (whole, chunked) = (signed.body.len(), format!("{:x}\r\n", signed.body.len()));
    let length = |length: usize| ("Content-Length".to_owned(), length.to_string());
    let encoding = |value: &str| ("Transfer-Encoding".to_owned(), value.to_owned());
    let in_chunks = [chunked.as_bytes(), &signed.body, b"\r\n0\r\n\r\n"].concat();
    for (what, headers, body) in [
        (
            "shorter than the body",
            vec![length(whole - 1)],
            signed.body.to_vec(),
        ),
        (
            "twice, and different",
            vec![length(whole), length(whole + 1)],
            signed.body.to_vec(),
        ),
        (
            "twice, and the same",
            vec![length(whole), length(whole)],
            signed.body.to_vec(),
        ),
        (
            "a length and chunks",
            vec![length(whole), encoding("chunked")],
            in_chunks.clone(),
        ),
        (
            "chunks and a length",
            vec![encoding("chunked"), length(3)],
            in_chunks.clone(),
        ),
        (
            "chunks twice",
            vec![encoding("chunked"), encoding("chunked")],
            in_chunks.clone(),
        ),
        (
            "chunks within gzip",
            vec![encoding("gzip, chunked")],
            in_chunks.clone(),
        ),
        (
            "an unknown encoding",
            vec![encoding("xchunked")],
            in_chunks.clone(),
        ),
        (
            "a negative length",
            vec![("Content-Length".to_owned(), "-1".to_owned())],
            signed.body.to_vec(),
        ),
        (
            "a signed length",
            vec![("Content-Length".to_owned(), format!("+{whole}"))],
            signed.body.to_vec(),
        ),
        (
            "a length in words",
            vec![("Content-Length".to_owned(), "ten".to_owned())],
            signed.body.to_vec(),
        ),
        (
            "a chunk of no size",
            vec![encoding("chunked")],
            [b"zz\r\n", &signed.body[..], b"\r\n0\r\n\r\n"].concat(),
        ),
        (
            "a chunk of any size",
            vec![encoding("chunked")],
            [b"ffffffffffffffffff\r\n", &signed.body[..]].concat(),
        ),
        (
            "a chunk longer than said",
            vec![encoding("chunked")],
            [b"1\r\n", &signed.body[..], b"\r\n0\r\n\r\n"].concat(),
        ),
    ] {
        let request = Request::new("POST", SHOP)
            .headers(&signed.headers)
            .headers(&headers)
            .without_length();
        let (head, _) = request.parts(gateway.public());
        let mut peer = Peer::connect(gateway.public()).await;
        peer.try_write(&[&head[..], &body].concat()).await;
        let status = peer.answer().await.status;
        assert!((400..500).contains(&status), "{what}: {status}");
    }
    assert_eq!(kept(&gateway), 0, "nothing of it is kept");
    assert_honest_are_answered(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_body_is_never_parsed_as_the_next_request() {
    let gateway = gateway().await;
    let (head_inside, body_inside) = request(&order(10)).parts(gateway.public());
    let inside = [head_inside, body_inside].concat();
    let unsigned: &[(&str, &str)] = &[];
    for (what, path, headers) in [
        ("unsigned", SHOP, unsigned),
        ("wrongly signed", SHOP, &[(SIGNATURE, FALSE)]),
        ("malformed", SHOP, &[(SIGNATURE, "x")]),
        (
            "a form",
            SHOP,
            &[("Content-Type", "application/x-www-form-urlencoded")],
        ),
        (
            "compressed",
            SHOP,
            &[(SIGNATURE, FALSE), ("Content-Encoding", "gzip")],
        ),
        ("unknown connection", "/webhooks/woocommerce/unknown", &[]),
        ("no token", APP, &[]),
        ("elsewhere", "/healthz", &[]),
    ] {
        let outer = head(&gateway, path, headers, inside.len());
        // Kept open for more requests: the place where a second one could be smuggled in.
        let outer = String::from_utf8(outer)
            .expect("text")
            .replace("Connection: close", "Connection: keep-alive");
        let mut peer = Peer::connect(gateway.public()).await;
        peer.try_write(&[outer.as_bytes(), &inside].concat()).await;
        let first = peer.head().await;
        assert!(
            (400..500).contains(&first.status),
            "{what}: {}",
            first.status
        );
    }
    assert_eq!(kept(&gateway), 0, "what stood in bodies was no request");
    assert_honest_are_answered(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = gateway().await;
    let mut peer = Peer::connect(gateway.public()).await;
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for number in 0..60 {
        let mut signed = order(10);
        // Every third has the right form of signature for nothing.
        if number % 3 == 2 {
            signed
                .headers
                .iter_mut()
                .filter(|(name, _)| name == SIGNATURE)
                .for_each(|(_, value)| FALSE.clone_into(value));
        }
        expected.push(if number % 3 == 2 { 401 } else { 200 });
        let (head, body) = request(&signed).parts(gateway.public());
        let head = String::from_utf8(head)
            .expect("text")
            .replace("Connection: close\r\n", "");
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&body);
    }
    peer.write(&bytes).await;
    let mut statuses = Vec::new();
    for _ in &expected {
        statuses.push(peer.next_answer().await.status);
    }
    assert_eq!(statuses, expected);
    assert_eq!(kept(&gateway), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_heads_and_unread_responses_time_out() {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1", "--body-timeout-seconds", "1"]);
    gateway.start().await;
    let health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut dripping = Peer::connect(gateway.public()).await;
    dripping.write(health).await;
    assert_eq!(dripping.next_answer().await.status, 200);
    dripping
        .write(b"POST /webhooks/woocommerce/shop-a HTTP/1.1\r\nX: ")
        .await;
    // He asks for ever and reads nothing: the gateway stops reading what he asks.
    let mut deaf = Peer::connect(gateway.public()).await;
    let asking = tokio::spawn(async move { while deaf.try_write(&health.repeat(100)).await {} });
    let dripping = tokio::spawn(async move {
        while dripping.try_write(b"y").await {
            tokio::time::sleep(support::POLL_INTERVAL).await;
        }
    });
    eventually("both are hung up", || async {
        (asking.is_finished() && dripping.is_finished()).then_some(())
    })
    .await;
    assert_honest_are_answered(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_never_decompressed() {
    let gateway = gateway().await;
    // A body that decompresses to many zeros. Signed or not, the gateway does not decompress it.
    let mut signed = order(10);
    signed
        .headers
        .push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    for headers in [
        signed.headers.clone(),
        vec![("Content-Encoding".to_owned(), "gzip".to_owned())],
    ] {
        let request = Request::new("POST", SHOP)
            .headers(&headers)
            .without_length()
            .header("Content-Length", "8000000");
        assert_eq!(
            request.send(gateway.public()).await.status,
            415,
            "before any of the body is sent"
        );
    }
    assert_honest_are_answered(&gateway).await;
    assert_memory_below(&gateway, 100, "compressed bodies");
}
