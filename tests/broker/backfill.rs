//! The past of a store goes to an exchange of its own, for a new consumer.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::consumer::{Arrived, Consumer, EVENTS};
use support::eventually;
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::woocommerce::{self as shop, Shop};

const PAST: &str = "past";

/// A shop with orders of the last hours.
fn shop_with_orders(count: u64) -> Shop {
    let shop = Shop::start(shop::Options::default());
    for id in 1..=count {
        let age = SignedDuration::from_secs(600 + i64::try_from(id).expect("a small number"));
        let time = (Timestamp::now() - age).strftime("%Y-%m-%dT%H:%M:%S");
        let time = time.to_string();
        shop.keep(
            "orders",
            json!({
                "id": id, "number": id.to_string(), "status": "processing", "currency": "EUR", "total": "19.90",
                "date_created_gmt": time, "date_modified_gmt": time,
            }),
        );
    }
    shop
}

/// A gateway that reads the shop on request only.
async fn gateway_with(shop: &Shop, node: &RabbitNode) -> ProcessGateway {
    let url = node.url();
    let options = [
        "--amqp-url",
        &url,
        "--allow-private-stores",
        "--reconcile-interval-seconds",
        "0",
    ];
    let mut gateway = ProcessGateway::new(&options);
    let key = [shop::KEY, shop::SECRET];
    gateway.add_shop_by_key("old-shop", &shop.url, key, "https://hooks.example.com");
    gateway.start().await;
    gateway
}

fn backfill(gateway: &ProcessGateway, options: &[&str]) -> Value {
    let command = ["backfill", "old-shop", "--since", "1d", "--entity", "order"];
    gateway.cli_json(&[&command, options].concat())
}

/// The counts of the report about orders: published and unrouted events.
fn published(report: &Value) -> [u64; 2] {
    let orders = &report["stores"][0]["entities"][0];
    assert_eq!(orders["failure"], Value::Null, "{report}");
    ["events", "unrouted"].map(|name| orders["published"][name].as_u64().expect("a number"))
}

fn order_ids(arrived: &[Arrived]) -> Vec<String> {
    let is_order = |arrived: &&Arrived| arrived.event["data"]["order"].is_object();
    let orders = arrived.iter().filter(is_order);
    orders.map(|arrived| arrived.id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn known_orders_are_published_to_an_exchange_of_its_own() {
    const COUNT: u64 = 230;
    let node = RabbitNode::started().await;
    let shop = shop_with_orders(COUNT);
    let mut gateway = gateway_with(&shop, &node).await;
    let consumer = Consumer::connect(&node.url()).await;
    backfill(&gateway, &[]);
    gateway.settled().await;
    let known = consumer.drain(EVENTS).await;
    assert!(order_ids(&known).len() >= 230, "{}", known.len());

    consumer.declare_exchange_with_queue(PAST).await;
    let report = backfill(&gateway, &["--exchange", PAST]);
    assert_eq!(published(&report), [COUNT, 0]);
    let first = consumer.drain(PAST).await;
    let ids: BTreeSet<_> = order_ids(&first).into_iter().collect();
    assert_eq!((first.len(), ids.len()), (230, 230));
    for arrived in &first {
        assert_eq!(arrived.event["type"], "cartwire.order.created");
        assert_eq!(arrived.event["origin"], "poll");
        assert_eq!(arrived.event["data"]["changed"], Value::Null);
        let key = arrived.message.routing_key.as_str();
        assert_eq!(key, "woocommerce.order.created.old-shop");
    }
    assert!(consumer.drain(EVENTS).await.is_empty());

    // A consumer that lost its queue gets the same events again.
    assert_eq!(
        published(&backfill(&gateway, &["--exchange", PAST])),
        [COUNT, 0]
    );
    let again: BTreeSet<_> = order_ids(&consumer.drain(PAST).await).into_iter().collect();
    assert_eq!(again, ids);

    // A missing exchange is declared. No queue is bound to it.
    let report = backfill(&gateway, &["--exchange", "unbound"]);
    assert_eq!(published(&report), [COUNT, COUNT]);
    let own = gateway.cli(&[
        "--json",
        "backfill",
        "old-shop",
        "--since",
        "1d",
        "--exchange",
        EVENTS,
    ]);
    let text = String::from_utf8_lossy(&own.stdout).into_owned();
    assert!(
        !own.status.success() && text.contains("own_exchange"),
        "{text}"
    );
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_for_an_exchange_goes_on_after_a_kill() {
    const COUNT: usize = 2_000;
    let node = RabbitNode::started().await;
    let shop = shop_with_orders(COUNT as u64);
    let mut gateway = gateway_with(&shop, &node).await;
    let consumer = Consumer::connect(&node.url()).await;
    consumer.declare_exchange_with_queue(PAST).await;
    let mut command = Command::new(support::program());
    command.arg("--data-dir").arg(gateway.data());
    command.args(["backfill", "old-shop", "--since", "1d", "--exchange", PAST]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut command = command.spawn().expect("the command runs");
    let arrived = Mutex::new(Vec::new());
    let drain = async || {
        let more = order_ids(&consumer.drain(PAST).await);
        let mut arrived = arrived.lock().expect("no panic");
        arrived.extend(more);
        arrived.iter().collect::<BTreeSet<_>>().len()
    };
    let drained = |count: usize| async move { (drain().await >= count).then_some(()) };
    eventually("the first pages arrive", || drained(300)).await;
    gateway.kill();
    command.wait().expect("the command ends");
    assert!(drain().await < COUNT, "the backfill is not finished yet");
    gateway.start().await;
    eventually("all orders arrive", || drained(COUNT)).await;
    let repeated = arrived.lock().expect("no panic").len() - COUNT;
    assert!(repeated <= 100, "at most a page arrives twice: {repeated}");
    gateway.terminate().await;
}
