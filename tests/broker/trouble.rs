//! Broker problems of one store beside a healthy store, with a real RabbitMQ: a queue that rejects, a queue that hangs,
//! a routing key that is forbidden.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lapin::types::AMQPValue;
use support::consumer::{Consumer, EVENTS, events, quorum};
use support::eventually;
use support::ledger::Ledger;
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::store::{Order, SHOP, SITE};

/// Maximum publish delay of a healthy store on a loaded machine.
const HEALTHY: Duration = Duration::from_secs(5);

/// Sends ten revisions of orders of both stores, and asserts that the shop's events are published in time.
async fn send_and_check(gateway: &ProcessGateway, round: u64) -> Ledger {
    let (from, to) = (10 * round, 10 * round + 10);
    let ledger = gateway.store().send_all(&Order::some(8), from, to).await;
    let sent = Instant::now();
    let healthy = ledger.of(SHOP).deliveries();
    eventually("the healthy store's events are published", || async {
        let published: BTreeSet<String> = gateway.deliveries_in("published").into_iter().collect();
        healthy.is_subset(&published).then_some(())
    })
    .await;
    assert!(
        sent.elapsed() < HEALTHY,
        "the healthy store's events took {:?}",
        sent.elapsed()
    );
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_queue_leaves_few_copies_in_a_healthy_one() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    eventually("the gateway declares its queue", || async {
        let queues = node.ctl(&["list_queues", "name"]);
        queues.contains(EVENTS).then_some(())
    })
    .await;
    let limits = [
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    assert!(consumer.declares("full", quorum(&limits)).await);
    consumer.bind("full", &format!("#.{SITE}")).await;
    let mut ledger = send_and_check(&gateway, 0).await;
    for round in 1..6 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        ledger = ledger.and(send_and_check(&gateway, round).await);
    }
    let arrived = events(&consumer.drain(EVENTS).await);
    let mut copies = BTreeMap::<String, usize>::new();
    for event in arrived {
        if event["type"] == "cartwire.order.updated" {
            *copies.entry(event["id"].to_string()).or_default() += 1;
        }
    }
    let repeated: usize = copies.values().map(|count| count - 1).sum();
    assert!(
        repeated < 60,
        "the healthy queue has {repeated} copies of {} events",
        copies.len()
    );
    assert!(!ledger.of(SITE).deliveries().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_queue_delays_no_other_store_and_gets_no_duplicate() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    eventually("the gateway declares its queue", || async {
        let queues = node.ctl(&["list_queues", "name"]);
        queues.contains(EVENTS).then_some(())
    })
    .await;
    assert!(consumer.declares("slow", quorum(&[])).await);
    consumer.bind("slow", &format!("#.{SITE}")).await;
    node.ctl(&["eval", "sys:suspend('%2F_slow')."]);
    let mut ledger = send_and_check(&gateway, 0).await;
    for round in 1..8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ledger = ledger.and(send_and_check(&gateway, round).await);
    }
    node.ctl(&["eval", "sys:resume('%2F_slow')."]);
    gateway.settled().await;
    let arrived = events(&consumer.drain(EVENTS).await);
    ledger.assert_told_once_by(&arrived);
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_routing_key_backs_off_and_delays_no_other_store() {
    let node = RabbitNode::started().await;
    node.ctl(&[
        "set_topic_permissions",
        "guest",
        EVENTS,
        r"^woocommerce\..*",
        ".*",
    ]);
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let mut ledger = send_and_check(&gateway, 0).await;
    for round in 1..6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ledger = ledger.and(send_and_check(&gateway, round).await);
    }
    let forbidden = gateway
        .metric("cartwire_publish_retries_total", "forbidden")
        .await;
    assert!(
        (1.0..80.0).contains(&forbidden),
        "{forbidden} publish attempts were forbidden"
    );
    let lost = gateway
        .metric("cartwire_publish_retries_total", "connection_lost")
        .await;
    assert_eq!(lost, 0.0, "the AMQP connection should stay open");
    node.ctl(&["clear_topic_permissions", "guest"]);
    gateway.settled().await;
    let arrived = events(&Consumer::connect(&node.url()).await.drain(EVENTS).await);
    ledger.assert_told_by(&arrived);
}
