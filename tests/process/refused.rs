//! Deliveries whose headers lie, and a webhook whose secret was changed at the store: a gateway beside a shop over real HTTP.

use std::collections::BTreeMap;

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::FixtureSender;
use jiff::Timestamp;
use serde_json::{Value, json};
use support::eventually;
use support::process::ProcessGateway;
use support::woocommerce::{KEY, Options, SECRET, Shop, Webhook};

/// Where the webhooks are to go.
const PUBLIC: &str = "https://hooks.example.com";

/// A running gateway and a shop that is connected to it.
struct Scene {
    gateway: ProcessGateway,
    shop: Shop,
}

impl Scene {
    async fn new() -> Self {
        Self::checked_every("1").await
    }

    async fn checked_every(seconds: &str) -> Self {
        let mut gateway = ProcessGateway::new(&["--check-interval-seconds", seconds]);
        gateway.set_environment(vec![("CARTWIRE_ALLOW_PRIVATE_STORES", "true".into())]);
        gateway.start().await;
        let shop = Shop::start(Options {
            hooks_at: Some(gateway.public()),
            real_times: true,
            ..Options::default()
        });
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let (key, secret) = (file("key", KEY), file("secret", SECRET));
        let added = gateway.cli(&[
            "connections",
            "add",
            "woocommerce",
            "--id",
            "shop",
            "--url",
            &shop.url,
            "--public-url",
            PUBLIC,
            "--consumer-key-file",
            &key,
            "--consumer-secret-file",
            &secret,
        ]);
        let text = String::from_utf8_lossy(&added.stderr).into_owned();
        assert!(added.status.success(), "{text}");
        Self { gateway, shop }
    }

    fn webhook(&self, topic: &str) -> Webhook {
        let webhooks = self.shop.webhooks();
        let found = webhooks.into_iter().find(|webhook| webhook.topic == topic);
        found.expect("it is registered")
    }

    /// Sends a body that the shop signed, under headers of somebody's choice.
    async fn send(&self, body: &Value, topic: &str, webhook: u64) -> String {
        self.send_text(&body.to_string(), topic, webhook).await
    }

    /// As [`Scene::send`], with a body that may be no JSON.
    async fn send_text(&self, body: &str, topic: &str, webhook: u64) -> String {
        let options = BTreeMap::from([("webhook_id".to_owned(), webhook.to_string())]);
        let unsigned = Unsigned {
            topic,
            payload: body.as_bytes(),
            nonce: 1,
            options: &options,
        };
        let secret = self.webhook("order.updated").secret;
        let request: SignedRequest = platform("woocommerce")
            .expect("a platform")
            .sign(&unsigned, &secret, Timestamp::now())
            .expect("signed");
        let id = ConnectionId::new("shop").expect("an id");
        let sender =
            FixtureSender::new(&format!("http://{}", self.gateway.public())).expect("a client");
        let answer = sender.send("woocommerce", &id, &request).await;
        let answer = answer.expect("an answer");
        answer.delivery().expect("it is kept").to_owned()
    }

    /// How a delivery was settled: its state and its reason.
    async fn settled(&self, delivery: &str) -> (String, String) {
        eventually("the delivery is settled", || async {
            let path = format!("/api/deliveries/{delivery}");
            let shown = self.gateway.admin_json(&path).await;
            let text = |name: &str| {
                shown["delivery"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            (text("state") != "pending").then(|| (text("state"), text("reason")))
        })
        .await
    }

    /// Sends bodies of which none can be read, and waits until they are dead letters.
    async fn send_unreadable(&self, bodies: &[String], topic: &str, webhook: u64) {
        for body in bodies {
            let delivery = self.send_text(body, topic, webhook).await;
            assert_eq!(self.settled(&delivery).await.0, "dead_lettered", "{body}");
        }
    }

    async fn await_status(&self, status: &str, reason: &str) {
        eventually(&format!("the connection is {status}"), || async {
            (self.status().await == (status.to_owned(), reason.to_owned())).then_some(())
        })
        .await;
    }

    async fn degraded_events(&self) -> usize {
        let path = "/api/events?connection=shop&type=cartwire.connection.degraded";
        let page = self.gateway.admin_json(path).await;
        page["events"].as_array().expect("events").len()
    }

    /// The exit code and the output of `connections check`.
    fn check(&self, more: &[&str]) -> (Option<i32>, String) {
        let arguments = [&["connections", "check", "shop"], more].concat();
        let check = self.gateway.cli(&arguments);
        (
            check.status.code(),
            String::from_utf8_lossy(&check.stdout).into_owned(),
        )
    }

    async fn status(&self) -> (String, String) {
        let shown = self.gateway.admin_json("/api/connections/shop").await;
        let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_under_replaced_headers_tells_nothing() {
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
    // Both headers fit each other: the shop is asked, and has the order.
    scene.shop.keep("orders", order.clone());
    let delivery = scene.send(&order, "order.deleted", deleted).await;
    assert_eq!(
        scene.settled(&delivery).await,
        ("ignored".to_owned(), "not_in_trash".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_whose_secret_was_changed_is_named_and_repaired() {
    let scene = Scene::new().await;
    let changed = scene.webhook("order.updated");
    scene.shop.edit(changed.id, |webhook| {
        webhook.secret = "of somebody".to_owned()
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
async fn a_store_that_prints_notices_is_diagnosed_until_a_delivery_is_readable() {
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
async fn deliveries_of_a_webhook_added_by_hand_are_kept_until_the_store_shows_it() {
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
