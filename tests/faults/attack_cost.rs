//! Deliveries of one store that are small to send and expensive to normalize. Each delivery must stay stored and
//! visible, and the process must stay below its memory bound.

use cartwire::platforms::SignedRequest;

use crate::attack::{ATTACK, send_side_by_side, signed};
use crate::fault::Fault;
use crate::scene::Scene;
use support::eventually;
use support::ledger::Accepted;
use support::store::Order;

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "tree-bombs",
        says: "One store signs six orders of 8 MiB that consist of empty items.",
        begin: |scene| Box::pin(send_tree_bombs(scene)),
        end: |scene| Box::pin(until_too_complex(scene)),
        ..ATTACK
    },
    Fault {
        name: "tree-bombs-away",
        says: "The same while the broker is away.",
        only_long: true,
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                scene.lose_broker();
                send_tree_bombs(scene).await;
            })
        },
        end: |scene| {
            Box::pin(async {
                scene.reach_broker().await;
                until_too_complex(scene).await;
            })
        },
        ..ATTACK
    },
    Fault {
        name: "currency-squared",
        says: "One store signs orders whose long currency stands beside thousands of amounts, while the broker is away.",
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                scene.lose_broker();
                send_long_currencies(scene).await;
            })
        },
        end: |scene| Box::pin(async { scene.reach_broker().await }),
        ..ATTACK
    },
];

const TREE_BOMBS: u64 = 6;
/// The first order id of these attacks. The ordinary load never uses these ids.
const FIRST_ORDER: u64 = 9_100;

async fn send_tree_bombs(scene: &mut Scene) {
    const BODY_BYTES: usize = (8 << 20) - 1024;
    let items = "{},".repeat(BODY_BYTES / 3 - 100);
    let bomb = |number: u64| {
        let payload = format!(
            r#"{{"id":{},"line_items":[{items}{{}}]}}"#,
            FIRST_ORDER + number
        );
        signed("order.updated", &payload)
    };
    let bombs: Vec<SignedRequest> = (0..TREE_BOMBS).map(bomb).collect();
    scene.examined = send_side_by_side(&scene.store, &bombs).await;
}

/// Waits until each examined delivery is a dead letter with the reason code `too_complex`.
async fn until_too_complex(scene: &mut Scene) {
    for delivery in &scene.examined {
        let path = format!("/api/deliveries/{delivery}");
        let found = eventually("a tree bomb is settled", || async {
            let found = scene.gateway.admin_json(&path).await["delivery"].clone();
            (found["state"] != "pending").then_some(found)
        })
        .await;
        assert_eq!(found["reason"], "too_complex", "{found}");
    }
}

/// Two orders with a currency of 270 kB, and twenty with one of 30 kB.
async fn send_long_currencies(scene: &mut Scene) {
    let order = |number: u64| {
        let letters = if number < 2 { 270_000 } else { 30_000 };
        let line = r#"{"id":1,"price":"1","subtotal":"1","total":"1","total_tax":"1"},"#;
        format!(
            r#"{{"id":{},"status":"processing","currency":"{}","total":"1.00","line_items":[{}{{"id":1}}]}}"#,
            FIRST_ORDER + number,
            "E".repeat(letters),
            line.repeat(if number < 2 { 2_000 } else { 300 }),
        )
    };
    let requests: Vec<SignedRequest> = (0..22)
        .map(|number| signed("order.updated", &order(number)))
        .collect();
    let deliveries = send_side_by_side(&scene.store, &requests).await;
    let accepted = (0..).zip(deliveries).map(|(number, delivery)| Accepted {
        partition_key: Order::Shop(FIRST_ORDER + number).partition_key(),
        revision: 0,
        delivery,
    });
    scene.attack.0.extend(accepted);
}
