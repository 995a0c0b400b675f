//! The last known states of entities: what consumers learn of a change, and what they do not get twice.

use serde_json::{Value, json};
use support::eventually;
use support::in_process::InProcessGateway;

/// An order that was changed at this second, with more members.
pub(crate) fn order(second: u32, members: Value) -> String {
    let mut order = json!({
        "id": 7, "number": "7", "currency": "EUR", "total": "19.90", "status": "pending",
        "date_created_gmt": "2026-01-01T10:00:00",
        "date_modified_gmt": format!("2026-01-01T10:00:{second:02}"),
        "date_paid_gmt": null,
    });
    let all = order.as_object_mut().expect("an object");
    all.extend(members.as_object().expect("an object").clone());
    order.to_string()
}

pub(crate) fn paid(second: u32) -> String {
    let members = json!({"status": "processing", "date_paid_gmt": "2026-01-01T10:00:20"});
    order(second, members)
}

/// Sends webhooks of order 7, and returns each delivery after it was settled.
pub(crate) async fn send(gateway: &InProcessGateway, webhooks: &[(&str, String)]) -> Vec<Value> {
    let mut settled = Vec::new();
    for (nonce, (topic, body)) in (100..).zip(webhooks) {
        let id = gateway.order(topic, body, nonce).await;
        settled.push(gateway.settled(&id).await["delivery"].clone());
    }
    settled
}

