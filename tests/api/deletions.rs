//! Deletions that carry an id alone, and a store that confirms them, denies them, or gives no answer.

use std::time::{Duration, Instant};

use cartwire::journal::ConnectionChange;
use serde_json::{Value, json};

use support::eventually;
use support::in_process::{InProcessGateway, id, key, order};
use support::woocommerce::{self as shop, Fault, Shop};

const SHOP: &str = "asking-shop";
const HONEST: &str = "honest-shop";

/// A gateway that gives up on a store after so many seconds, with this shop.
async fn asking(store: &Shop, seconds: &str) -> InProcessGateway {
    let gateway = InProcessGateway::with(|args| {
        args.stores.allow_private_stores = true;
        args.complete_within_seconds = seconds.to_owned();
    })
    .await;
    connect(&gateway, SHOP, store).await;
    gateway
}

async fn connect(gateway: &InProcessGateway, name: &str, store: &Shop) {
    let secret = key("woocommerce", "verification");
    let secrets = [
        ("webhook-secret", secret.as_str()),
        ("consumer-key", shop::KEY),
        ("consumer-secret", shop::SECRET),
    ];
    gateway
        .connect(
            "woocommerce",
            name,
            &[("url", store.url.as_str())],
            &secrets,
        )
        .await;
}

async fn send(
    gateway: &InProcessGateway,
    name: &str,
    topic: &str,
    payload: &Value,
    nonce: u64,
) -> String {
    let request = order(topic, &payload.to_string(), nonce);
    let path = format!("/webhooks/woocommerce/{name}");
    let answer = gateway.post(&path, &request).await;
    assert_eq!(answer.word(), "accepted");
    answer.delivery()
}

/// Sends an order, and returns when its event is in the log.
async fn tell(gateway: &InProcessGateway, number: u64) {
    let payload = json!({"id": number, "status": "processing"});
    send(gateway, SHOP, "order.created", &payload, number).await;
    gateway.events(&format!("subject=order/{number}"), 1).await;
}

async fn delete(gateway: &InProcessGateway, number: u64) -> String {
    let payload = json!({"id": number});
    send(gateway, SHOP, "order.deleted", &payload, 1000 + number).await
}

async fn assert_ignored(gateway: &InProcessGateway, delivery: &str, number: u64, reason: &str) {
    let settled = gateway.settled(delivery).await;
    assert_eq!(
        (
            &settled["delivery"]["state"],
            &settled["delivery"]["reason"]
        ),
        (&json!("ignored"), &json!(reason)),
        "{settled}"
    );
    assert_eq!(deletions(gateway, number, 0).await, Vec::<Value>::new());
}

