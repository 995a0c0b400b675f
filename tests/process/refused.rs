//! Deliveries with false headers, and a webhook whose secret was changed at the store.

use serde_json::json;
use support::eventually;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn signed_body_with_replaced_headers_changes_nothing() {
    let scene = Scene::new().await;
    let order = json!({
        "id": 18, "order_key": "wc_order_x", "status": "completed", "line_items": [], "total": "9.00", "currency": "EUR",
    });
    let (updated, deleted) = (
        scene.webhook("order.updated").id,
        scene.webhook("order.deleted").id,
    );
    let customer = scene.webhook("customer.deleted").id;
    for (topic, webhook) in [
        ("order.deleted", updated),
        ("customer.deleted", updated),
        ("customer.deleted", customer),
        ("product.updated", scene.webhook("product.updated").id),
        ("action.woocommerce_anything", updated),
        ("action.woocommerce_anything", 999),
        ("order.updated", 999),
    ] {
        let delivery = scene.send(&order, topic, webhook).await;
        assert_eq!(
            scene.settled(&delivery).await,
            ("dead_lettered".to_owned(), "topic_mismatch".to_owned()),
            "{topic} {webhook}"
        );
    }
    // One captured body under many headers is no sign of a store's trouble.
    assert_eq!(scene.check(&[]).0, Some(0));
    assert_eq!(scene.status().await.0, "connected");
    let delivery = scene.send(&order, "order.updated", updated).await;
    assert_eq!(scene.settled(&delivery).await.0, "logged");
    // Both headers fit each other: the shop gets a request, and has the order.
    scene.shop.keep("orders", order.clone());
    let delivery = scene.send(&order, "order.deleted", deleted).await;
    assert_eq!(
        scene.settled(&delivery).await,
        ("ignored".to_owned(), "not_in_trash".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_with_a_changed_secret_is_named_and_repaired() {
    let scene = Scene::new().await;
    let changed = scene.webhook("order.updated");
    scene.shop.edit(changed.id, |webhook| {
        webhook.secret = "another secret".to_owned()
    });
    let order = json!({ "id": 18, "status": "completed" });
    let customer = json!({ "id": 7, "email": "a@example.com" });
    assert_eq!(scene.shop.fire("customer.updated", &customer)[0].1, 200);
    assert_eq!(scene.shop.fire("order.updated", &order)[0].1, 401);
    eventually("the background check names it", || async {
        (scene.status().await == ("degraded".to_owned(), "webhook_refused".to_owned()))
            .then_some(())
    })
    .await;
    let check = scene.gateway.cli(&["connections", "check", "shop"]);
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{text}");
    let name = format!("order.updated (webhook {})", changed.id);
    assert!(text.contains(&name), "{text}");
    // Others that are accepted do not end it.
    assert_eq!(scene.shop.fire("customer.updated", &customer)[0].1, 200);
    let check = scene.gateway.cli(&["connections", "check", "shop"]);
    assert_eq!(check.status.code(), Some(1));
    let fixed = scene
        .gateway
        .cli(&["connections", "check", "shop", "--fix"]);
    let text = String::from_utf8_lossy(&fixed.stdout).into_owned();
    assert_eq!(fixed.status.code(), Some(0), "{text}");
    assert_eq!(scene.shop.fire("order.updated", &order)[0].1, 200);
    let check = scene.gateway.cli(&["connections", "check", "shop"]);
    assert_eq!(check.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_prints_notices_is_diagnosed_until_it_stops() {
    let mut scene = Scene::new().await;
    let webhook = scene.webhook("order.updated").id;
    let notice = |id: usize| format!("<br />\n<b>Notice</b>: Undefined index\n{{\"id\":{id}}}");
    let order = |id: usize| json!({ "id": id, "status": "completed" });
    let bodies: Vec<String> = (1..=9).map(notice).collect();
    // Four, a readable one, and four more are no finding.
    scene
        .send_unreadable(&bodies[..4], "order.updated", webhook)
        .await;
    let delivery = scene.send(&order(1), "order.updated", webhook).await;
    assert_eq!(scene.settled(&delivery).await.0, "logged");
    scene
        .send_unreadable(&bodies[4..8], "order.updated", webhook)
        .await;
    assert_eq!(scene.check(&[]).0, Some(0));
    let last = scene.send_text(&bodies[8], "order.updated", webhook).await;
    scene.await_status("degraded", "bodies_unreadable").await;
    let (code, text) = scene.check(&[]);
    assert_eq!(code, Some(1), "{text}");
    for part in ["bodies_unreadable", "5 deliveries", "display_errors", &last] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let list = scene.gateway.cli(&["connections", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("bodies_unreadable"));
    // Neither a repair of webhooks nor a restart ends it, and it is announced once.
    assert_eq!(scene.check(&["--fix"]).0, Some(1));
    assert!(scene.gateway.terminate().await.success());
    scene.gateway.start().await;
    scene
        .send_unreadable(&[notice(10)], "order.updated", webhook)
        .await;
    eventually("the count goes on after a restart", || async {
        scene.check(&[]).1.contains("6 deliveries").then_some(())
    })
    .await;
    assert_eq!(scene.degraded_events().await, 1);
    scene.send(&order(2), "order.updated", webhook).await;
    scene.await_status("connected", "").await;
    let (code, text) = scene.check(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(scene.degraded_events().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_under_wrong_topics_are_diagnosed_and_repaired_by_fix() {
    let scene = Scene::new().await;
    let webhook = scene.webhook("order.updated").id;
    let bodies: Vec<String> = (1..=5)
        .map(|id| json!({ "id": id, "status": "completed" }).to_string())
        .collect();
    scene
        .send_unreadable(&bodies, "order.deleted", webhook)
        .await;
    scene.await_status("degraded", "bodies_unreadable").await;
    let (code, text) = scene.check(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("topic_mismatch") && text.contains("--fix"),
        "{text}"
    );
    let (code, text) = scene.check(&["--fix"]);
    assert_eq!(code, Some(0), "{text}");
    scene.await_status("connected", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_manual_webhook_are_kept_until_it_is_listed() {
    // No regular check comes within the test's time: the first delivery makes the gateway ask the store.
    let scene = Scene::checked_every("3600").await;
    let ours = scene.webhook("order.updated");
    let by_hand = scene.shop.add_webhook("order.updated", &ours.delivery_url);
    let order = json!({
        "id": 18, "order_key": "wc_order_x", "status": "completed", "line_items": [], "total": "9.00", "currency": "EUR",
    });
    let delivery = scene.send(&order, "order.updated", by_hand).await;
    let forged = scene.send(&order, "order.updated", 999).await;
    eventually("the delivery is redriven", || async {
        (scene.settled(&delivery).await.0 == "logged").then_some(())
    })
    .await;
    let mismatch = ("dead_lettered".to_owned(), "topic_mismatch".to_owned());
    assert_eq!(scene.settled(&forged).await, mismatch);
    // A webhook that was deleted and added again is known by its next registration.
    scene.shop.delete_webhook(ours.id);
    scene.shop.delete_webhook(by_hand);
    let fixed = scene
        .gateway
        .cli(&["connections", "check", "shop", "--fix"]);
    assert_eq!(fixed.status.code(), Some(0));
    let again = scene.webhook("order.updated");
    assert_ne!(again.id, ours.id);
    let other = json!({ "id": 19, "order_key": "wc_order_y", "line_items": [] });
    let delivery = scene.send(&other, "order.updated", again.id).await;
    assert_eq!(scene.settled(&delivery).await.0, "logged");
}
