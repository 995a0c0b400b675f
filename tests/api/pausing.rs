//! A paused connection keeps its deliveries.

use std::time::Instant;

use cartwire::journal::ConnectionChange;
use serde_json::Value;

use support::http::RESPONSE_TIMEOUT;
use support::in_process::{APP, InProcessGateway, SHOP, id, order, token};

use crate::installations::{INSTANCE, ORDER};

/// Sends the app's order of that number and waits until it is published.
async fn app_order(gateway: &InProcessGateway, number: usize) {
    let payload = ORDER
        .replace("e1", &format!("e{number}"))
        .replace("\"o1\"", &format!("\"o{number}\""));
    gateway
        .post(APP, &token("wix.ecom.v1.order_created", &payload, INSTANCE))
        .await;
    gateway
        .events(
            &format!("connection={INSTANCE}&type=cartwire.order.created"),
            number,
        )
        .await;
}

/// How many deliveries of the shop wait.
async fn waiting(gateway: &InProcessGateway) -> usize {
    let page = gateway
        .get("/api/deliveries?state=pending&connection=shop-a")
        .await
        .json();
    page["deliveries"].as_array().expect("a list").len()
}

/// A pause takes effect soon, not at once: sends orders of the shop until one waits, although a later delivery of the app
/// was published. Gives their number.
async fn probe_until_held(gateway: &InProcessGateway) -> usize {
    let deadline = Instant::now() + RESPONSE_TIMEOUT;
    for number in 1.. {
        gateway
            .order(
                "order.updated",
                &format!(r#"{{"id":1,"total":"{number}.00"}}"#),
                1000 + number as u64,
            )
            .await;
        app_order(gateway, number).await;
        if waiting(gateway).await > 0 {
            return number;
        }
        assert!(Instant::now() < deadline, "the pause takes effect");
    }
    unreachable!("the loop ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_connection_keeps_its_deliveries_and_resumes_in_order() {
    let gateway = InProcessGateway::start().await;
    gateway.change(&ConnectionChange::Pause(id("shop-a")));
    // A pause is no event: the store is as well as before.
    let probed = probe_until_held(&gateway).await;
    for n in 1..=20 {
        let body = format!(r#"{{"id":{},"total":"{n}.00"}}"#, 100 + n % 2);
        assert_eq!(
            gateway
                .post(SHOP, &order("order.updated", &body, n))
                .await
                .word(),
            "accepted"
        );
    }
    // Another connection is not held up, so that what was sent before and is pending now is held back.
    app_order(&gateway, probed + 1).await;
    assert_eq!(waiting(&gateway).await, 21, "kept and not published");
    assert!(gateway.events("subject=order/100", 0).await.is_empty());

    gateway.change(&ConnectionChange::Resume(id("shop-a")));
    gateway
        .post(
            SHOP,
            &order("order.updated", r#"{"id":101,"total":"21.00"}"#, 21),
        )
        .await;
    let events = gateway
        .events("connection=shop-a&type=cartwire.order.updated", 21 + probed)
        .await;
    for subject in ["order/100", "order/101"] {
        let of_one: Vec<&Value> = events
            .iter()
            .filter(|event| event["subject"] == subject)
            .collect();
        let sequences: Vec<&str> = of_one
            .iter()
            .filter_map(|event| event["sequence"].as_str())
            .collect();
        assert!(
            sequences.is_sorted() && sequences.len() >= 10,
            "{subject}: {sequences:?}"
        );
    }
    assert_eq!(
        events.last().map(|event| &event["data"]["raw"]["total"]),
        Some(&"21.00".into())
    );
    for verb in ["degraded", "recovered"] {
        let path = format!("connection=shop-a&type=cartwire.connection.{verb}");
        assert!(
            gateway.events(&path, 0).await.is_empty(),
            "a pause is no event"
        );
    }
}
