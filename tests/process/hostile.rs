//! The real gateway among senders who mean harm: slow ones, idle ones, lying ones, many at once. Whatever they do, honest
//! senders are answered 200 at the first try, and the gateway's memory stays below a bound.
//!
//! Bounds are on memory, never on time. What single bad requests are answered is held in `tests/api/bad_input.rs`, what no
//! input at all may do in `tests/api/properties.rs` and `tests/fuzz`.

mod senders;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use cartwire::platforms::{SignedRequest, Unsigned, platform};
use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use support::http::{Peer, Request};
use support::process::ProcessGateway;
use support::store::{Keys, Order};
use support::{eventually, unique};

const SHOP: &str = "/webhooks/woocommerce/shop-a";
const APP: &str = "/webhooks/wix/app";
const SIGNATURE: &str = "X-WC-Webhook-Signature";
/// The form of a signature, of nothing.
const FALSE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

async fn gateway() -> ProcessGateway {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1"]);
    gateway.start().await;
    gateway
}

/// An order of the shop, with a note that makes it that long.
fn order(bytes: usize) -> SignedRequest {
    let payload = format!(
        r#"{{"id":{},"total":"19.90","note":"{}"}}"#,
        unique(),
        "x".repeat(bytes)
    );
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic: "order.updated",
        payload: payload.as_bytes(),
        nonce: unique(),
        options: &options,
    };
    platform("woocommerce")
        .expect("a platform")
        .sign(&unsigned, &Keys::test().shop, Timestamp::now())
        .expect("signed")
}

fn request(signed: &SignedRequest) -> Request {
    Request::new("POST", SHOP)
        .headers(&signed.headers)
        .body(&signed.body)
}

