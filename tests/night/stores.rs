//! The healthy stores: shops and sites that send one order after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::{FixtureSender, fixture};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;

use support::process::ProcessGateway;
use support::store::APP;

/// A store with its identity and key.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A shop, by its connection and webhook secret.
    Shop { connection: String, secret: String },
    /// A site that installed the app, by its instance id.
    Site { instance: String },
}

/// All healthy stores.
#[derive(Clone)]
pub(crate) struct Stores {
    stores: Vec<Store>,
    app_key: String,
}

/// The senders of a running load.
pub(crate) struct Traffic {
    is_closing: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Vec<String>>>,
}

impl Stores {
    /// Adds shops and sites to a gateway.
    pub(crate) fn add(gateway: &ProcessGateway, shops: usize, sites: usize) -> Self {
        let mut stores = Vec::new();
        for number in 0..shops {
            let connection = format!("well-{number:03}");
            let secret = format!("the-webhook-secret-of-shop-{number:03}");
            gateway.add_shop(&connection, &secret);
            stores.push(Store::Shop { connection, secret });
        }
        stores.extend((0..sites).map(|number| Store::Site {
            instance: format!("1c5f8a70-6f2e-4f4b-9c55-{number:012x}"),
        }));
        let app_key = platform("wix").and_then(|wix| fixture::test_key(wix, "signing"));
        Self {
            stores,
            app_key: app_key.expect("the fixtures should contain the app's key"),
        }
    }

    /// Starts the load: all stores send in rotation, with `rate` deliveries a second in total.
    pub(crate) fn open(&self, gateway: &ProcessGateway, rate: u32) -> Traffic {
        const SENDERS: u32 = 8;
        let is_closing = Arc::new(AtomicBool::new(false));
        let interval = Duration::from_secs(1) * SENDERS / rate.max(1);
        let senders = (0..SENDERS).map(|first| {
            let (stores, is_closing) = (self.clone(), Arc::clone(&is_closing));
            let sender = FixtureSender::new(&format!("http://{}", gateway.public()))
                .expect("the sender should be created");
            tokio::spawn(async move {
                let mut answered = Vec::new();
                let mut ticks = tokio::time::interval(interval);
                for number in (u64::from(first)..).step_by(SENDERS as usize) {
                    ticks.tick().await;
                    if is_closing.load(Ordering::Relaxed) {
                        break;
                    }
                    answered.extend(stores.send(&sender, number).await);
                }
                answered
            })
        });
        Traffic {
            senders: senders.collect(),
            is_closing,
        }
    }

    /// Sends one order. Returns the id of its event if the response is 200.
    async fn send(&self, sender: &FixtureSender, number: u64) -> Option<String> {
        let store = &self.stores[usize::try_from(number).ok()? % self.stores.len()];
        let (name, connection, request) = match store {
            Store::Shop { connection, secret } => {
                let order = json!({
                    "id": number + 1, "number": number.to_string(), "status": "processing", "currency": "EUR",
                    "total": "19.90", "customer_note": "x".repeat(3_000),
                });
                let request = sign_order("order.updated", &order, secret, number);
                ("woocommerce", connection.as_str(), request)
            }
            Store::Site { instance } => {
                ("wix", APP, sign_site_order(instance, number, &self.app_key))
            }
        };
        let connection = ConnectionId::new(connection).expect("the connection id should be valid");
        let answer = sender.send(name, &connection, &request).await.ok()?;
        answer.delivery().map(|delivery| format!("{delivery}-0"))
    }
}

impl Traffic {
    /// Stops the senders. Returns the event ids of all deliveries that were answered 200.
    pub(crate) async fn close(self) -> Vec<String> {
        self.is_closing.store(true, Ordering::Relaxed);
        let mut answered = Vec::new();
        for sender in self.senders {
            answered.append(&mut sender.await.expect("the sender should not panic"));
        }
        answered
    }
}

/// A signed WooCommerce delivery.
pub(crate) fn sign_order(
    topic: &str,
    payload: &serde_json::Value,
    secret: &str,
    nonce: u64,
) -> SignedRequest {
    sign_bytes(topic, payload.to_string().as_bytes(), secret, nonce)
}

/// A signed WooCommerce delivery with any body.
pub(crate) fn sign_bytes(topic: &str, payload: &[u8], secret: &str, nonce: u64) -> SignedRequest {
    let unsigned = Unsigned {
        topic,
        payload,
        nonce,
        options: &BTreeMap::new(),
    };
    platform("woocommerce")
        .expect("woocommerce should be a known platform")
        .sign(&unsigned, secret, Timestamp::now())
        .expect("the delivery should be signed")
}

fn sign_site_order(instance: &str, number: u64, key: &str) -> SignedRequest {
    let id = format!("99a233e6-7156-412c-9681-{number:012x}");
    let payload = json!({
        "id": format!("54127b9c-90f7-461e-8000-{number:012x}"),
        "entityFqdn": "wix.ecom.v1.order", "slug": "updated", "entityId": id,
        "updatedEvent": {"currentEntity": {"id": id, "number": number.to_string(), "currency": "EUR"}},
        "eventTime": "2026-03-14T09:26:53.589793Z",
    })
    .to_string();
    let options = BTreeMap::from([("instance_id".to_owned(), instance.to_owned())]);
    let unsigned = Unsigned {
        topic: "wix.ecom.v1.order_updated",
        payload: payload.as_bytes(),
        nonce: number,
        options: &options,
    };
    platform("wix")
        .expect("wix should be a known platform")
        .sign(&unsigned, key, Timestamp::now())
        .expect("the delivery should be signed")
}
