//! Enrichment of installations and of deliveries that name one entity twice.

use serde_json::json;

use support::eventually;
use support::in_process::token;
use support::wix::{self as wixapis, Failure, INSTANCE, Wixapis, World};

use crate::enrichment::{APP, PRODUCT, asking, authorities};

#[tokio::test(flavor = "multi_thread")]
async fn hundred_installations_get_one_token_each_and_are_connected() {
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
async fn test_delivery_with_sample_ids_creates_no_connection() {
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
async fn app_removed_during_its_confirmation_stays_removed() {
    let wix = Wixapis::start(World::default());
    wix.fail("/apps/v1/instance", Failure::Status(503), usize::MAX);
    let gateway = asking(&wix).await;
    let reported = json!({"appId": wixapis::APP_ID}).to_string();
    gateway
        .post(APP, &token("AppInstalled", &reported, INSTANCE))
        .await;
    eventually("the platform gets a request", async || {
        (!wix.requests("/apps/v1/instance").is_empty()).then_some(())
    })
    .await;
    gateway
        .post(APP, &token("AppRemoved", &reported, INSTANCE))
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
async fn variant_listed_twice_gives_one_event() {
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
