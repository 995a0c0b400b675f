//! The connections with problems, one for each kind of problem, and one healthy connection that receives forged
//! requests.

use std::collections::BTreeMap;

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::FixtureSender;
use jiff::Timestamp;
use serde_json::json;

use crate::stores::sign_bytes;
use support::process::ProcessGateway;
use support::woocommerce::{KEY, Options, SECRET, Shop};

/// The public URL that stores get. No host has it: this program sends the deliveries itself.
const PUBLIC_URL: &str = "https://hooks.example.com";
/// Number of deliveries of each connection.
const DELIVERIES: u64 = 12;
const SECRET_OF_TROUBLED: &str = "the-webhook-secret-of-a-troubled-shop";

/// A problem as the operator must see it.
pub(crate) struct Expected {
    pub(crate) connection: &'static str,
    /// Part of the reason code.
    pub(crate) reason: &'static str,
}

/// All connections with a problem.
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

/// A shop that sends nothing and receives forged requests. It must count as healthy.
pub(crate) const FORGED: &str = "forged-requests";

/// The shops of the connections with problems.
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

    /// Connects all shops while they are still healthy.
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

    /// Causes the problem of each shop.
    pub(crate) async fn begin(&self, gateway: &ProcessGateway) {
        let sender = FixtureSender::new(&format!("http://{}", gateway.public()))
            .expect("the sender should be created");
        self.key_revoked
            .change(|options| options.consumer_key = "ck_of_somebody_else".to_owned());
        let webhook = |shop: &Shop, topic: &str| {
            let webhooks = shop.webhooks();
            webhooks
                .into_iter()
                .find(|webhook| webhook.topic == topic)
                .expect("the gateway should have registered a webhook for the topic")
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
                let connection =
                    ConnectionId::new(connection).expect("the connection id should be valid");
                // The gateway rejects a delivery whose problem is a wrong secret.
                let _ = sender.send("woocommerce", &connection, &request).await;
            }
        }
        // In REST, a webhook's date is the time of its last delivery attempt. It proves that the store sent the
        // deliveries.
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
        .expect("woocommerce should be a known platform")
        .sign(&unsigned, secret, Timestamp::now())
        .expect("the delivery should be signed")
}
