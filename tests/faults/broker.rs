//! The broker stops, blocks, rejects or loses its state. No webhook may be lost or rejected because of it.

use crate::fault::{Fault, nothing};
use crate::scene::Scene;
use support::consumer::EVENTS;

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "broker-killed",
        says: "SIGKILL of RabbitMQ, and a start.",
        begin: |scene| Box::pin(async { scene.nodes[0].kill() }),
        end: |scene| Box::pin(async { scene.nodes[0].start().await }),
        ..FAULT
    },
    Fault {
        name: "broker-stopped",
        says: "An orderly stop of RabbitMQ, for up to a minute, and a start.",
        only_long: true,
        begin: |scene| Box::pin(async { scene.nodes[0].stop().await }),
        end: |scene| {
            Box::pin(async {
                scene.last(1_000, 60_000).await;
                scene.nodes[0].start().await;
            })
        },
        ..FAULT
    },
    Fault {
        name: "broker-frozen",
        says: "RabbitMQ hangs (SIGSTOP) and goes on.",
        begin: |scene| Box::pin(async { scene.nodes[0].set_frozen(true) }),
        end: |scene| {
            Box::pin(async {
                scene.last(1_000, 45_000).await;
                scene.nodes[0].set_frozen(false);
            })
        },
        ..FAULT
    },
    Fault {
        name: "memory-alarm",
        says: "RabbitMQ's memory alarm blocks all publishers.",
        may_repeat: false,
        begin: |scene| {
            Box::pin(async {
                scene.nodes[0].set_memory_alarm(true);
                scene
                    .until_counted("cartwire_broker_blocked", "", 0.0)
                    .await;
            })
        },
        end: |scene| Box::pin(async { scene.nodes[0].set_memory_alarm(false) }),
        ..FAULT
    },
    Fault {
        name: "disk-alarm",
        says: "RabbitMQ's disk alarm blocks all publishers.",
        only_long: true,
        may_repeat: false,
        begin: |scene| {
            Box::pin(async {
                scene.nodes[0].set_disk_alarm(true);
                scene
                    .until_counted("cartwire_broker_blocked", "", 0.0)
                    .await;
            })
        },
        end: |scene| Box::pin(async { scene.nodes[0].set_disk_alarm(false) }),
        ..FAULT
    },
    Fault {
        name: "rights-removed",
        says: "The user may do nothing any more, and learns so at the next connection.",
        begin: |scene| {
            Box::pin(async {
                // RabbitMQ caches the permissions of an open channel, so the gateway would notice the change only a
                // minute later.
                scene.nodes[0].ctl(&["clear_permissions", "guest"]);
                scene.nodes[0].ctl(&["close_all_connections", "rights"]);
            })
        },
        end: |scene| {
            Box::pin(async {
                drop(scene.nodes[0].ctl(&["set_permissions", "guest", ".*", ".*", ".*"]))
            })
        },
        ..FAULT
    },
    Fault {
        name: "connection-closed",
        says: "The broker closes the connection.",
        begin: |scene| {
            Box::pin(async { drop(scene.nodes[0].ctl(&["close_all_connections", "maintenance"])) })
        },
        ..FAULT
    },
    Fault {
        name: "channel-closed",
        says: "The broker closes every channel over a request that it cannot fulfil (404).",
        begin: |scene| {
            Box::pin(async {
                // Simulates a client that declares an exchange which does not exist (404), on every channel.
                let ask = "{'exchange.declare', 0, <<\"none\">>, <<\"direct\">>, true, false, false, false, false, []}";
                let cast = format!(
                    "[gen_server2:cast(P, {{method, {ask}, none, noflow}}) || P <- rabbit_channel:list()]."
                );
                scene.nodes[0].ctl(&["eval", &cast]);
            })
        },
        ..FAULT
    },
    Fault {
        name: "queue-full",
        says: "The queue is full and rejects (reject-publish).",
        may_repeat: false,
        begin: |scene| {
            Box::pin(async {
                let limit = r#"{"max-length":20,"overflow":"reject-publish"}"#;
                scene.nodes[0].ctl(&[
                    "set_policy",
                    "full",
                    "^cartwire",
                    limit,
                    "--apply-to",
                    "queues",
                ]);
                scene
                    .until_counted("cartwire_publish_retries_total", "refused", 0.0)
                    .await;
            })
        },
        end: |scene| Box::pin(async { drop(scene.nodes[0].ctl(&["clear_policy", "full"])) }),
        ..FAULT
    },
    Fault {
        name: "queue-unbound",
        says: "The queue loses its binding: the gateway sets it again at the first event that is returned.",
        may_repeat: false,
        begin: |scene| {
            Box::pin(async {
                scene.consumer().await.unbind(EVENTS, "#").await;
            })
        },
        ..FAULT
    },
    Fault {
        name: "exchange-deleted",
        says: "The exchange is deleted with its bindings: the gateway declares both again.",
        begin: |scene| Box::pin(async { scene.consumer().await.delete_exchange().await }),
        ..FAULT
    },
    // The operator deletes events that the queue had confirmed. The journal still has them, so the operator also
    // redrives published deliveries. This fault cannot show whether a returned event counts as published;
    // `queue-unbound` can.
    Fault {
        name: "queue-deleted",
        says: "The queue is deleted with all that is in it: the gateway declares it again, and redriving what was published brings the rest back.",
        begin: |scene| {
            Box::pin(async {
                scene.consumer().await.delete_queue(EVENTS).await;
            })
        },
        end: |scene| {
            Box::pin(async {
                scene.to_redrive = vec!["published"];
            })
        },
        ..FAULT
    },
    Fault {
        name: "node-of-three-killed",
        says: "SIGKILL of a node of three, any of them: the other two go on, and it comes back.",
        nodes: 3,
        only_long: true,
        begin: |scene| Box::pin(kill_one_of_three(scene)),
        end: |scene| {
            Box::pin(async {
                for node in scene.nodes.iter_mut().filter(|node| !node.runs()) {
                    node.start().await;
                }
            })
        },
        ..FAULT
    },
];

const FAULT: Fault = Fault {
    name: "",
    says: "",
    turned_away: &[],
    may_repeat: true,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: false,
    begin: nothing,
    end: nothing,
};

async fn kill_one_of_three(scene: &mut Scene) {
    let one = usize::try_from(scene.dice.below(3)).unwrap_or_default();
    scene.nodes[one].kill();
    let before = scene
        .gateway
        .metric("cartwire_events_total", "ending=\"published\"")
        .await;
    scene
        .until_counted("cartwire_events_total", "ending=\"published\"", before)
        .await;
}
