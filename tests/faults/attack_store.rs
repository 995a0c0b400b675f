//! Faults of one store, one client or the machine, beside an honest store: floods, forged headers, clients that read
//! nothing, a damaged row, a moved data folder.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::attack::{ATTACK, send_all, send_side_by_side, signed};
use crate::fault::{Fault, UNAVAILABLE};
use crate::scene::Scene;
use support::process::ProcessGateway;
use support::store::{Order, SHOP};
use support::{eventually, unique};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "flood-of-one-store",
        says: "One store updates thousands of orders while the broker is away.",
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                scene.lose_broker();
                let webhooks = if scene.long { 20_000 } else { 1_000 };
                send_all(scene, webhooks, |number| (Order::Shop(20_000 + number), 0)).await;
            })
        },
        end: |scene| Box::pin(async { scene.reach_broker().await }),
        ..ATTACK
    },
    Fault {
        name: "unsigned-header-changed",
        says: "Captured webhooks come again with other topics, which stand outside the signature.",
        begin: |scene| Box::pin(change_topics(scene)),
        end: |scene| Box::pin(assert_no_forged_deletion(scene)),
        ..ATTACK
    },
    Fault {
        name: "event-streams-unread",
        says: "Three hundred clients open event streams and read nothing.",
        only_long: true,
        begin: |scene| Box::pin(open_streams(scene)),
        ..ATTACK
    },
    Fault {
        name: "log-unread",
        says: "The reader of the log hangs: the pipe is full from the start.",
        prepare: Some(ProcessGateway::leave_log_unread),
        ..ATTACK
    },
    Fault {
        name: "damaged-row",
        says: "A row of the journal is damaged.",
        prepare: Some(damage_row),
        ..ATTACK
    },
    Fault {
        name: "data-folder-moved",
        says: "The data folder is moved while the gateway serves: it accepts nothing until the folder is back.",
        turned_away: &[UNAVAILABLE],
        has_honest_store: false,
        begin: |scene| Box::pin(move_data_folder(scene)),
        end: |scene| {
            Box::pin(async {
                let data = scene.gateway.data();
                std::fs::rename(data.with_file_name(MOVED), data)
                    .expect("the data folder should be moved back");
            })
        },
        ..ATTACK
    },
];

/// The data folder's temporary name.
const MOVED: &str = "moved";
/// The order of the forged webhooks. The ordinary load never uses this id.
const FORGED_ORDER: u64 = 9_400;

async fn change_topics(scene: &mut Scene) {
    let payload = format!(
        r#"{{"id":{FORGED_ORDER},"status":"processing","currency":"EUR","total":"19.90","date_modified_gmt":"2026-03-14T09:26:53"}}"#
    );
    let topics = ["order.deleted", "customer.deleted", "product.deleted"];
    let requests = topics.map(|topic| {
        let mut request = signed("order.updated", &payload);
        for (name, value) in &mut request.headers {
            let (resource, event) = topic.split_once('.').expect("a topic should contain a dot");
            match name.to_lowercase().as_str() {
                "x-wc-webhook-topic" => topic.clone_into(value),
                "x-wc-webhook-resource" => resource.clone_into(value),
                "x-wc-webhook-event" => event.clone_into(value),
                _ => {}
            }
        }
        request
    });
    scene.examined = send_side_by_side(&scene.store, &requests).await;
}

/// Asserts that no event with full authority reports the deletion of an object that a forged webhook names.
async fn assert_no_forged_deletion(scene: &mut Scene) {
    for delivery in &scene.examined {
        let path = format!("/api/deliveries/{delivery}");
        eventually("a forged webhook is settled", || async {
            let found = scene.gateway.admin_json(&path).await;
            (found["delivery"]["state"] != "pending").then_some(())
        })
        .await;
        let event = scene
            .gateway
            .admin_json(&format!("/api/events/{delivery}-0"))
            .await;
        let is_believed = event["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with(".deleted"))
            && event["authority"] == "full";
        assert!(
            !is_believed,
            "a forged deletion was believed for {SHOP}: {event}"
        );
    }
}

async fn open_streams(scene: &mut Scene) {
    const STREAMS: usize = 300;
    let address = scene.gateway.admin_address();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the admin address should accept a connection");
        let request = b"GET /api/events/stream?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // The gateway may close connections beyond its limit.
        let _ = stream.write_all(request).await;
        streams.push(stream);
    }
    let seconds = if scene.long { 20 } else { 2 };
    for _ in 0..seconds * 5 {
        let is_ready = tokio::time::timeout(Duration::from_secs(2), scene.gateway.is_ready()).await;
        assert_eq!(
            is_ready,
            Ok(true),
            "the gateway should be ready within two seconds"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Damages the oldest delivery, which announces a connection.
fn damage_row(gateway: &mut ProcessGateway) {
    let file = rusqlite::Connection::open(gateway.data().join("cartwire.db"))
        .expect("the journal should open");
    let damage = "UPDATE deliveries SET headers = 'no JSON'
                  WHERE position = (SELECT min(position) FROM deliveries)";
    let damaged = file.execute(damage, []).expect("the row should be updated");
    assert_eq!(damaged, 1, "the journal should contain a delivery");
}

async fn move_data_folder(scene: &mut Scene) {
    let data = scene.gateway.data();
    std::fs::rename(data, data.with_file_name(MOVED)).expect("the data folder should be moved");
    // The gateway notices a moved folder after at most one second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..10 {
        let order = Order::Shop(9_500);
        let request = scene.store.webhook(order, unique());
        let answer = scene.store.try_send(order, &request).await;
        let status = answer.expect("the gateway should respond").status;
        assert_eq!(status, UNAVAILABLE, "the gateway should reject webhooks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
