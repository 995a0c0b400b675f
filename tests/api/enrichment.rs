//! Thin deliveries are enriched: the gateway requests the missing data from doubles of stores over real HTTP.

use serde_json::{Value, json};

use support::eventually;
use support::in_process::{InProcessGateway, key, token};
use support::wix::{self as wixapis, Failure, INSTANCE, Wixapis, World};

/// An app and a shop with credentials, beside those without that every gateway has.
pub(crate) const APP: &str = "/webhooks/wix/asking-app";
pub(crate) const SHOP: &str = "/webhooks/woocommerce/asking-shop";
pub(crate) const PRODUCT: &str = "9ec43d01-faa8-490f-bfc1-0dcada86d28e";
pub(crate) const PRODUCTS: &str = "/stores-reader/v1/products/";
pub(crate) const CHANGED: &str = "com.wix.ecommerce.catalog.api.v1.ProductChanged";
pub(crate) const DELETED: &str = "com.wix.ecommerce.catalog.api.v1.ProductDeleted";

/// A gateway whose app may ask that platform.
pub(crate) async fn asking(wix: &Wixapis) -> InProcessGateway {
    asking_within(wix, "900").await
}

async fn asking_within(wix: &Wixapis, seconds: &str) -> InProcessGateway {
    let gateway = InProcessGateway::with(|args| {
        args.stores.allow_private_stores = true;
        args.complete_within_seconds = seconds.to_owned();
    })
    .await;
    let settings = [("app_id", wixapis::APP_ID), ("api_base", wix.url.as_str())];
    let public = key("wix", "verification");
    gateway
        .connect(
            "wix-app",
            "asking-app",
            &settings,
            &[("public-key", &public), ("app-secret", wixapis::APP_SECRET)],
        )
        .await;
    gateway
}

/// Sends a product's change; each change names another field, or it would be the same delivery.
pub(crate) async fn change(gateway: &InProcessGateway, topic: &str, field: &str) -> String {
    let payload = json!({"productId": PRODUCT, "changedFields": [field]}).to_string();
    let answer = gateway.post(APP, &token(topic, &payload, INSTANCE)).await;
    assert_eq!(answer.word(), "accepted");
    answer.delivery()
}

pub(crate) async fn products(gateway: &InProcessGateway, least: usize) -> Vec<Value> {
    gateway
        .events(&format!("subject=product/{PRODUCT}"), least)
        .await
}

