//! A Wix site is followed by polling: the real program, with a kill in the middle of the first read.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::eventually;
use support::process::ProcessGateway;
use support::wix::{ACCOUNT_ID, API_KEY, SITE_ID, Wixapis, World};

const ORDERS: &str = "/ecom/v1/orders/search";
/// Twenty pages, so that the requests fit into the burst of the site's request rate.
const COUNT: usize = 2000;

fn orders() -> Vec<Value> {
    let order = |n: usize| {
        let time = format!(
            "2026-01-{:02}T{:02}:{:02}:00Z",
            1 + n / 1440,
            n / 60 % 24,
            n % 60
        );
        json!({
            "id": format!("order-{n}"), "number": n.to_string(), "currency": "EUR", "status": "APPROVED",
            "paymentStatus": "PAID", "priceSummary": {"total": {"amount": "19.90"}},
            "createdDate": time, "updatedDate": time,
        })
    };
    (0..COUNT).map(order).collect()
}

/// The number of events by the order that they are about.
async fn published(gateway: &ProcessGateway) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in gateway.events_by_api().await {
        let subject = event["subject"].as_str().unwrap_or_default();
        if subject.starts_with("order/") {
            *counts.entry(subject.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// A gateway that polls the site each second, from this time on.
async fn gateway_with_site(wix: &Wixapis, from: &str) -> ProcessGateway {
    let mut gateway =
        ProcessGateway::new(&["--poll-interval-seconds", "1", "--allow-private-stores"]);
    gateway.start().await;
    let key = gateway.data().join("key");
    std::fs::write(&key, API_KEY).expect("written");
    let key = key.display().to_string();
    let added = gateway.cli_json(&[
        "connections",
        "add",
        "wix-site",
        "--id",
        "site",
        "--site-id",
        SITE_ID,
        "--account-id",
        ACCOUNT_ID,
        "--api-key-file",
        &key,
        "--api-base",
        &wix.url,
        "--from",
        from,
        "--allow-private-stores",
    ]);
    assert!(added["connection"]["settings"]["poll_from"].is_string());
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_during_the_first_read_costs_no_order_and_repeats_none() {
    let wix = Wixapis::start(World {
        catalog_version: "STORES_NOT_INSTALLED".to_owned(),
        lists: [(ORDERS.to_owned(), orders())].into(),
        ..World::default()
    });
    let mut gateway = gateway_with_site(&wix, "all").await;
    eventually("the first pages are read", async || {
        (published(&gateway).await.len() >= 300).then_some(())
    })
    .await;
    gateway.kill();
    gateway.start().await;
    let counts = eventually("all orders are published", async || {
        let counts = published(&gateway).await;
        (counts.len() == COUNT).then_some(counts)
    })
    .await;
    assert!(counts.values().all(|count| *count == 1));
    let listed = gateway.cli_json(&["connections", "list"]);
    let site = listed["connections"]
        .as_array()
        .expect("connections")
        .iter()
        .find(|connection| connection["id"] == "site")
        .expect("the site");
    assert_eq!(site["followed_by"], "polling");
    let pages = wix.requests(ORDERS).len();
    assert!(pages < 2 * COUNT / 100, "{pages} requests");
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_goes_on_after_a_kill_and_repeats_nothing() {
    let wix = Wixapis::start(World {
        catalog_version: "STORES_NOT_INSTALLED".to_owned(),
        lists: [(ORDERS.to_owned(), orders())].into(),
        ..World::default()
    });
    let mut gateway = gateway_with_site(&wix, "now").await;
    let mut command = Command::new(support::program());
    command.arg("--data-dir").arg(gateway.data());
    command.args(["backfill", "site", "--since", "2026-01-01"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut command = command.spawn().expect("the command runs");
    eventually("the first pages are read", async || {
        (published(&gateway).await.len() >= 300).then_some(())
    })
    .await;
    let is_running = command.try_wait().expect("a state").is_none();
    assert!(is_running, "the backfill is not finished yet");
    gateway.kill();
    let output = command.wait_with_output().expect("the command ends");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("continues after its next start"), "{text}");
    gateway.start().await;
    let counts = eventually("all orders are published", async || {
        let counts = published(&gateway).await;
        (counts.len() == COUNT).then_some(counts)
    })
    .await;
    assert!(counts.values().all(|count| *count == 1));
    let again = gateway.cli_json(&[
        "backfill",
        "site",
        "--since",
        "2026-01-01",
        "--entity",
        "order",
    ]);
    let report = &again["stores"][0]["entities"][0];
    assert_eq!(
        (&report["missing"]["count"], &report["late"]["count"]),
        (&json!(0), &json!(0))
    );
    gateway.settled().await;
    assert_eq!(published(&gateway).await.values().sum::<usize>(), COUNT);
    gateway.terminate().await;
}
