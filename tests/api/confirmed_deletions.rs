//! Deletions that contain a whole entity: the store has to confirm them.

use serde_json::json;

use support::in_process::{InProcessGateway, key, order};
use support::woocommerce::{self as shop, Shop};

use crate::enrichment::SHOP;

#[tokio::test(flavor = "multi_thread")]
async fn deletion_is_published_only_if_the_shop_confirms_it() {
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
async fn complete_order_in_a_deletion_is_unconfirmed_without_store_api() {
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
