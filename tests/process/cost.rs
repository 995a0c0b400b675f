//! The real gateway under deliveries that are small to send and large to expand: whatever one store signs, the process
//! stays below 512 MiB, an honest store's events come at once, and every delivery is kept and visible.
//!
//! `tests/api/properties.rs` holds the relation of an event's size to its delivery's size for random input; here are the
//! largest bodies that a store may send, all at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cartwire::platforms::{Unsigned, platform};
use jiff::Timestamp;
use serde_json::Value;

use support::http::Request;
use support::process::ProcessGateway;
use support::store::{HONEST, HONEST_SECRET, Keys};
use support::{eventually, unique};

/// Maximum memory of the process, in MiB.
const MEMORY_BOUND: u64 = 512;
const BODY_BYTES: usize = (8 << 20) - 1024;
/// Copies of each attack.
const COPIES: usize = 6;

/// An order with members filled up to the largest body.
fn order(members: &str, bytes: usize) -> String {
    let head = format!(r#"{{"id":{},"total":"1.00",{members}"note":""#, unique());
    let filling = "x".repeat(bytes.saturating_sub(head.len() + 2));
    format!(r#"{head}{filling}"}}"#)
}

/// Far more items than an order may have.
fn too_many_items() -> String {
    let items = "{},".repeat(BODY_BYTES / 3 - 100);
    format!(r#"{{"id":{},"line_items":[{items}{{}}]}}"#, unique())
}

/// As much as the bounds on values and items allow.
fn as_many_items_as_allowed() -> String {
    let list = |name: &str| format!(r#""{name}":[{}{{"id":1}}],"#, r#"{"id":1},"#.repeat(49_999));
    let names = ["line_items", "fee_lines", "shipping_lines", "coupon_lines"];
    order(&names.map(list).concat(), BODY_BYTES)
}

/// A currency as long as the body, beside many amounts.
fn long_currency() -> String {
    let lines = r#"{"id":1,"price":"1","subtotal":"1","total":"1","total_tax":"1"},"#.repeat(2000);
    format!(
        r#"{{"id":{},"currency":"{}","line_items":[{lines}{{}}]}}"#,
        unique(),
        "EUR".repeat(90_000)
    )
}

async fn send(gateway: &ProcessGateway, shop: &str, secret: &str, payload: &str) -> String {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic: "order.updated",
        payload: payload.as_bytes(),
        nonce: unique(),
        options: &options,
    };
    let signed = platform("woocommerce")
        .expect("a platform")
        .sign(&unsigned, secret, Timestamp::now())
        .expect("signed");
    let request = || {
        Request::new("POST", &format!("/webhooks/woocommerce/{shop}"))
            .headers(&signed.headers)
            .body(&signed.body)
    };
    loop {
        let answer = request().send(gateway.public()).await;
        match answer.status {
            200 => return answer.delivery(),
            // Its share of the room for bodies is in use.
            503 => tokio::time::sleep(Duration::from_millis(50)).await,
            status => panic!("{status}: {}", answer.text()),
        }
    }
}

async fn gateway(options: &[&str]) -> ProcessGateway {
    let mut gateway = ProcessGateway::new(&[&["--disk-reserve", "1"], options].concat());
    gateway.add_shop(HONEST, HONEST_SECRET);
    gateway.start().await;
    gateway
}

fn assert_memory(gateway: &ProcessGateway, what: &str) {
    let peak = gateway.peak_memory();
    eprintln!("{what}: {peak} MiB at most");
    assert!(peak < MEMORY_BOUND, "{what}: {peak} MiB");
}

/// The state and the reason of a delivery.
async fn state(gateway: &ProcessGateway, delivery: &str) -> (String, String) {
    let found = gateway
        .admin_json(&format!("/api/deliveries/{delivery}"))
        .await;
    let text = |name: &str| {
        found["delivery"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("state"), text("reason"))
}

/// Sends all attacks at once; gives the deliveries' ids with their attack's number.
async fn attack(gateway: &ProcessGateway) -> Vec<(usize, String)> {
    let secret = Keys::test().shop;
    let bodies: Vec<(usize, String)> = (0..COPIES)
        .flat_map(|_| {
            [
                (0, too_many_items()),
                (1, as_many_items_as_allowed()),
                (2, long_currency()),
            ]
        })
        .collect();
    let sent = bodies.iter().map(|(attack, body)| {
        let secret = &secret;
        async move { (*attack, send(gateway, "shop-a", secret, body).await) }
    });
    futures_util::future::join_all(sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_deliveries_of_one_store_use_bounded_memory() {
    let mut gateway = gateway(&[]).await;
    let attacked = attack(&gateway).await;
    let begun = Instant::now();
    let honest = send(&gateway, HONEST, HONEST_SECRET, &order("", 2000)).await;
    eventually("the honest store's event is there", || async {
        (state(&gateway, &honest).await.0 == "logged").then_some(())
    })
    .await;
    eprintln!("the honest event came after {:?}", begun.elapsed());
    gateway.settled().await;
    assert_memory(&gateway, "normalizing");
    for (attack, delivery) in &attacked {
        let expected = match attack {
            0 => ("dead_lettered", "too_complex"),
            _ => ("logged", ""),
        };
        let (state, reason) = state(&gateway, delivery).await;
        assert_eq!((state.as_str(), reason.as_str()), expected);
    }
    // Several readers at once.
    let read = || async {
        let (mut after, mut count) = ("0".to_owned(), 0);
        loop {
            let page = gateway
                .admin_json(&format!(
                    "/api/events?type=cartwire.order.*&limit=1000&after={after}"
                ))
                .await;
            let (events, next) = (&page["events"], page["next"].as_str().expect("a cursor"));
            let events = events.as_array().expect("events");
            count += events.len();
            if events.is_empty() && next == after {
                return count;
            }
            after = next.to_owned();
        }
    };
    let counts = futures_util::future::join_all((0..3).map(|_| read())).await;
    assert_eq!(counts, [2 * COPIES + 1; 3]);
    assert_memory(&gateway, "reading");
    let exported = gateway.exported_events();
    let orders = exported
        .iter()
        .filter(|event| event["type"] == "cartwire.order.updated");
    assert_eq!(orders.count(), 2 * COPIES + 1);
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_deliveries_wait_for_the_broker_in_bounded_memory() {
    let mut gateway = gateway(&["--amqp-url", "amqp://127.0.0.1:1/%2f"]).await;
    attack(&gateway).await;
    // What the relay has room for is in flight, the rest waits in the journal.
    eventually("nothing more is claimed", || async {
        let before = gateway.peak_memory();
        tokio::time::sleep(Duration::from_secs(2)).await;
        (gateway.peak_memory() == before).then_some(())
    })
    .await;
    assert_memory(&gateway, "waiting for the broker");
    for _ in 0..3 {
        gateway.kill();
        gateway.start().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    eventually("it is ready after three kills", || async {
        gateway.is_ready().await.then_some(())
    })
    .await;
    let listed = gateway.cli_json(&["deliveries", "list", "--reason", "crashed_gateway"]);
    assert_eq!(listed["deliveries"], Value::Array(Vec::new()));
    assert_memory(&gateway, "started again");
}

/// Entries in flight at an operator's kills are innocent.
#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_under_load_cause_no_dead_letter() {
    let mut gateway = gateway(&[]).await;
    let mut sent = 0;
    for round in 0..10 {
        let until = Instant::now() + Duration::from_millis(100 + 37 * round);
        let large = order("", 1 << 20);
        let _ = tokio::time::timeout(
            Duration::from_secs(5),
            send(&gateway, "shop-a", &Keys::test().shop, &large),
        )
        .await;
        sent += 1;
        while Instant::now() < until {
            send(&gateway, HONEST, HONEST_SECRET, &order("", 2000)).await;
            sent += 1;
        }
        gateway.kill();
        gateway.start().await;
    }
    gateway.settled().await;
    assert!(gateway.deliveries_in("dead_lettered").is_empty());
    assert!(gateway.deliveries_in("logged").len() >= sent);
    gateway.terminate().await;
}
