//! The stores in trouble, each in its own way, and one that only looks like it.

use std::collections::BTreeMap;

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::FixtureSender;
use jiff::Timestamp;
use serde_json::json;

use crate::stores::sign_bytes;
use support::process::ProcessGateway;
use support::woocommerce::{KEY, Options, SECRET, Shop};

/// The address that stores are told. No host is there: the deliveries are sent by this program.
const PUBLIC_URL: &str = "https://hooks.example.com";
/// Deliveries of each trouble.
const DELIVERIES: u64 = 12;
const SECRET_OF_TROUBLED: &str = "the-webhook-secret-of-a-troubled-shop";

/// A trouble, as the operator must see it.
pub(crate) struct Expected {
    pub(crate) connection: &'static str,
    /// Part of the reason code.
    pub(crate) reason: &'static str,
}

/// Every connection in trouble.
pub(crate) const EXPECTED: &[Expected] = &[
    Expected {
        connection: "notice-before-json",
        reason: "unreadable",
    },
    Expected {
        connection: "owner-without-rights",
        reason: "owner",
    },
    Expected {
        connection: "key-revoked",
        reason: "key",
    },
    Expected {
        connection: "switched-off",
        reason: "webhook",
    },
    Expected {
        connection: "secret-changed",
        reason: "webhook",
    },
];

/// A quiet shop that receives forged requests. It is well.
pub(crate) const FORGED: &str = "forged-requests";

/// The shops behind the connections in trouble.
pub(crate) struct Troubles {
    key_revoked: Shop,
    switched_off: Shop,
    secret_changed: Shop,
}

impl Troubles {
    pub(crate) fn new() -> Self {
        let shop = || {
            Shop::start(Options {
                pings: false,
                real_times: true,
                ..Options::default()
            })
        };
        Self {
            key_revoked: shop(),
            switched_off: shop(),
            secret_changed: shop(),
        }
    }

    /// Connects all of them while they are still well.
    pub(crate) fn connect(&self, gateway: &ProcessGateway) {
        for connection in ["notice-before-json", "owner-without-rights", FORGED] {
            gateway.add_shop(connection, SECRET_OF_TROUBLED);
        }
        for (connection, shop) in [
            ("key-revoked", &self.key_revoked),
            ("switched-off", &self.switched_off),
            ("secret-changed", &self.secret_changed),
        ] {
            gateway.add_shop_by_key(connection, &shop.url, [KEY, SECRET], PUBLIC_URL);
        }
    }

    /// From now on each has its trouble.
    pub(crate) async fn begin(&self, gateway: &ProcessGateway) {
        let sender = FixtureSender::new(&format!("http://{}", gateway.public())).expect("a client");
        self.key_revoked
            .change(|options| options.consumer_key = "ck_of_somebody_else".to_owned());
        let webhook = |shop: &Shop, topic: &str| {
            let webhooks = shop.webhooks();
            webhooks
                .into_iter()
                .find(|webhook| webhook.topic == topic)
                .expect("a webhook of ours")
        };
        let disabled = webhook(&self.switched_off, "order.updated");
        self.switched_off
            .edit(disabled.id, |webhook| webhook.status = "disabled");
        let changed = webhook(&self.secret_changed, "order.updated");
        let unchanged = webhook(&self.secret_changed, "product.updated");
        for nonce in 0..DELIVERIES {
            let order = json!({"id": 17, "status": "processing", "total": "1.00", "customer_note": nonce.to_string()});
            let notice = format!(
                "<br />\n<b>Notice</b>: Undefined index in plugin.php on line 3<br />\n{order}"
            );
            let error = json!({
                "code": "woocommerce_rest_cannot_view", "message": "Sorry.", "data": {"status": 403, "n": nonce},
            });
            let product = json!({"id": 31, "name": format!("Product {nonce}"), "type": "simple", "status": "publish"});
            let deliveries = [
                (
                    "notice-before-json",
                    sign_bytes(
                        "order.updated",
                        notice.as_bytes(),
                        SECRET_OF_TROUBLED,
                        nonce,
                    ),
                ),
                (
                    "owner-without-rights",
                    sign_bytes(
                        "order.updated",
                        error.to_string().as_bytes(),
                        SECRET_OF_TROUBLED,
                        nonce,
                    ),
                ),
                (
                    FORGED,
                    sign_bytes(
                        "order.updated",
                        order.to_string().as_bytes(),
                        "not-the-secret-of-this-shop",
                        nonce,
                    ),
                ),
                (
                    "secret-changed",
                    sign_as(
                        "order.updated",
                        &order,
                        "changed-in-the-administration",
                        changed.id,
                        nonce,
                    ),
                ),
                (
                    "secret-changed",
                    sign_as(
                        "product.updated",
                        &product,
                        &unchanged.secret,
                        unchanged.id,
                        nonce,
                    ),
                ),
            ];
            for (connection, request) in deliveries {
                let connection = ConnectionId::new(connection).expect("an id");
                // Refused where the trouble is a wrong secret.
                let _ = sender.send("woocommerce", &connection, &request).await;
            }
        }
        // A webhook's date in REST is that of its last delivery attempt: the proof that the store itself sent them.
        self.secret_changed
            .edit(changed.id, |webhook| webhook.changed_at = Timestamp::now());
    }
}

fn sign_as(
    topic: &str,
    payload: &serde_json::Value,
    secret: &str,
    webhook: u64,
    nonce: u64,
) -> SignedRequest {
    let options = BTreeMap::from([("webhook_id".to_owned(), webhook.to_string())]);
    let payload = payload.to_string();
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce,
        options: &options,
    };
    platform("woocommerce")
        .expect("a platform")
        .sign(&unsigned, secret, Timestamp::now())
        .expect("it can be signed")
}
