//! The real gateway under hostile senders: honest ones are answered 200 at the first try, and the memory stays below a bound.
//! No bound is a time. `tests/api/bad_input.rs` has the answers to single bad requests.

mod requests;
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

pub(crate) const SHOP: &str = "/webhooks/woocommerce/shop-a";
pub(crate) const APP: &str = "/webhooks/wix/app";
pub(crate) const SIGNATURE: &str = "X-WC-Webhook-Signature";
/// A text in the form of a signature.
pub(crate) const FALSE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) async fn gateway() -> ProcessGateway {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1"]);
    gateway.start().await;
    gateway
}

/// An order of the shop, with a note that makes it that long.
pub(crate) fn order(bytes: usize) -> SignedRequest {
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

pub(crate) fn request(signed: &SignedRequest) -> Request {
    Request::new("POST", SHOP)
        .headers(&signed.headers)
        .body(&signed.body)
}

/// Both platforms' stores, small and large bodies: each is answered 200 at the first try.
pub(crate) async fn assert_honest_are_answered(gateway: &ProcessGateway) {
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

pub(crate) fn assert_memory_below(gateway: &ProcessGateway, bound: u64, what: &str) {
    let peak = gateway.peak_memory();
    eprintln!("{what}: {peak} MiB at most");
    assert!(peak < bound, "{what}: {peak} MiB");
}

/// The head of a request of that length, none of whose body follows.
pub(crate) fn head(
    gateway: &ProcessGateway,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
) -> Vec<u8> {
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
async fn ten_thousand_idle_connections_block_no_sender() {
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
                peer.try_write(b"POST /webhooks/woocommerce/shop-a HTTP/1.1\r\nHost: x\r\nX-")
                    .await
            }
            _ => {
                peer.try_write(&head(&gateway, SHOP, &[(SIGNATURE, FALSE)], 8 << 20))
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
async fn slow_bodies_take_no_budget_from_honest_ones() {
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
async fn floods_of_headers_are_refused_in_bounded_memory() {
    let gateway = gateway().await;
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let long = format!("X: {}\r\n", "y".repeat(300 << 10));
    for headers in [many, long] {
        let mut peer = Peer::connect(gateway.public()).await;
        let head = format!("POST {SHOP} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        peer.try_write(head.as_bytes()).await;
        assert!(
            matches!(peer.answer().await.status, 400 | 431),
            "refused by the HTTP parser"
        );
    }
    let mut peers = Vec::new();
    for _ in 0..500 {
        let mut peer = Peer::connect(gateway.public()).await;
        peer.try_write(format!("POST {SHOP} HTTP/1.1\r\nX: {}", "y".repeat(100 << 10)).as_bytes())
            .await;
        peers.push(peer);
    }
    assert_honest_are_answered(&gateway).await;
    assert_memory_below(&gateway, 200, "five hundred heads without an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_flood_stores_nothing_and_logs_a_bounded_amount() {
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
pub(crate) fn kept(gateway: &ProcessGateway) -> usize {
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
