//! Faults where the broker rejects or does not confirm the events of one store, but accepts those of the honest store.

use std::time::Duration;

use lapin::types::AMQPValue;

use crate::attack::{ATTACK, send_side_by_side, signed};
use crate::fault::Fault;
use crate::scene::Scene;
use support::consumer::quorum;
use support::ledger::Accepted;
use support::store::{Order, SHOP};

pub(crate) const FAULTS: &[Fault] = &[
    // Each publish attempt leaves a copy in the healthy queue: `--bounds` limits the number of copies.
    Fault {
        name: "queue-refuses",
        says: "One store's second queue is full and rejects (reject-publish), beside a queue that takes everything.",
        may_repeat: true,
        begin: |scene| Box::pin(add_full_queue(scene)),
        end: |scene| Box::pin(async { scene.consumer().await.delete_queue(REFUSING).await }),
        ..ATTACK
    },
    Fault {
        name: "queue-hangs",
        says: "The leader of one store's second queue withholds all confirms.",
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                bind_to_shop(scene, HANGING, &[]).await;
                hang(scene, "suspend");
                attack_for(scene, 2, 45).await;
            })
        },
        end: |scene| {
            Box::pin(async {
                hang(scene, "resume");
                scene.consumer().await.delete_queue(HANGING).await;
            })
        },
        ..ATTACK
    },
    Fault {
        name: "routing-key-forbidden",
        says: "The broker forbids the routing keys of one store (403).",
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                let allowed = format!("^(?!.*{SHOP}$)");
                scene.nodes[0].ctl(&[
                    "set_topic_permissions",
                    "guest",
                    "cartwire.events",
                    &allowed,
                    ".*",
                ]);
                // Open channels cache permissions, so the connections are closed.
                scene.nodes[0].ctl(&["close_all_connections", "rights"]);
                attack_for(scene, 1, 40).await;
            })
        },
        end: |scene| {
            Box::pin(async { drop(scene.nodes[0].ctl(&["clear_topic_permissions", "guest"])) })
        },
        ..ATTACK
    },
    Fault {
        name: "event-too-large",
        says: "One store's events are larger than the broker takes, which is less than the gateway is configured for.",
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                limit_messages(scene, 128 << 10);
                send_large_orders(scene).await;
                attack_for(scene, 0, 20).await;
            })
        },
        end: |scene| {
            Box::pin(async {
                limit_messages(scene, 128 << 20);
                scene.to_redrive = vec!["dead_lettered"];
            })
        },
        ..ATTACK
    },
    Fault {
        name: "broker-frozen-connects",
        says: "The broker takes connections and never answers: attempts to connect leave no thread and no descriptor.",
        only_long: true,
        may_repeat: true,
        begin: |scene| Box::pin(connect_in_vain(scene)),
        end: |scene| Box::pin(async { scene.reach_broker().await }),
        ..ATTACK
    },
];

const REFUSING: &str = "refusing";
const HANGING: &str = "hanging";

/// Waits `short` seconds, or `long` seconds in the long version.
async fn attack_for(scene: &Scene, short: u64, long: u64) {
    let seconds = if scene.long { long } else { short };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Declares a quorum queue with these arguments and binds it to the first shop's events.
async fn bind_to_shop(scene: &Scene, queue: &str, arguments: &[(&str, AMQPValue)]) {
    let consumer = scene.consumer().await;
    assert!(consumer.declares(queue, quorum(arguments)).await);
    consumer.bind(queue, &format!("#.{SHOP}")).await;
}

async fn add_full_queue(scene: &mut Scene) {
    let limit = [
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    bind_to_shop(scene, REFUSING, &limit).await;
    scene
        .until_counted("cartwire_publish_retries_total", "refused", 0.0)
        .await;
    attack_for(scene, 1, 30).await;
}

/// `action` is `suspend` or `resume`, applied to the Erlang process that leads the hanging queue.
fn hang(scene: &Scene, action: &str) {
    let call = format!("sys:{action}(list_to_atom(\"%2F_{HANGING}\")).");
    scene.nodes[0].ctl(&["eval", &call]);
}

/// Sets the broker's maximum message size. Open channels keep their limit, so all connections are closed.
fn limit_messages(scene: &Scene, bytes: usize) {
    let call = format!("application:set_env(rabbit, max_message_size, {bytes}).");
    scene.nodes[0].ctl(&["eval", &call]);
    scene.nodes[0].ctl(&["close_all_connections", "limit"]);
}

async fn send_large_orders(scene: &mut Scene) {
    const FIRST_ORDER: u64 = 9_300;
    const ORDERS: u64 = 6;
    let order = |number: u64| {
        let note = "x".repeat(300_000);
        let payload = format!(
            r#"{{"id":{},"status":"processing","total":"1.00","customer_note":"{note}"}}"#,
            FIRST_ORDER + number
        );
        signed("order.updated", &payload)
    };
    let requests: Vec<_> = (0..ORDERS).map(order).collect();
    let deliveries = send_side_by_side(&scene.store, &requests).await;
    let accepted = (0..).zip(deliveries).map(|(number, delivery)| Accepted {
        partition_key: Order::Shop(FIRST_ORDER + number).partition_key(),
        revision: 0,
        delivery,
    });
    scene.attack.0.extend(accepted);
}

/// Asserts that the gateway's threads and file descriptors stay bounded while it connects to a broker that never
/// answers.
async fn connect_in_vain(scene: &mut Scene) {
    const MORE: usize = 40;
    let pid = scene.gateway.pid().expect("the gateway should be running");
    let used = || {
        let count = |what: &str| {
            std::fs::read_dir(format!("/proc/{pid}/{what}"))
                .expect("/proc/{pid} should be readable")
                .count()
        };
        count("fd") + count("task")
    };
    let before = used();
    scene.lose_broker();
    for _ in 0..30 {
        scene.network.cut();
        attack_for(scene, 0, 2).await;
    }
    let after = used();
    assert!(
        after < before + MORE,
        "threads and descriptors grew from {before} to {after}"
    );
}
