//! The gateway against a real RabbitMQ: a node for each test, started and ended here, and never skipped where there is
//! none.
//!
//! What arrives is compared with what was answered 200. A delivery that counts as settled must be in the queue at that
//! moment: queues are drained once, without waiting for more. Injuries at random moments are in `tests/faults`.

use std::collections::BTreeSet;

use lapin::ExchangeKind;
use lapin::types::AMQPValue;
use support::consumer::{Arrived, Consumer, EVENTS, declared, events, quorum};
use support::eventually;
use support::ledger::Ledger;
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::store::{Order, SHOP, SITE};

/// Sends a few revisions of a few orders.
async fn send_some(gateway: &ProcessGateway, orders: u64, revisions: u64) -> Ledger {
    gateway
        .store()
        .send_all(&Order::some(orders), 0, revisions)
        .await
}

/// Waits until all is settled, drains the queue and compares.
async fn assert_all_arrived(
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
async fn events_arrive_persistent_and_with_all_properties_of_the_contract() {
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
                .unwrap_or_else(|| panic!("no {name} in {event}"))
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
        let time: jiff::Timestamp = text("time").parse().expect("an instant");
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
        let words = kind.strip_prefix("cartwire.").expect("our type");
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
async fn the_exchange_is_a_durable_topic_and_the_queue_a_quorum_queue_before_the_first_event() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let consumer = Consumer::connect(&node.url()).await;
    // Nothing was sent, and all is there: declaring it the same way succeeds, any other way fails.
    eventually("the gateway declares its queue", || async {
        let queues = node.ctl(&["list_queues", "name", "type", "durable"]);
        queues
            .contains(&format!("{EVENTS}\tquorum\ttrue"))
            .then_some(())
    })
    .await;
    assert!(
        consumer.declares(EVENTS, declared(EVENTS)).await,
        "a quorum queue with a dead-letter queue"
    );
    assert!(
        consumer.declares_exchange(ExchangeKind::Topic, true).await,
        "a durable topic exchange"
    );
    assert!(!consumer.declares_exchange(ExchangeKind::Topic, false).await);
    assert!(!consumer.declares_exchange(ExchangeKind::Fanout, true).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_from_the_start_costs_no_webhook_and_gets_everything_when_it_comes() {
    let mut node = RabbitNode::stopped();
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let ledger = send_some(&gateway, 10, 20).await;
    assert!(
        gateway.is_ready().await,
        "ready although the broker is away"
    );
    assert_eq!(gateway.deliveries_in("published"), Vec::<String>::new());
    node.start().await;
    assert_all_arrived(&gateway, &node, &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_stopped_and_started_in_order_loses_nothing() {
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
async fn a_memory_alarm_holds_up_events_and_no_webhook() {
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
    assert!(gateway.is_ready().await, "ready although the broker blocks");
    let published: BTreeSet<String> = gateway.deliveries_in("published").into_iter().collect();
    assert!(
        published.is_disjoint(&during.deliveries()),
        "nothing counts as published that was not confirmed"
    );
    node.set_memory_alarm(false);
    assert_all_arrived(&gateway, &node, &before.and(during)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_queue_is_bound_for_is_unrouted_beside_published_ones_and_can_be_redriven() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);
    assert!(consumer.declares(EVENTS, quorum(&[])).await);
    consumer.bind(EVENTS, &format!("#.{SHOP}")).await;
    // Everything is there before the broker is, so that good and unroutable events stand in the same batches.
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let ledger = send_some(&gateway, 120, 3).await;
    gateway.settled().await;
    assert!(gateway.terminate().await.success());
    let url = node.url();
    gateway.set_options(&["--amqp-url", &url, "--topology", "none"]);
    gateway.start().await;
    eventually("what was logged is pending again", || async {
        gateway.deliveries_in("logged").is_empty().then_some(())
    })
    .await;
    gateway.settled().await;

    let (shop, site) = (ledger.of(SHOP), ledger.of(SITE));
    let unrouted: BTreeSet<String> = gateway.deliveries_in("unrouted").into_iter().collect();
    let lost: Vec<_> = site.deliveries().difference(&unrouted).cloned().collect();
    assert!(
        lost.is_empty(),
        "{} unroutable deliveries do not count as unrouted",
        lost.len()
    );
    assert!(
        unrouted.is_disjoint(&shop.deliveries()),
        "deliveries count as unrouted that a queue was bound for"
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
        "unrouted events are counted"
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
async fn an_exchange_deleted_while_the_gateway_runs_is_made_again_and_nothing_is_lost() {
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
        "its queues are bound again before the first event"
    );
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_queue_refuses_is_tried_again_in_order_until_there_is_room() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    // An operator's own queue, otherwise than the gateway would declare it.
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
    assert!(gateway.is_ready().await, "ready although the queue is full");
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
async fn events_kept_without_a_broker_are_published_when_one_is_configured() {
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
    eventually("what was logged is pending again", || async {
        gateway.deliveries_in("logged").is_empty().then_some(())
    })
    .await;
    let arrived = assert_all_arrived(&gateway, &node, &ledger).await;
    assert!(
        arrived
            .iter()
            .all(|arrived| arrived.event["origin"] == "webhook"),
        "it is their first time"
    );
    assert_eq!(gateway.deliveries_in("logged"), Vec::<String>::new());
    ledger.assert_told_once_by(&gateway.exported_events());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_told_to_end_under_load_ends_well_and_loses_nothing() {
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

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_which_queue_is_missing_and_makes_none() {
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
            serde_json::from_slice(&output.stdout).expect("JSON is printed");
        (output.status.code(), found["to_do"].clone())
    };
    assert_eq!(doctor(&[]).0, Some(0), "serve makes what is missing");
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