/// Both platforms' stores, small and large bodies: each is answered 200 at the first try.
async fn assert_honest_are_answered(gateway: &ProcessGateway) {
    let store = gateway.store();
    for order in Order::some(8) {
        let answer = store
            .try_send(order, &store.webhook(order, unique()))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    for bytes in [1 << 10, 100 << 10, 2 << 20] {
        assert_eq!(
            request(&order(bytes)).send(gateway.public()).await.word(),
            "accepted",
            "{bytes} bytes"
        );
    }
}

fn assert_memory_below(gateway: &ProcessGateway, bound: u64, what: &str) {
    let peak = gateway.peak_memory();
    eprintln!("{what}: {peak} MiB at most");
    assert!(peak < bound, "{what}: {peak} MiB");
}

/// The head of a request of that length, none of whose body follows.
fn head(gateway: &ProcessGateway, path: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let request = headers
        .iter()
        .fold(Request::new("POST", path), |request, (name, value)| {
            request.header(name, value)
        });
    request
        .without_length()
        .header("Content-Length", length.to_string())
        .parts(gateway.public())
        .0
}

/// As many connections as that, or as the system lets this process have.
fn allowed_connections(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let files = if raised.is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    let allowed = wanted.min(files.unwrap_or(u64::MAX).saturating_sub(500));
    if allowed < wanted {
        eprintln!(
            "this system allows {allowed} connections instead of {wanted}: raise the hard limit of open files"
        );
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    // Before this process raises its own limit: the gateway has to raise its own itself.
    let gateway = gateway().await;
    let many = allowed_connections(10_000);
    let mut peers = Vec::new();
    for number in 0..many {
        let mut peer = Peer::connect(gateway.public()).await;
        // A third says nothing, a third begins a head, a third announces a body and sends none.
        match number % 3 {
            0 => true,
            1 => {
                peer.write_if_heard(b"POST /webhooks/woocommerce/shop-a HTTP/1.1\r\nHost: x\r\nX-")
                    .await
            }
            _ => {
                peer.write_if_heard(&head(&gateway, SHOP, &[(SIGNATURE, FALSE)], 8 << 20))
                    .await
            }
        };
        peers.push(peer);
    }
    assert_honest_are_answered(&gateway).await;
    assert_memory_below(&gateway, 400, "ten thousand idle connections");
    drop(peers);
    assert_honest_are_answered(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_announced_and_dripped_take_no_room_from_honest_ones() {
    let gateway = gateway().await;
    let mut peers = Vec::new();
    // Announced, it is several times the room of all bodies, and fills it to the last byte; sent, it is next to nothing.
    let announced = (64 << 10) + (4 << 20);
    for number in 0..200 {
        let mut peer = Peer::connect(gateway.public()).await;
        let headers: &[(&str, &str)] = if number % 2 == 0 {
            &[(SIGNATURE, FALSE)]
        } else {
            &[]
        };
        peer.write(&head(
            &gateway,
            if number % 2 == 0 { SHOP } else { APP },
            headers,
            announced,
        ))
        .await;
        peer.write(&vec![b'e'; 100 << 10]).await;
        peers.push(peer);
    }
    assert_honest_are_answered(&gateway).await;
    for peer in &mut peers {
        peer.write(b"e").await;
    }
    assert_honest_are_answered(&gateway).await;
    assert_memory_below(&gateway, 200, "two hundred dripping bodies");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_are_refused_and_take_bounded_memory() {
    let gateway = gateway().await;
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let long = format!("X: {}\r\n", "y".repeat(300 << 10));
    for headers in [many, long] {
        let mut peer = Peer::connect(gateway.public()).await;
        let head = format!("POST {SHOP} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        peer.write_if_heard(head.as_bytes()).await;
        assert!(
            matches!(peer.answer().await.status, 400 | 431),
            "refused by the HTTP parser"
        );
    }
    let mut peers = Vec::new();
    for _ in 0..500 {
        let mut peer = Peer::connect(gateway.public()).await;
        peer.write_if_heard(
            format!("POST {SHOP} HTTP/1.1\r\nX: {}", "y".repeat(100 << 10)).as_bytes(),
        )
        .await;
        peers.push(peer);
    }
    assert_honest_are_answered(&gateway).await;
    assert_memory_below(&gateway, 200, "five hundred heads without an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_lie_are_refused_and_nothing_of_them_is_kept() {
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
        peer.write_if_heard(&[&head[..], &body].concat()).await;
        let status = peer.answer().await.status;
        assert!((400..500).contains(&status), "{what}: {status}");
    }
    assert_eq!(kept(&gateway), 0, "nothing of it is kept");
    assert_honest_are_answered(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_never_read_as_the_next_request() {
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
        ("of nobody", "/webhooks/woocommerce/nobody", &[]),
        ("no token", APP, &[]),
        ("elsewhere", "/healthz", &[]),
    ] {
        let outer = head(&gateway, path, headers, inside.len());
        // Kept open for more requests: the place where a second one could be smuggled in.
        let outer = String::from_utf8(outer)
            .expect("text")
            .replace("Connection: close", "Connection: keep-alive");
        let mut peer = Peer::connect(gateway.public()).await;
        peer.write_if_heard(&[outer.as_bytes(), &inside].concat())
            .await;
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
async fn pipelined_requests_are_answered_each_and_in_order() {
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
async fn a_second_head_without_an_end_and_answers_that_nobody_reads_hold_no_connection_for_ever() {
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
    let asking =
        tokio::spawn(async move { while deaf.write_if_heard(&health.repeat(100)).await {} });
    let dripping = tokio::spawn(async move {
        while dripping.write_if_heard(b"y").await {
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
async fn compressed_bodies_are_never_unpacked() {
    let gateway = gateway().await;
    // The longest run of zeros that a few bytes stand for; signed or not, nobody looks inside.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_a_right_signature_writes_nothing_and_leaves_a_bounded_trace() {
    let gateway = gateway().await;
    assert_honest_are_answered(&gateway).await;
    gateway.settled().await;
    let before = eventually("the journal is at rest", || {
        let first = files(gateway.data());
        async {
            // Longer than the writer takes to notice that it is idle, and to move keys into their index.
            tokio::time::sleep(support::POLL_INTERVAL * 60).await;
            Some(first).filter(|first| *first == files(gateway.data()))
        }
    })
    .await;
    let token = gateway.store().webhook(Order::Site(1), 1);
    let mut forged = token.body.to_vec();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'a' { b'b' } else { b'a' };
    for number in 0..1000 {
        let request = match number % 4 {
            0 => Request::new("POST", SHOP).body(vec![b'{'; 3000]),
            1 => Request::new("POST", SHOP)
                .header(SIGNATURE, FALSE)
                .body(vec![b'{'; 3000]),
            2 => Request::new("POST", SHOP)
                .header(SIGNATURE, format!("{number}"))
                .body("{}"),
            _ => Request::new("POST", APP).body(&forged),
        };
        assert_eq!(request.send(gateway.public()).await.status, 401);
    }
    assert_eq!(
        files(gateway.data()),
        before,
        "no file of the journal was touched"
    );
    for (connection, reasons) in [("shop-a", 3), ("app", 1)] {
        let shown = gateway
            .admin_json(&format!("/api/connections/{connection}"))
            .await;
        let trace = shown["rejections"].as_array().expect("a list").clone();
        assert_eq!(trace.len(), reasons, "one line a reason: {trace:?}");
        for line in &trace {
            let names: Vec<&str> = line
                .as_object()
                .expect("a line")
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(
                names,
                ["count", "last_at", "reason"],
                "nothing of what was sent"
            );
        }
        let count: u64 = trace.iter().filter_map(|line| line["count"].as_u64()).sum();
        assert_eq!(count, 250 * reasons as u64);
    }
}

/// The folder's files with their lengths and when they were written last.
fn files(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let entries = std::fs::read_dir(folder).expect("the data folder");
    let file = |entry: std::fs::DirEntry| {
        let about = entry.metadata().expect("a file");
        (
            entry.file_name().to_string_lossy().into_owned(),
            (about.len(), about.modified().expect("an instant")),
        )
    };
    entries.map(|entry| file(entry.expect("a file"))).collect()
}

/// How many webhooks of stores were kept.
fn kept(gateway: &ProcessGateway) -> usize {
    let listed = gateway.cli_json(&["deliveries", "list", "--limit", "100000"]);
    let is_sent = |delivery: &&Value| {
        delivery["topic"]
            .as_str()
            .is_some_and(|topic| !topic.starts_with("connection."))
    };
    listed["deliveries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(is_sent)
        .count()
}
