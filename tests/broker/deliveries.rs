//! The messages that a real RabbitMQ receives, and unrouted deliveries.

use std::collections::BTreeSet;

use lapin::ExchangeKind;
use support::consumer::{Arrived, Consumer, EVENTS, declared, events, quorum};
use support::eventually;
use support::ledger::Ledger;
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::store::{Order, SHOP, SITE};

/// Sends this many revisions of this many orders.
pub(crate) async fn send_some(gateway: &ProcessGateway, orders: u64, revisions: u64) -> Ledger {
    gateway
        .store()
        .send_all(&Order::some(orders), 0, revisions)
        .await
}

/// Waits until all deliveries are settled, drains the queue, and compares the messages with the ledger.
pub(crate) async fn assert_all_arrived(
    gateway: &ProcessGateway,
    node: &RabbitNode,
    ledger: &Ledger,
) -> Vec<Arrived> {
    gateway.settled().await;
    let arrived = Consumer::connect(&node.url()).await.drain(EVENTS).await;
    ledger.assert_told_by(&events(&arrived));
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_persistent_and_have_all_contract_properties() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let ledger = send_some(&gateway, 2, 3).await;
    let arrived = assert_all_arrived(&gateway, &node, &ledger).await;
    ledger.assert_told_once_by(&events(&arrived));
    assert_eq!(
        arrived.iter().filter(|arrived| arrived.is_order()).count(),
        6
    );
    for arrived in &arrived {
        let (event, properties) = (&arrived.event, &arrived.message.properties);
        let text = |name: &str| {
            event[name]
                .as_str()
                .unwrap_or_else(|| panic!("the event has no {name}: {event}"))
                .to_owned()
        };
        let short =
            |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
        assert_eq!(short(properties.message_id()), Some(text("id")));
        assert_eq!(short(properties.kind()), Some(text("type")));
        assert_eq!(short(properties.app_id()).as_deref(), Some("cartwire"));
        assert_eq!(
            short(properties.content_type()).as_deref(),
            Some("application/cloudevents+json")
        );
        assert_eq!(*properties.delivery_mode(), Some(2));
        let time: jiff::Timestamp = text("time").parse().expect("time should be RFC 3339");
        assert_eq!(
            *properties.timestamp(),
            u64::try_from(time.as_second()).ok()
        );
        for name in [
            "id",
            "source",
            "type",
            "subject",
            "platform",
            "connection",
            "partitionkey",
            "sequence",
            "origin",
        ] {
            assert_eq!(
                arrived.header(&format!("cloudEvents_{name}")),
                Some(text(name)),
                "{name}"
            );
        }
        let kind = text("type");
        let words = kind
            .strip_prefix("cartwire.")
            .expect("the type should start with cartwire.");
        let routing_key = format!("{}.{words}.{}", text("platform"), text("connection"));
        assert_eq!(arrived.message.routing_key.as_str(), routing_key);
        assert_eq!(arrived.message.exchange.as_str(), EVENTS);
    }
    let origins: BTreeSet<Option<String>> = arrived
        .iter()
        .map(|arrived| arrived.header("cloudEvents_origin"))
        .collect();
    assert_eq!(origins, BTreeSet::from([Some("webhook".to_owned())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn topology_is_declared_durable_before_the_first_event() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let consumer = Consumer::connect(&node.url()).await;
    // Without any delivery, the topology must exist. A declare with the same arguments succeeds; one with other
    // arguments fails.
    eventually("the gateway declares its queue", || async {
        let queues = node.ctl(&["list_queues", "name", "type", "durable"]);
        queues
            .contains(&format!("{EVENTS}\tquorum\ttrue"))
            .then_some(())
    })
    .await;
    assert!(
        consumer.declares(EVENTS, declared(EVENTS)).await,
        "the queue should be a quorum queue with a dead-letter queue"
    );
    assert!(
        consumer.declares_exchange(ExchangeKind::Topic, true).await,
        "the exchange should be a durable topic exchange"
    );
    assert!(!consumer.declares_exchange(ExchangeKind::Topic, false).await);
    assert!(!consumer.declares_exchange(ExchangeKind::Fanout, true).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn unrouted_deliveries_are_marked_and_can_be_redriven() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);
    assert!(consumer.declares(EVENTS, quorum(&[])).await);
    consumer.bind(EVENTS, &format!("#.{SHOP}")).await;
    // All deliveries are stored before the broker starts, so that routable and unroutable events share batches.
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let ledger = send_some(&gateway, 120, 3).await;
    gateway.settled().await;
    assert!(gateway.terminate().await.success());
    let url = node.url();
    gateway.set_options(&["--amqp-url", &url, "--topology", "none"]);
    gateway.start().await;
    eventually("logged deliveries become pending", || async {
        gateway.deliveries_in("logged").is_empty().then_some(())
    })
    .await;
    gateway.settled().await;

    let (shop, site) = (ledger.of(SHOP), ledger.of(SITE));
    let unrouted: BTreeSet<String> = gateway.deliveries_in("unrouted").into_iter().collect();
    let lost: Vec<_> = site.deliveries().difference(&unrouted).cloned().collect();
    assert!(
        lost.is_empty(),
        "{} unroutable deliveries are not marked as unrouted",
        lost.len()
    );
    assert!(
        unrouted.is_disjoint(&shop.deliveries()),
        "deliveries with a bound queue are marked as unrouted"
    );
    let published: BTreeSet<String> = gateway.deliveries_in("published").into_iter().collect();
    assert!(shop.deliveries().is_subset(&published));
    let arrived = consumer.drain(EVENTS).await;
    shop.assert_told_once_by(&events(&arrived));
    assert!(
        gateway
            .metric("cartwire_events_total", "ending=\"unrouted\"")
            .await
            >= 180.0,
        "the metric should count unrouted events"
    );

    consumer.bind(EVENTS, "#").await;
    let counted = gateway.cli_json(&["deliveries", "redrive", "--state", "unrouted", "--dry-run"]);
    assert_eq!(counted["chosen"].as_u64(), Some(unrouted.len() as u64));
    gateway.cli_json(&["deliveries", "redrive", "--state", "unrouted"]);
    gateway.settled().await;
    let arrived = consumer.drain(EVENTS).await;
    site.assert_told_once_by(&events(&arrived));
    assert!(
        arrived
            .iter()
            .all(|arrived| arrived.event["origin"] == "redrive")
    );
    assert!(
        arrived
            .iter()
            .all(|arrived| arrived.header("cloudEvents_origin").as_deref() == Some("redrive"))
    );
    assert_eq!(gateway.deliveries_in("unrouted"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_missing_queue_and_declares_none() {
    let node = RabbitNode::started().await;
    let gateway = ProcessGateway::new(&[]);
    let url = node.url();
    let doctor = |more: &[&str]| {
        let output = gateway.cli(
            &[
                &[
                    "doctor",
                    "--json",
                    "--disk-reserve",
                    "1",
                    "--amqp-url",
                    &url,
                ],
                more,
            ]
            .concat(),
        );
        let found: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("doctor should print JSON");
        (output.status.code(), found["to_do"].clone())
    };
    assert_eq!(
        doctor(&[]).0,
        Some(0),
        "serve declares missing queues, so this is no problem"
    );
    for _ in 0..2 {
        let (code, to_do) = doctor(&["--topology", "check"]);
        assert_eq!(code, Some(1));
        assert!(
            to_do[0]
                .as_str()
                .is_some_and(|step| step.contains("exchange cartwire.events")),
            "{to_do}"
        );
        assert!(
            to_do[1]
                .as_str()
                .is_some_and(|step| step.contains("queue cartwire.events")),
            "{to_do}"
        );
    }
    let mut serving = ProcessGateway::with_broker(&url);
    serving.start().await;
    eventually("the queues are there", || async {
        (doctor(&["--topology", "check"]).0 == Some(0)).then_some(())
    })
    .await;
}
