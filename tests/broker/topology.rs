//! Topology changes of a real RabbitMQ while the gateway runs.

use std::collections::BTreeSet;

use lapin::ExchangeKind;
use support::consumer::{Consumer, EVENTS, declared, events, quorum};
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::store::Order;
use support::{eventually, send_signal};

use crate::doctor::doctor;

fn in_state(gateway: &ProcessGateway, state: &str) -> BTreeSet<String> {
    gateway.deliveries_in(state).into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_queue_is_declared_again_and_keeps_key_order() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    let before = gateway.store().send_all(&Order::some(6), 0, 5).await;
    gateway.settled().await;
    before.assert_told_by(&events(&consumer.drain(EVENTS).await));
    consumer.delete_queue(EVENTS).await;
    let during = gateway.store().send_all(&Order::some(6), 5, 15).await;
    gateway.settled().await;
    assert_eq!(in_state(&gateway, "unrouted"), BTreeSet::new());
    let arrived = consumer.drain(EVENTS).await;
    during.assert_told_by(&events(&arrived));
    // The queue again has the gateway's own arguments, with the dead-letter queue.
    assert!(consumer.declares(EVENTS, declared(EVENTS)).await);
    assert!(gateway.log_text().contains("queue declared"));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_binding_is_restored_at_the_first_returned_event() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    gateway.store().send_all(&Order::some(2), 0, 1).await;
    gateway.settled().await;
    consumer.drain(EVENTS).await;
    consumer.unbind(EVENTS, "#").await;
    let ledger = gateway.store().send_all(&Order::some(2), 1, 6).await;
    gateway.settled().await;
    assert_eq!(in_state(&gateway, "unrouted"), BTreeSet::new());
    ledger.assert_told_by(&events(&consumer.drain(EVENTS).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_queue_declaration_is_an_error_and_events_wait() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);
    assert!(consumer.declares(EVENTS, quorum(&[])).await);
    consumer.bind(EVENTS, "#").await;
    let url = node.url();
    let options = ["--amqp-url", &url, "--topology", "check"];
    let mut gateway = ProcessGateway::new(&options);
    gateway.start().await;
    let before = gateway.store().send_all(&Order::some(4), 0, 3).await;
    gateway.settled().await;
    before.assert_told_by(&events(&consumer.drain(EVENTS).await));

    consumer.delete_queue(EVENTS).await;
    let during = gateway.store().send_all(&Order::some(4), 3, 6).await;
    eventually("the gateway reports the lost topology", || async {
        let trouble = gateway
            .metric("cartwire_broker_trouble", "reason=\"topology_lost\"")
            .await;
        (trouble == 1.0).then_some(())
    })
    .await;
    let ready = gateway.admin_json("/readyz").await;
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["broker"]["reason"], "topology_lost", "{ready}");
    let log = gateway.log_text();
    let errors = log.matches("broker topology lost").count();
    assert!(log.contains("ERROR") && errors == 1, "one error: {log}");
    eventually("connections list reports the problem", || async {
        let list = gateway.cli(&["connections", "list"]);
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        let first = text.lines().next().unwrap_or_default().to_owned();
        first.contains("cartwire.events is missing").then_some(())
    })
    .await;
    let (code, to_do, _) = doctor(&gateway, &options);
    assert_eq!(code, Some(1));
    assert!(
        to_do.starts_with("[\"broker: make the queue cartwire.events"),
        "{to_do}"
    );

    // A queue without its binding receives nothing, so the gateway must see both changes at once.
    let pid = gateway.pid().expect("the gateway should be running");
    send_signal("STOP", pid);
    assert!(consumer.declares(EVENTS, quorum(&[])).await);
    consumer.bind(EVENTS, "#").await;
    send_signal("CONT", pid);
    gateway.settled().await;
    during.assert_told_by(&events(&consumer.drain(EVENTS).await));
    assert_eq!(in_state(&gateway, "unrouted"), BTreeSet::new());
    let ready = gateway.admin_json("/readyz").await;
    assert_eq!(ready["broker"]["connected"], true, "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_binding_leaves_unrouted_deliveries_and_an_error() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);
    assert!(consumer.declares(EVENTS, quorum(&[])).await);
    let url = node.url();
    for mode in ["check", "none"] {
        let mut gateway = ProcessGateway::new(&["--amqp-url", &url, "--topology", mode]);
        gateway.start().await;
        let ledger = gateway.store().send_all(&Order::some(2), 0, 2).await;
        gateway.settled().await;
        assert!(
            ledger
                .deliveries()
                .is_subset(&in_state(&gateway, "unrouted")),
            "{mode}"
        );
        let ready = gateway.admin_json("/readyz").await;
        assert_eq!(ready["broker"]["reason"], "events_unrouted", "{ready}");
        assert_eq!(gateway.log_text().matches("events are unrouted").count(), 1);
        let unrouted = gateway.metric("cartwire_unrouted_deliveries", "").await;
        assert!(unrouted >= 4.0, "{unrouted}");
        gateway.cli_json(&["deliveries", "acknowledge", "--state", "unrouted"]);
        assert_eq!(
            gateway.metric("cartwire_unrouted_deliveries", "").await,
            0.0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_subscription_are_no_error_and_redrivable() {
    let node = RabbitNode::started().await;
    let url = node.url();
    let options = ["--amqp-url", &url, "--queue", "shop=#.shop-a"];
    let mut gateway = ProcessGateway::new(&options);
    gateway.start().await;
    let ledger = gateway.store().send_all(&Order::some(4), 0, 3).await;
    gateway.settled().await;
    assert_eq!(in_state(&gateway, "unrouted"), BTreeSet::new());
    let site = ledger.of(support::store::SITE).deliveries();
    assert!(site.is_subset(&in_state(&gateway, "unsubscribed")));
    let shop = ledger.of(support::store::SHOP).deliveries();
    assert!(shop.is_subset(&in_state(&gateway, "published")));
    let (code, to_do, sections) = doctor(&gateway, &options);
    assert_eq!((code, to_do.as_str()), (Some(0), "[]"), "{sections}");
    assert!(sections.contains("no queue subscribes to"), "{sections}");
    let metric = gateway.metric("cartwire_events_total", "ending=\"unsubscribed\"");
    assert!(metric.await >= 6.0);

    assert!(gateway.terminate().await.success());
    gateway.set_options(&[
        "--amqp-url",
        &url,
        "--queue",
        "shop=#.shop-a",
        "--queue",
        "rest=#",
    ]);
    gateway.start().await;
    gateway.cli_json(&["deliveries", "redrive", "--state", "unsubscribed"]);
    gateway.settled().await;
    assert_eq!(in_state(&gateway, "unsubscribed"), BTreeSet::new());
    let arrived = Consumer::connect(&url).await.drain("rest").await;
    ledger
        .of(support::store::SITE)
        .assert_told_once_by(&events(&arrived));
}

#[tokio::test(flavor = "multi_thread")]
async fn narrowed_pattern_removes_the_earlier_binding() {
    let node = RabbitNode::started().await;
    let url = node.url();
    let mut gateway = ProcessGateway::new(&["--amqp-url", &url, "--queue", "orders=#"]);
    gateway.start().await;
    gateway.store().send_all(&Order::some(2), 0, 1).await;
    gateway.settled().await;
    assert!(gateway.terminate().await.success());
    let narrowed = ["--amqp-url", &url, "--queue", "orders=#.shop-a"];
    gateway.set_options(&narrowed);
    gateway.start().await;
    let bindings = || {
        node.ctl(&[
            "list_bindings",
            "source_name",
            "routing_key",
            "destination_name",
        ])
    };
    eventually("the earlier binding is removed", || async {
        let bindings = bindings();
        let of_exchange: Vec<&str> = bindings
            .lines()
            .filter(|line| line.starts_with("cartwire.events\t"))
            .collect();
        (of_exchange == ["cartwire.events\t#.shop-a\torders"]).then_some(())
    })
    .await;
    // A queue that is no longer configured is not deleted, but `doctor` names it.
    assert!(gateway.terminate().await.success());
    let other = ["--amqp-url", &url, "--queue", "all=#"];
    gateway.set_options(&other);
    gateway.start().await;
    eventually("the new queue exists", || async {
        bindings().contains("\tall").then_some(())
    })
    .await;
    assert!(bindings().contains("#.shop-a\torders"));
    let (_, _, sections) = doctor(&gateway, &other);
    assert!(
        sections.contains("the queue orders was bound by an earlier --queue"),
        "{sections}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn message_requeued_too_often_goes_to_the_dead_letter_queue() {
    let node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    eventually("the queue exists", || async {
        node.ctl(&["list_queues", "name"])
            .contains("cartwire.events.dead")
            .then_some(())
    })
    .await;
    // RabbitMQ 4 has a default delivery limit of 20; older versions need a policy.
    let policy = [
        "set_policy",
        "limit",
        "^cartwire.events$",
        r#"{"delivery-limit":2}"#,
        "--apply-to",
        "queues",
    ];
    node.ctl(&policy);
    gateway.store().send_all(&Order::some(1), 0, 1).await;
    gateway.settled().await;
    let consumer = Consumer::connect(&node.url()).await;
    let mut rounds = 0;
    while consumer.requeue_all(EVENTS).await > 0 {
        rounds += 1;
        assert!(rounds < 50, "the delivery limit is ignored");
    }
    eventually("the event is in the dead-letter queue", || async {
        let dead = consumer.drain("cartwire.events.dead").await;
        dead.iter()
            .any(support::consumer::Arrived::is_order)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_above_the_limit_of_the_broker_is_published_without_raw() {
    // Measures the size of the event with and without the platform's payload.
    let mut measured = ProcessGateway::new(&[]);
    measured.start().await;
    measured.store().send_all(&Order::some(1), 0, 1).await;
    measured.settled().await;
    let mut event = measured.exported_events().pop().expect("an exported event");
    let whole = event.to_string().len();
    event["data"]
        .as_object_mut()
        .expect("an object")
        .remove("raw");
    let limit = (whole + event.to_string().len()) / 2;

    let mut node = RabbitNode::stopped();
    node.configure(&format!("max_message_size = {limit}\n"), "[].");
    node.start().await;
    let mut gateway = ProcessGateway::with_broker(&node.url());
    gateway.start().await;
    gateway.store().send_all(&Order::some(1), 0, 1).await;
    gateway.settled().await;
    let refused = in_state(&gateway, "dead_lettered");
    assert!(refused.is_empty(), "{}", gateway.log_text());
    let is_order = |event: &serde_json::Value| event["type"] == "cartwire.order.updated";
    let mut events = gateway.exported_events();
    events.retain(is_order);
    let event = events.pop().expect("one event should be published");
    assert_eq!(event["data"]["raw_omitted"], true);
    assert!(gateway.log_text().contains("refuses larger messages"));
}