pub(crate) fn authorities(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["authority"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thin_product_change_is_published_as_a_complete_product() {
    let wix = Wixapis::start(World::default());
    let gateway = asking(&wix).await;
    change(&gateway, CHANGED, "priceData").await;
    let event = products(&gateway, 1).await.remove(0);
    assert_eq!(
        (&event["authority"], &event["type"]),
        (&json!("full"), &json!("cartwire.product.updated"))
    );
    assert!(
        event["data"]["completed_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{event}"
    );
    let product = &event["data"]["product"];
    assert_eq!(
        (&product["name"], &product["currency"]),
        (&json!("Assam Second Flush"), &json!("EUR"))
    );
    assert_eq!(product["variants"].as_array().map(Vec::len), Some(2));
    assert_eq!(event["data"]["changed"], json!(["priceData"]));
    assert_eq!(
        event["data"]["raw"],
        json!({"productId": PRODUCT, "changedFields": ["priceData"]}),
        "as it was received"
    );
    // Read once more, from the journal alone.
    wix.change(|world| world.answers.clear());
    assert_eq!(products(&gateway, 1).await.remove(0), event);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_of_one_product_share_one_request_and_one_event() {
    let wix = Wixapis::start(World::default());
    let gateway = asking(&wix).await;
    for number in 0..10 {
        change(&gateway, CHANGED, &format!("field-{number}")).await;
    }
    let unchanged = "/api/deliveries?state=ignored&reason=unchanged";
    eventually(
        "nine deliveries have the content of the first",
        async || {
            let page = gateway.get(unchanged).await.json();
            (page["deliveries"].as_array().map(Vec::len) == Some(9)).then_some(())
        },
    )
    .await;
    let events = products(&gateway, 1).await;
    assert_eq!(authorities(&events), ["full"]);
    assert_eq!(events[0]["data"]["changed"], json!(["field-0"]));
    assert_eq!(wix.requests(PRODUCTS).len(), 1);
    assert_eq!(wix.tokens(INSTANCE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_store_delays_only_its_own_keys_and_keeps_order() {
    let wix = Wixapis::start(World::default());
    wix.fail(PRODUCTS, Failure::Status(503), usize::MAX);
    let gateway = asking(&wix).await;
    change(&gateway, CHANGED, "name").await;
    change(&gateway, DELETED, "all").await;
    let payload = r#"{"id":"e1","entityFqdn":"wix.ecom.v1.order","slug":"created","entityId":"o1","createdEvent":{"entity":{"id":"o1","number":"10001"}}}"#;
    gateway
        .post(APP, &token("wix.ecom.v1.order_created", payload, INSTANCE))
        .await;
    gateway.order("order.created", r#"{"id":7}"#, 1).await;
    gateway.events("subject=order/o1", 1).await;
    gateway.events("subject=order/7", 1).await;
    eventually("the store gets a request", async || {
        (!wix.requests(PRODUCTS).is_empty()).then_some(())
    })
    .await;
    assert_eq!(products(&gateway, 0).await, Vec::<Value>::new());
    wix.heal();
    let events = products(&gateway, 2).await;
    let types: Vec<&str> = events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(
        types,
        ["cartwire.product.updated", "cartwire.product.deleted"]
    );
    assert_eq!(authorities(&events), ["full", "reference"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn change_is_published_thin_with_a_reason_after_the_wait_limit() {
    let wix = Wixapis::start(World::default());
    wix.fail(PRODUCTS, Failure::Status(503), usize::MAX);
    let gateway = asking_within(&wix, "1").await;
    let delivery = change(&gateway, CHANGED, "name").await;
    let event = products(&gateway, 1).await.remove(0);
    assert_eq!(
        (&event["authority"], &event["data"]["not_completed"]),
        (&json!("reference"), &json!("store_unavailable"))
    );
    assert_eq!(event["data"].get("completed_at"), None);
    wix.heal();
    // A redriven delivery is requested once more; the id stays.
    gateway
        .admin_request("POST", &format!("/api/deliveries/{delivery}/redrive"))
        .send(gateway.admin)
        .await;
    let again = eventually("the whole event", async || {
        products(&gateway, 1)
            .await
            .into_iter()
            .find(|event| event["authority"] == "full")
    })
    .await;
    assert_eq!(
        (&again["id"], &again["origin"]),
        (&event["id"], &json!("redrive"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn change_unknown_to_the_store_is_published_thin() {
    let wix = Wixapis::start(World::default());
    wix.change(|world| world.answers.clear());
    let gateway = asking(&wix).await;
    change(&gateway, CHANGED, "name").await;
    let event = products(&gateway, 1).await.remove(0);
    assert_eq!(
        (&event["authority"], &event["data"]["not_completed"]),
        (&json!("reference"), &json!("not_found"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_waits_for_its_store_no_longer_than_the_limit() {
    let wix = Wixapis::start(World::default());
    wix.fail(PRODUCTS, Failure::TooMany(Some(u64::MAX)), usize::MAX);
    let gateway = asking_within(&wix, "2").await;
    change(&gateway, CHANGED, "name").await;
    products(&gateway, 1).await;
    // While the store's `Retry-After` runs, no request is sent and no delivery waits for the store.
    let requested = wix.requests(PRODUCTS).len();
    change(&gateway, CHANGED, "price").await;
    gateway.order("order.created", r#"{"id":7}"#, 1).await;
    gateway.events("subject=order/7", 1).await;
    let events = products(&gateway, 2).await;
    assert!(
        events
            .iter()
            .all(|event| event["data"]["not_completed"] == "rate_limited"),
        "{events:?}"
    );
    assert_eq!(wix.requests(PRODUCTS).len(), requested);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_behind_a_waiting_change_delay_no_other_store() {
    let wix = Wixapis::start(World::default());
    wix.fail(PRODUCTS, Failure::Status(503), usize::MAX);
    let gateway = asking(&wix).await;
    change(&gateway, CHANGED, "name").await;
    eventually("the store gets a request", async || {
        (!wix.requests(PRODUCTS).is_empty()).then_some(())
    })
    .await;
    // More than the relay takes in hand.
    for hundred in 0..22 {
        let deletions = (0..100).map(|number| {
            let (gateway, field) = (&gateway, format!("{hundred}-{number}"));
            async move { change(gateway, DELETED, &field).await }
        });
        futures_util::future::join_all(deletions).await;
    }
    gateway.order("order.created", r#"{"id":7}"#, 1).await;
    gateway.events("subject=order/7", 1).await;
    let events = gateway
        .events(
            &format!("subject=product/{PRODUCT}&type=cartwire.product.updated"),
            1,
        )
        .await;
    assert_eq!(events[0]["data"]["not_completed"], "too_many_waiting");
    // The deletions of one product are one event.
    eventually("all deliveries are settled", async || {
        let page = gateway.get("/api/deliveries?state=pending").await.json();
        page["deliveries"]
            .as_array()
            .is_some_and(Vec::is_empty)
            .then_some(())
    })
    .await;
    let path = format!("subject=product/{PRODUCT}&type=cartwire.product.deleted");
    assert_eq!(gateway.events(&path, 1).await.len(), 1);
}