async fn deletions(gateway: &InProcessGateway, number: u64, least: usize) -> Vec<Value> {
    let query = format!("type=cartwire.order.deleted&subject=order/{number}");
    gateway.events(&query, least).await
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_store_only_deletions_of_known_orders_are_published() {
    let store = Shop::start(shop::Options::default());
    let gateway = asking(&store, "1").await;
    tell(&gateway, 7).await;
    store.fail(Fault::Maintenance);
    let (known, unknown) = (delete(&gateway, 7).await, delete(&gateway, 8).await);
    assert_ignored(&gateway, &unknown, 8, "unconfirmed_deletion").await;
    assert_eq!(gateway.settled(&known).await["delivery"]["state"], "logged");
    let event = deletions(&gateway, 7, 1).await.remove(0);
    assert_eq!(
        (&event["authority"], &event["data"]["not_completed"]),
        (&json!("reference"), &json!("store_unavailable")),
        "{event}"
    );
    assert_eq!(event["data"].get("completed_at"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn entity_missing_in_the_store_is_deleted_only_if_known() {
    let store = Shop::start(shop::Options::default());
    let gateway = asking(&store, "900").await;
    tell(&gateway, 7).await;
    let (known, unknown) = (delete(&gateway, 7).await, delete(&gateway, 8).await);
    assert_ignored(&gateway, &unknown, 8, "not_there").await;
    assert_eq!(gateway.settled(&known).await["delivery"]["state"], "logged");
    let event = deletions(&gateway, 7, 1).await.remove(0);
    assert_eq!(event["data"].get("not_completed"), None, "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_connection_ends_the_wait_of_its_deletions() {
    let store = Shop::start(shop::Options::default());
    let gateway = asking(&store, "900").await;
    tell(&gateway, 7).await;
    store.fail(Fault::Maintenance);
    store.forget_requests();
    let (known, unknown) = (delete(&gateway, 7).await, delete(&gateway, 8).await);
    eventually("the store gets a request", async || {
        (!store.requests().is_empty()).then_some(())
    })
    .await;
    gateway.change(&ConnectionChange::Remove(id(SHOP)));
    assert_ignored(&gateway, &unknown, 8, "unconfirmed_deletion").await;
    assert_eq!(gateway.settled(&known).await["delivery"]["state"], "logged");
    let event = deletions(&gateway, 7, 1).await.remove(0);
    assert_eq!(event["authority"], "reference");
    assert!(event["data"]["not_completed"].is_string(), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_that_waits_for_the_broker_counts_as_known() {
    let store = Shop::start(shop::Options::default());
    let mut gateway = InProcessGateway::with(|args| {
        args.stores.allow_private_stores = true;
        args.complete_within_seconds = "1".to_owned();
        // No server listens there.
        args.amqp_urls = vec!["amqp://127.0.0.1:1".into()];
    })
    .await;
    gateway.leaves_pending = true;
    connect(&gateway, SHOP, &store).await;
    store.fail(Fault::Maintenance);
    let payload = json!({"id": 7, "status": "processing"});
    send(&gateway, SHOP, "order.created", &payload, 7).await;
    let known = delete(&gateway, 7).await;
    let unknown = delete(&gateway, 8).await;
    assert_ignored(&gateway, &unknown, 8, "unconfirmed_deletion").await;
    // It was requested first; both waits ended at the same time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let delivery = gateway
        .get(&format!("/api/deliveries/{known}"))
        .await
        .json();
    assert_eq!(delivery["delivery"]["state"], "pending", "{delivery}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_store_with_large_deliveries_delays_no_other_store() {
    let (hanging, honest) = (
        Shop::start(shop::Options::default()),
        Shop::start(shop::Options::default()),
    );
    hanging.fail(Fault::Slow(Duration::from_secs(3600)));
    honest.keep("orders", json!({"id": 21, "status": "trash"}));
    honest.keep("orders", json!({"id": 22, "status": "processing"}));
    let mut gateway = asking(&hanging, "900").await;
    gateway.leaves_pending = true;
    connect(&gateway, HONEST, &honest).await;
    // Thin: an id, and what no deletion carries.
    let filling = "x".repeat((8 << 20) - 1000);
    for number in 1..=5 {
        let payload = json!({"id": number, "note": filling});
        send(&gateway, SHOP, "order.deleted", &payload, number).await;
    }
    // By now the store has a request, and gives no answer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = Instant::now();
    let gone = send(&gateway, HONEST, "order.deleted", &json!({"id": 21}), 21).await;
    let kept = send(&gateway, HONEST, "order.deleted", &json!({"id": 22}), 22).await;
    let hook = "action.woocommerce_order_status_completed";
    let call = json!({"action": "woocommerce_order_status_completed", "arg": 22});
    send(&gateway, HONEST, hook, &call, 23).await;
    let event = deletions(&gateway, 21, 1).await.remove(0);
    assert_eq!(event["authority"], "full", "{event}");
    assert_eq!(gateway.settled(&gone).await["delivery"]["state"], "logged");
    let action = eventually("the action is published", async || {
        let events = gateway.events(&format!("connection={HONEST}"), 0).await;
        events.into_iter().find(|event| {
            let name = event["type"].as_str().unwrap_or_default();
            name.starts_with("cartwire.action.")
        })
    })
    .await;
    assert_eq!(action["authority"], "full", "{action}");
    assert!(
        sent.elapsed() < Duration::from_secs(5),
        "{:?}",
        sent.elapsed()
    );
    assert_ignored(&gateway, &kept, 22, "not_in_trash").await;
}
