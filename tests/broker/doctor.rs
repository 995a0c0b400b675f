//! The checks that `doctor` makes of a real RabbitMQ's topology.

use lapin::ExchangeKind;
use lapin::types::AMQPValue;
use serde_json::Value;
use support::consumer::{Consumer, EVENTS, quorum};
use support::eventually;
use support::node::RabbitNode;
use support::process::ProcessGateway;

/// Runs `doctor`. Returns its exit code, its remedies and all its lines.
pub(crate) fn doctor(gateway: &ProcessGateway, options: &[&str]) -> (Option<i32>, String, String) {
    let output = gateway.cli(&[&["doctor", "--json", "--disk-reserve", "1"], options].concat());
    let found: Value = serde_json::from_slice(&output.stdout).expect("doctor should print JSON");
    (
        output.status.code(),
        found["to_do"].to_string(),
        found["sections"].to_string(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_faults_that_stop_events() {
    let node = RabbitNode::started().await;
    let consumer = Consumer::connect(&node.url()).await;
    let url = node.url();
    let gateway = ProcessGateway::new(&[]);
    let options = ["--amqp-url", url.as_str()];
    // An exchange of another type with the gateway's exchange name.
    assert!(consumer.declares_exchange(ExchangeKind::Fanout, true).await);
    let (code, to_do, _) = doctor(&gateway, &options);
    assert_eq!(code, Some(1));
    assert!(
        to_do.contains("delete the exchange cartwire.events"),
        "{to_do}"
    );
    consumer.delete_exchange().await;
    assert!(consumer.declares_exchange(ExchangeKind::Topic, true).await);

    // A classic queue that drops its oldest events.
    let limited = support::consumer::arguments(&[("x-max-length", AMQPValue::LongInt(20))]);
    assert!(consumer.declares(EVENTS, limited).await);
    let (code, to_do, sections) = doctor(&gateway, &options);
    assert_eq!(code, Some(1));
    assert!(to_do.contains("x-overflow reject-publish"), "{to_do}");
    assert!(sections.contains("is a classic queue"), "{sections}");
    consumer.delete_queue(EVENTS).await;

    // A plain quorum queue works, and `doctor` recommends the policy.
    assert!(consumer.declares(EVENTS, quorum(&[])).await);
    let (code, _, sections) = doctor(&gateway, &options);
    assert_eq!(code, Some(0), "{sections}");
    assert!(sections.contains("rabbitmqctl set_policy"), "{sections}");
    assert_eq!(
        consumer.drain(EVENTS).await.len(),
        0,
        "the check should publish nothing"
    );

    // A user without permissions.
    node.ctl(&["add_user", "poor", "poor"]);
    node.ctl(&["set_permissions", "poor", "^$", "^$", ".*"]);
    let poor = format!("amqp://poor:poor@127.0.0.1:{}/%2f", node.port());
    let (code, to_do, _) = doctor(&gateway, &["--amqp-url", &poor]);
    assert_eq!(code, Some(1));
    assert!(to_do.contains("right to configure"), "{to_do}");
    assert!(to_do.contains("right to write"), "{to_do}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_restores_only_missing_bindings_beside_a_gateway() {
    let node = RabbitNode::started().await;
    let url = node.url();
    let options = ["--amqp-url", url.as_str()];
    let mut gateway = ProcessGateway::new(&options);
    gateway.start().await;
    let consumer = Consumer::connect(&url).await;
    eventually("the queue is there", || async {
        node.ctl(&["list_queues", "name"])
            .contains(EVENTS)
            .then_some(())
    })
    .await;
    assert_eq!(doctor(&gateway, &options).0, Some(0));
    consumer.delete_queue(EVENTS).await;
    let (code, to_do, _) = doctor(&gateway, &options);
    assert_eq!(code, Some(1));
    assert!(
        to_do.contains("declares the queue cartwire.events again"),
        "{to_do}"
    );
    // The regular topology check declares the queue; no event is needed.
    eventually("the gateway declares the queue again", || async {
        node.ctl(&["list_queues", "name"])
            .contains("cartwire.events\n")
            .then_some(())
    })
    .await;
}
