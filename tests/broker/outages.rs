//! Outages of a real RabbitMQ, full queues and a deleted exchange: no accepted delivery is lost.
//!
//! A settled delivery must already be in the queue, so each queue is drained once without waiting. Faults at random
//! moments are in `tests/faults`.

use std::collections::BTreeSet;

use lapin::ExchangeKind;
use lapin::types::AMQPValue;
use support::consumer::{Consumer, EVENTS, events, quorum};
use support::eventually;
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::store::Order;

use crate::deliveries::{assert_all_arrived, send_some};

#[tokio::test(flavor = "multi_thread")]
async fn broker_absent_at_the_start_gets_all_events_later() {
    let mut node = RabbitNode::stopped();
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let ledger = send_some(&gateway, 10, 20).await;
    assert!(
        gateway.is_ready().await,
        "the gateway should be ready without a broker"
    );
    assert_eq!(gateway.deliveries_in("published"), Vec::<String>::new());
    node.start().await;
    assert_all_arrived(&gateway, &node, &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_restarted_in_order_loses_nothing() {
    let mut node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let load = gateway.store().load(&Order::some(8));
    load.more(50).await;
    node.stop().await;
    load.more(50).await;
    node.start().await;
    load.more(50).await;
    let ledger = load.stop().await;
    assert_all_arrived(&gateway, &node, &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_alarm_delays_events_and_no_webhook() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let before = send_some(&gateway, 4, 2).await;
    gateway.settled().await;
    node.set_memory_alarm(true);
    let during = gateway.store().send_all(&Order::some(10), 2, 20).await;
    eventually("the broker blocks", || async {
        (gateway.metric("cartwire_broker_blocked", "").await == 1.0).then_some(())
    })
    .await;
    assert!(
        gateway.is_ready().await,
        "the gateway should be ready while the broker blocks"
    );
    let published: BTreeSet<String> = gateway.deliveries_in("published").into_iter().collect();
    assert!(
        published.is_disjoint(&during.deliveries()),
        "an unconfirmed delivery should not be published"
    );
    node.set_memory_alarm(false);
    assert_all_arrived(&gateway, &node, &before.and(during)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_exchange_is_declared_again_and_nothing_is_lost() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let load = gateway.store().load(&Order::some(12));
    load.more(80).await;
    consumer.delete_exchange().await;
    load.more(150).await;
    let ledger = load.stop().await;
    assert_all_arrived(&gateway, &node, &ledger).await;
    assert_eq!(
        gateway.deliveries_in("unrouted"),
        Vec::<String>::new(),
        "the queues should be bound again before the first event"
    );
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_refused_by_a_full_queue_are_retried_in_order() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    // A queue that an operator declared with other arguments than the gateway's.
    let limits = [
        ("x-max-length", AMQPValue::LongInt(20)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    assert!(consumer.declares(EVENTS, quorum(&limits)).await);
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let ledger = send_some(&gateway, 20, 12).await;
    let refused = || gateway.metric("cartwire_publish_retries_total", "refused");
    eventually("the queue is full", || async {
        (refused().await > 0.0).then_some(())
    })
    .await;
    assert!(
        gateway.is_ready().await,
        "the gateway should be ready while the queue is full"
    );
    let mut arrived = Vec::new();
    let wanted = ledger.event_ids();
    let mut got = BTreeSet::new();
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while !wanted.is_subset(&got) {
        assert!(
            std::time::Instant::now() < deadline,
            "only {} of {} arrived",
            got.len(),
            wanted.len()
        );
        let more = consumer.drain(EVENTS).await;
        got.extend(more.iter().map(|arrived| arrived.id.clone()));
        arrived.extend(more);
        tokio::time::sleep(support::POLL_INTERVAL).await;
    }
    gateway.settled().await;
    arrived.extend(consumer.drain(EVENTS).await);
    ledger.assert_told_by(&events(&arrived));
    assert!(
        ledger
            .deliveries()
            .is_subset(&gateway.deliveries_in("published").into_iter().collect())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_events_are_published_once_a_broker_is_configured() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let ledger = send_some(&gateway, 8, 10).await;
    gateway.settled().await;
    ledger.assert_told_once_by(&gateway.exported_events());
    assert!(gateway.terminate().await.success());
    let url = node.url();
    gateway.set_options(&["--amqp-url", &url]);
    gateway.start().await;
    eventually("logged deliveries become pending", || async {
        gateway.deliveries_in("logged").is_empty().then_some(())
    })
    .await;
    let arrived = assert_all_arrived(&gateway, &node, &ledger).await;
    assert!(
        arrived
            .iter()
            .all(|arrived| arrived.event["origin"] == "webhook"),
        "events that were only logged should keep the origin webhook"
    );
    assert_eq!(gateway.deliveries_in("logged"), Vec::<String>::new());
    ledger.assert_told_once_by(&gateway.exported_events());
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_terminated_under_load_exits_and_loses_nothing() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let load = gateway.store().load(&Order::some(12));
    load.more(100).await;
    let second = gateway.serve_again();
    assert_eq!(
        second.status.code(),
        Some(69),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    let ended = gateway.terminate().await;
    assert_eq!(ended.code(), Some(0));
    gateway.start().await;
    load.more(100).await;
    let ledger = load.stop().await;
    assert_all_arrived(&gateway, &node, &ledger).await;
}