fn reasons(deliveries: &[Value]) -> Vec<&str> {
    let reason = |delivery: &Value| -> &str {
        match (delivery["state"].as_str(), delivery["reason"].as_str()) {
            (Some("ignored"), Some("stale")) => "stale",
            (Some("ignored"), Some("unchanged")) => "unchanged",
            (Some("logged"), None) => "logged",
            _ => panic!("unexpected: {delivery}"),
        }
    };
    deliveries.iter().map(reason).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    let names = events.iter().filter_map(|event| event["type"].as_str());
    names
        .map(|name| name.trim_start_matches("cartwire."))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_order_gives_one_paid_event_and_known_content_gives_none() {
    let gateway = InProcessGateway::start().await;
    let deliveries = send(
        &gateway,
        &[
            ("order.created", order(10, json!({}))),
            ("order.updated", order(11, json!({}))),
            ("order.updated", paid(20)),
            ("order.updated", paid(25)),
            ("order.updated", order(15, json!({"customer_note": "ring"}))),
        ],
    )
    .await;
    assert_eq!(
        reasons(&deliveries),
        ["logged", "unchanged", "logged", "unchanged", "stale"]
    );
    let events = gateway.events("subject=order/7", 4).await;
    assert_eq!(
        types(&events),
        [
            "order.created",
            "order.updated",
            "order.paid",
            "order.status_changed"
        ]
    );
    assert_eq!(events[0]["data"]["changed"], Value::Null);
    let changed = events[1]["data"]["changed"].as_array().expect("a list");
    for pointer in ["/payment_status", "/paid_at", "/updated_at"] {
        assert!(changed.contains(&json!(pointer)), "{changed:?}");
    }
    assert_eq!(events[1]["data"]["previous"], Value::Null);
    assert_eq!(events[2]["data"]["order"], events[1]["data"]["order"]);
    let sequences: Vec<&str> = events
        .iter()
        .filter_map(|event| event["sequence"].as_str())
        .collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_creation_is_published_with_the_known_state() {
    let gateway = InProcessGateway::start().await;
    let webhooks = [
        ("order.updated", paid(20)),
        ("order.created", order(10, json!({}))),
    ];
    let deliveries = send(&gateway, &webhooks).await;
    assert_eq!(reasons(&deliveries), ["logged", "logged"]);
    let events = gateway.events("subject=order/7", 2).await;
    assert_eq!(types(&events), ["order.updated", "order.created"]);
    assert_eq!(events[1]["data"]["stale"], true);
    assert_eq!(events[1]["data"]["order"], events[0]["data"]["order"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redriven_delivery_gives_the_same_events() {
    let gateway = InProcessGateway::start().await;
    let webhooks = [
        ("order.created", order(10, json!({}))),
        ("order.updated", paid(20)),
    ];
    let deliveries = send(&gateway, &webhooks).await;
    let before = gateway.events("subject=order/7", 4).await;
    let path = format!(
        "/api/deliveries/{}/redrive",
        deliveries[1]["id"].as_str().expect("an id")
    );
    gateway
        .admin_request("POST", &path)
        .send(gateway.admin)
        .await;
    let after = eventually("the delivery is published again", async || {
        let events = gateway.events("subject=order/7", 4).await;
        let is_redriven = |event: &&Value| event["origin"] == "redrive";
        (events.iter().filter(is_redriven).count() == 3).then_some(events)
    })
    .await;
    let content = |event: &Value| json!([event["id"], event["sequence"], event["data"]]);
    let of_all = |events: &[Value]| events.iter().map(content).collect::<Vec<_>>();
    assert_eq!(of_all(&after), of_all(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_in_part_is_an_event_with_its_amount() {
    let gateway = InProcessGateway::start().await;
    let refunds = json!({
        "status": "processing", "date_paid_gmt": "2026-01-01T10:00:20",
        "refunds": [{"id": 9, "reason": "", "total": "-5.00"}],
    });
    let webhooks = [
        ("order.updated", paid(20)),
        ("order.updated", order(30, refunds)),
    ];
    send(&gateway, &webhooks).await;
    let events = gateway.events("type=cartwire.order.refunded", 1).await;
    assert_eq!(
        events[0]["data"]["refunded"],
        json!({"amount": "5.00", "currency": "EUR"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_runs_out_and_returns_gives_events_of_the_inventory() {
    // The threshold of the product counts before that of the option.
    let gateway = InProcessGateway::with(|args| args.low_stock = Some(1)).await;
    let product = |second: u32, quantity: i32, status: &str, price: &str| {
        let product = json!({
            "id": 5, "name": "Mug", "type": "simple", "status": "publish", "price": price, "regular_price": price,
            "manage_stock": true, "stock_quantity": quantity, "stock_status": status,
            "low_stock_amount": 3, "date_modified_gmt": format!("2026-01-01T10:00:{second:02}"),
        });
        ("product.updated", product.to_string())
    };
    let webhooks = [
        product(1, 9, "instock", "4.00"),
        product(2, 3, "instock", "4.00"),
        product(3, 0, "outofstock", "4.00"),
        product(4, 8, "instock", "5.00"),
    ];
    send(&gateway, &webhooks).await;
    let events = gateway
        .events("connection=shop-a&subject=inventory/5", 3)
        .await;
    assert_eq!(
        types(&events),
        [
            "inventory.low",
            "inventory.out_of_stock",
            "inventory.back_in_stock"
        ]
    );
    assert_eq!(events[1]["data"]["inventory"]["quantity"], 0);
    let events = gateway
        .events("type=cartwire.product.price_changed", 1)
        .await;
    assert_eq!(events[0]["data"]["product"]["price"]["amount"], "5.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_publish_known_content_and_previous_values() {
    let gateway = InProcessGateway::with(|args| {
        args.publish_unchanged = true;
        args.publish_stale = true;
        args.publish_previous = true;
    })
    .await;
    let deliveries = send(
        &gateway,
        &[
            ("order.updated", order(10, json!({}))),
            ("order.updated", order(10, json!({}))),
            ("order.updated", paid(20)),
            ("order.updated", order(15, json!({}))),
        ],
    )
    .await;
    assert_eq!(reasons(&deliveries), ["logged"; 4]);
    let events = gateway.events("type=cartwire.order.updated", 4).await;
    assert_eq!(
        events[2]["data"]["previous"]["/payment_status"],
        events[0]["data"]["order"]["payment_status"]
    );
    assert_eq!(events[3]["data"]["stale"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_too_large_with_its_changes_has_none_but_its_derived_events() {
    let gateway = InProcessGateway::with(|args| {
        args.publish_previous = true;
        args.max_event_bytes = "64KiB".to_owned();
    })
    .await;
    let note = |letter: &str| letter.repeat(40_000);
    let mut paid: Value = serde_json::from_str(&paid(20)).expect("JSON");
    paid["customer_note"] = json!(note("b"));
    let webhooks = [
        (
            "order.created",
            order(10, json!({"customer_note": note("a")})),
        ),
        ("order.updated", paid.to_string()),
    ];
    send(&gateway, &webhooks).await;
    let events = gateway.events("subject=order/7", 4).await;
    assert_eq!(
        types(&events),
        [
            "order.created",
            "order.updated",
            "order.paid",
            "order.status_changed"
        ]
    );
    for name in ["changed", "previous", "raw"] {
        assert_eq!(events[1]["data"][name], Value::Null, "{name}");
    }
    assert_eq!(events[1]["data"]["order"]["note"], note("b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_redriven_delivery_keep_their_order_among_new_ones() {
    let gateway = InProcessGateway::start().await;
    let first = send(&gateway, &[("order.created", order(10, json!({})))]).await;
    let path = format!(
        "/api/deliveries/{}/redrive",
        first[0]["id"].as_str().expect("an id")
    );
    for second in 11..41 {
        gateway
            .admin_request("POST", &path)
            .send(gateway.admin)
            .await;
        let note = json!({"customer_note": second.to_string()});
        gateway
            .order("order.updated", &order(second, note), u64::from(second))
            .await;
    }
    let events = eventually("all updates are published", async || {
        let events = gateway.events("subject=order/7", 31).await;
        let updates = events
            .iter()
            .filter(|event| event["type"] == "cartwire.order.updated");
        (updates.count() == 30).then_some(events)
    })
    .await;
    let sequences: Vec<&str> = events
        .iter()
        .filter(|event| event["origin"] != "redrive")
        .filter_map(|event| event["sequence"].as_str())
        .collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
}
