//! A gateway beside the double of a shop, and the shop's deliveries to it.

use std::collections::BTreeMap;

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::FixtureSender;
use jiff::Timestamp;
use serde_json::Value;
use support::eventually;
use support::process::ProcessGateway;
use support::woocommerce::{KEY, Options, SECRET, Shop, Webhook};

/// Where the webhooks are to go.
const PUBLIC: &str = "https://hooks.example.com";

/// A running gateway and a shop that is connected to it.
pub(crate) struct Scene {
    pub(crate) gateway: ProcessGateway,
    pub(crate) shop: Shop,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::checked_every("1").await
    }

    pub(crate) async fn checked_every(seconds: &str) -> Self {
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

    pub(crate) fn webhook(&self, topic: &str) -> Webhook {
        let webhooks = self.shop.webhooks();
        let found = webhooks.into_iter().find(|webhook| webhook.topic == topic);
        found.expect("it is registered")
    }

    /// Sends a body that the shop signed, with other headers than the signed ones.
    pub(crate) async fn send(&self, body: &Value, topic: &str, webhook: u64) -> String {
        self.send_text(&body.to_string(), topic, webhook).await
    }

    /// As [`Scene::send`], with a body that may be no JSON.
    pub(crate) async fn send_text(&self, body: &str, topic: &str, webhook: u64) -> String {
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
    pub(crate) async fn settled(&self, delivery: &str) -> (String, String) {
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
    pub(crate) async fn send_unreadable(&self, bodies: &[String], topic: &str, webhook: u64) {
        for body in bodies {
            let delivery = self.send_text(body, topic, webhook).await;
            assert_eq!(self.settled(&delivery).await.0, "dead_lettered", "{body}");
        }
    }

    pub(crate) async fn await_status(&self, status: &str, reason: &str) {
        eventually(&format!("the connection is {status}"), || async {
            (self.status().await == (status.to_owned(), reason.to_owned())).then_some(())
        })
        .await;
    }

    pub(crate) async fn degraded_events(&self) -> usize {
        let path = "/api/events?connection=shop&type=cartwire.connection.degraded";
        let page = self.gateway.admin_json(path).await;
        page["events"].as_array().expect("events").len()
    }

    /// The exit code and the output of `connections check`.
    pub(crate) fn check(&self, more: &[&str]) -> (Option<i32>, String) {
        let arguments = [&["connections", "check", "shop"], more].concat();
        let check = self.gateway.cli(&arguments);
        (
            check.status.code(),
            String::from_utf8_lossy(&check.stdout).into_owned(),
        )
    }

    pub(crate) async fn status(&self) -> (String, String) {
        let shown = self.gateway.admin_json("/api/connections/shop").await;
        let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }
}
