//! Thin deliveries become whole events: a gateway, and stores that it asks over real HTTP.

use serde_json::{Value, json};

use support::eventually;
use support::in_process::{InProcessGateway, key, order, token};
use support::wix::{self as wixapis, Failure, INSTANCE, Wixapis, World};
use support::woocommerce::{self as shop, Shop};

/// An app and a shop with credentials, beside those without that every gateway has.
const APP: &str = "/webhooks/wix/asking-app";
const SHOP: &str = "/webhooks/woocommerce/asking-shop";
const PRODUCT: &str = "9ec43d01-faa8-490f-bfc1-0dcada86d28e";
const PRODUCTS: &str = "/stores-reader/v1/products/";
const CHANGED: &str = "com.wix.ecommerce.catalog.api.v1.ProductChanged";
const DELETED: &str = "com.wix.ecommerce.catalog.api.v1.ProductDeleted";

/// A gateway whose app may ask that platform.
async fn asking(wix: &Wixapis) -> InProcessGateway {
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
async fn change(gateway: &InProcessGateway, topic: &str, field: &str) -> String {
    let payload = json!({"productId": PRODUCT, "changedFields": [field]}).to_string();
    let answer = gateway.post(APP, &token(topic, &payload, INSTANCE)).await;
    assert_eq!(answer.word(), "accepted");
    answer.delivery()
}

async fn products(gateway: &InProcessGateway, least: usize) -> Vec<Value> {
    gateway
        .events(&format!("subject=product/{PRODUCT}"), least)
        .await
}

fn authorities(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["authority"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_change_arrives_as_a_whole_product() {
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
async fn ten_changes_of_one_product_cost_one_request_and_give_one_event() {
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
    assert_eq!(wix.asked(PRODUCTS).len(), 1);
    assert_eq!(wix.tokens(INSTANCE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_holds_up_its_own_keys_only_and_nothing_overtakes() {
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
    eventually("the store is asked", async || {
        (!wix.asked(PRODUCTS).is_empty()).then_some(())
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
async fn after_the_limit_a_change_goes_out_as_it_is_and_says_why() {
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
    // Redriven, it is asked for once more; the id stays.
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
async fn what_the_store_does_not_know_goes_out_as_it_is() {
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
async fn a_hundred_installations_at_once_cost_a_token_each_and_become_known() {
    let instances: Vec<String> = (0..100)
        .map(|number| format!("7f0c2a4e-5b1d-4c3e-9a68-0d1e2f3a{number:04}"))
        .collect();
    let wix = Wixapis::start(World::default());
    wix.change(|world| {
        world.installations = instances
            .iter()
            .map(|id| (id.clone(), Default::default()))
            .collect()
    });
    let gateway = asking(&wix).await;
    let installed = json!({"appId": wixapis::APP_ID}).to_string();
    let posts = instances.iter().map(|instance| {
        let (gateway, request) = (&gateway, token("AppInstalled", &installed, instance));
        async move { gateway.post(APP, &request).await.word() }
    });
    for word in futures_util::future::join_all(posts).await {
        assert_eq!(word, "accepted");
    }
    gateway.events("type=cartwire.app.installed", 100).await;
    for instance in &instances {
        assert_eq!(wix.tokens(instance), 1, "{instance}");
    }
    let known = gateway
        .get(&format!("/api/connections/{}", instances[0]))
        .await
        .json();
    assert_eq!(
        (
            &known["settings"]["site_name"],
            &known["settings"]["currency"]
        ),
        (&json!("Hafenladen"), &json!("EUR"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_delivery_with_sample_ids_becomes_no_store() {
    let wix = Wixapis::start(World::default());
    let gateway = asking(&wix).await;
    let sample = "11111111-2222-4333-8444-555555555555";
    let installed = json!({"appId": wixapis::APP_ID}).to_string();
    let delivery = gateway
        .post(APP, &token("AppInstalled", &installed, sample))
        .await
        .delivery();
    let settled = gateway.settled(&delivery).await;
    assert_eq!(
        (
            &settled["delivery"]["state"],
            &settled["delivery"]["reason"]
        ),
        (&json!("ignored"), &json!("sample_delivery"))
    );
    assert_eq!(
        gateway
            .get(&format!("/api/connections/{sample}"))
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_told_only_where_the_shop_agrees() {
    let store = Shop::start(shop::Options::default());
    store.keep(
        "products",
        json!({"id": 25, "name": "Tee", "status": "trash"}),
    );
    store.keep(
        "products",
        json!({"id": 26, "name": "Tasse", "status": "publish"}),
    );
    let gateway = InProcessGateway::with(|args| args.stores.allow_private_stores = true).await;
    let secret = key("woocommerce", "verification");
    let secrets = [
        ("webhook-secret", secret.as_str()),
        ("consumer-key", shop::KEY),
        ("consumer-secret", shop::SECRET),
    ];
    gateway
        .connect(
            "woocommerce",
            "asking-shop",
            &[("url", store.url.as_str())],
            &secrets,
        )
        .await;
    // A bare id does not say that a deleted product was a variant.
    let variant = json!({"id": 28, "type": "variation", "parent_id": 25, "name": "Tee, red"});
    let request = order("product.updated", &variant.to_string(), 9);
    let delivery = gateway.post(SHOP, &request).await.delivery();
    gateway.settled(&delivery).await;
    let mut deliveries = Vec::new();
    for (number, product) in [25_u64, 26, 27, 28].into_iter().enumerate() {
        let request = order(
            "product.deleted",
            &json!({"id": product}).to_string(),
            number as u64,
        );
        deliveries.push(gateway.post(SHOP, &request).await.delivery());
    }
    let expected = [
        ("logged", None),
        ("ignored", Some("not_in_trash")),
        ("ignored", Some("not_there")),
        ("logged", None),
    ];
    for (delivery, (state, reason)) in deliveries.iter().zip(expected) {
        let settled = gateway.settled(delivery).await;
        assert_eq!(settled["delivery"]["state"], state, "{settled}");
        assert_eq!(settled["delivery"]["reason"].as_str(), reason, "{settled}");
    }
    let event = gateway
        .events("type=cartwire.product.deleted", 1)
        .await
        .remove(0);
    assert_eq!(
        (&event["subject"], &event["authority"]),
        (&json!("product/25"), &json!("full"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_order_under_a_deletion_is_doubted_where_no_store_can_be_asked() {
    let gateway = InProcessGateway::with(|args| args.stores.allow_private_stores = true).await;
    let secret = key("woocommerce", "verification");
    gateway
        .connect(
            "woocommerce",
            "asking-shop",
            &[("url", "https://shop.example")],
            &[("webhook-secret", secret.as_str())],
        )
        .await;
    let whole =
        json!({"id": 18, "status": "completed", "order_key": "x", "line_items": []}).to_string();
    let request = order("order.deleted", &whole, 1);
    let delivery = gateway.post(SHOP, &request).await.delivery();
    let settled = gateway.settled(&delivery).await;
    assert_eq!(settled["delivery"]["reason"], "unconfirmed_deletion");
    let request = order("order.deleted", r#"{"id":19}"#, 2);
    let delivery = gateway.post(SHOP, &request).await.delivery();
    assert_eq!(
        gateway.settled(&delivery).await["delivery"]["state"],
        "logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_store_makes_a_delivery_wait_longer_than_the_limit() {
    let wix = Wixapis::start(World::default());
    wix.fail(PRODUCTS, Failure::TooMany(Some(u64::MAX)), usize::MAX);
    let gateway = asking_within(&wix, "2").await;
    change(&gateway, CHANGED, "name").await;
    products(&gateway, 1).await;
    // While the store wants to be left alone, nobody is asked and nobody waits for it.
    let asked = wix.asked(PRODUCTS).len();
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
    assert_eq!(wix.asked(PRODUCTS).len(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_waiting_change_stops_no_other_store() {
    let wix = Wixapis::start(World::default());
    wix.fail(PRODUCTS, Failure::Status(503), usize::MAX);
    let gateway = asking(&wix).await;
    change(&gateway, CHANGED, "name").await;
    eventually("the store is asked", async || {
        (!wix.asked(PRODUCTS).is_empty()).then_some(())
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

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_removed_while_its_installation_is_confirmed_stays_removed() {
    let wix = Wixapis::start(World::default());
    wix.fail("/apps/v1/instance", Failure::Status(503), usize::MAX);
    let gateway = asking(&wix).await;
    let told = json!({"appId": wixapis::APP_ID}).to_string();
    gateway
        .post(APP, &token("AppInstalled", &told, INSTANCE))
        .await;
    eventually("the platform is asked", async || {
        (!wix.asked("/apps/v1/instance").is_empty()).then_some(())
    })
    .await;
    gateway
        .post(APP, &token("AppRemoved", &told, INSTANCE))
        .await;
    let status = async |wanted: &str| {
        let known = gateway.get(&format!("/api/connections/{INSTANCE}")).await;
        (known.status == 200 && known.json()["status"] == wanted).then_some(())
    };
    eventually("it is removed", async || status("disconnected").await).await;
    wix.heal();
    gateway.events("type=cartwire.app.removed", 1).await;
    let events = gateway
        .events(&format!("subject=connection/{INSTANCE}"), 2)
        .await;
    let types: Vec<&str> = events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(
        types,
        [
            "cartwire.connection.connected",
            "cartwire.connection.disconnected"
        ]
    );
    assert_eq!(
        status("disconnected").await,
        Some(()),
        "the older word does not count any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn variant_that_is_named_twice_gives_one_event() {
    let wix = Wixapis::start(World::default());
    let gateway = asking(&wix).await;
    let variant = "6654c734-ccab-4f44-8ff0-825eb443dc7f";
    let changed = |field: &str| json!({"variantId": variant, "changedFields": [field]});
    let payload =
        json!({"productId": PRODUCT, "variants": [changed("price"), changed("sku")]}).to_string();
    gateway
        .post(
            APP,
            &token(
                "com.wix.ecommerce.catalog.api.v1.VariantsChanged",
                &payload,
                INSTANCE,
            ),
        )
        .await;
    let events = gateway
        .events(&format!("subject=variant/{variant}"), 1)
        .await;
    assert_eq!(authorities(&events), ["full"]);
}
