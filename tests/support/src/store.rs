//! Stores that send webhooks with valid signatures, and retry webhooks that were not accepted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, WebhookPlatform, platform};
use cartwire::replay::{FixtureSender, ReplayAnswer, fixture};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::POLL_INTERVAL;
use crate::ledger::{Accepted, Ledger};

/// The connection of the shop.
pub const SHOP: &str = "shop-a";
/// The connection of a second shop, which some tests add: an honest store during an attack.
pub const HONEST: &str = "shop-b";
/// The webhook secret of the second shop.
pub const HONEST_SECRET: &str = "an-honest-store-signs-with-this-secret-of-its-own";
/// The connection of the app.
pub const APP: &str = "app";
/// The site that installed the app: the connection of its events.
pub const SITE: &str = "1c5f8a70-6f2e-4f4b-9c55-0a1b2c3d4e5f";

/// The fixtures' keys, which are published with the source.
pub struct Keys {
    /// The webhook secret of the shop.
    pub shop: String,
    /// The public key of the app.
    pub app_public: String,
    app_private: String,
}

impl Keys {
    pub fn test() -> Self {
        let key = |platform: &'static dyn WebhookPlatform, name| {
            fixture::test_key(platform, name).expect("the fixtures should contain the key")
        };
        let (shop, app) = (known("woocommerce"), known("wix"));
        Self {
            shop: key(shop, "signing"),
            app_public: key(app, "verification"),
            app_private: key(app, "signing"),
        }
    }
}

fn known(name: &str) -> &'static dyn WebhookPlatform {
    platform(name).expect("the platform should exist")
}

/// An order whose revisions are sent one after another. All its events have one partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// An order of the shop; sent as `order.updated`.
    Shop(u64),
    /// An order of the site; sent as `wix.ecom.v1.order_updated`.
    Site(u64),
    /// An order of the second shop [`HONEST`]; sent as `order.updated`.
    Honest(u64),
}

impl Order {
    /// Orders of shop and site in turn.
    pub fn some(many: u64) -> Vec<Self> {
        (0..many)
            .map(|n| {
                if n % 2 == 0 {
                    Order::Shop(1000 + n)
                } else {
                    Order::Site(1000 + n)
                }
            })
            .collect()
    }

    fn site_id(number: u64) -> String {
        format!("99a233e6-7156-412c-9681-{number:012x}")
    }

    /// The partition key of the order's events.
    pub fn partition_key(self) -> String {
        match self {
            Order::Shop(number) => format!("{SHOP}/order/{number}"),
            Order::Site(number) => format!("{SITE}/order/{}", Self::site_id(number)),
            Order::Honest(number) => format!("{HONEST}/order/{number}"),
        }
    }

    fn route(self) -> (&'static str, &'static str) {
        match self {
            Order::Shop(_) => ("woocommerce", SHOP),
            Order::Site(_) => ("wix", APP),
            Order::Honest(_) => ("woocommerce", HONEST),
        }
    }
}

/// The stores.
#[derive(Clone)]
pub struct Store {
    sender: FixtureSender,
    keys: Arc<Keys>,
    seen: Arc<Seen>,
    /// Allowed statuses for a genuine webhook, except 200.
    refusals: Vec<u16>,
    /// Number of concurrent copies of each webhook.
    copies: Arc<AtomicUsize>,
}

/// What the stores have observed.
#[derive(Debug, Default)]
pub struct Seen {
    /// Number of responses other than 200.
    pub refused: AtomicU64,
    /// Number of requests without a response.
    pub unanswered: AtomicU64,
    /// The longest wait for a response of any status.
    worst_micros: AtomicU64,
}

impl Seen {
    /// The longest wait for a response.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed))
    }

    fn take_in(&self, answer: Option<&ReplayAnswer>, took: Duration) {
        match answer {
            None => drop(self.unanswered.fetch_add(1, Ordering::Relaxed)),
            Some(answer) => {
                self.refused
                    .fetch_add(u64::from(answer.status != 200), Ordering::Relaxed);
                let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.worst_micros.fetch_max(took, Ordering::Relaxed);
            }
        }
    }
}

impl Store {
    pub fn new(gateway: &str) -> Self {
        Self {
            sender: FixtureSender::new(gateway).expect("the client should be created"),
            keys: Arc::new(Keys::test()),
            seen: Arc::default(),
            // Only a journal that cannot accept writes may cause the rejection of a genuine webhook.
            refusals: vec![503],
            copies: Arc::new(AtomicUsize::new(1)),
        }
    }

    /// Sets the allowed statuses, except 200.
    pub fn with_refusals(mut self, refusals: Vec<u16>) -> Self {
        self.refusals = refusals;
        self
    }

    /// The observations so far.
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    /// Sets the number of concurrent copies of each webhook.
    pub fn set_copies(&self, copies: usize) {
        self.copies.store(copies, Ordering::Relaxed);
    }

    /// The webhook for a revision of an order. Only the times in the token differ between calls.
    pub fn webhook(&self, order: Order, revision: u64) -> SignedRequest {
        let mut options = BTreeMap::new();
        let (topic, payload, key) = match order {
            Order::Shop(number) | Order::Honest(number) => {
                let (key, length) = if matches!(order, Order::Honest(_)) {
                    (HONEST_SECRET, 20_000)
                } else {
                    (self.keys.shop.as_str(), 400)
                };
                let payload = json!({
                    "id": number, "number": number.to_string(), "status": "processing", "currency": "EUR", "total": "19.90",
                    "revision": revision, "customer_note": "x".repeat(length),
                });
                ("order.updated", payload, key)
            }
            Order::Site(number) => {
                options.insert("instance_id".to_owned(), SITE.to_owned());
                let id = Order::site_id(number);
                let payload = json!({
                    "id": format!("54127b9c-90f7-461e-{:04x}-{number:012x}", revision & 0xffff),
                    "entityFqdn": "wix.ecom.v1.order", "slug": "updated", "entityId": id, "revision": revision,
                    "updatedEvent": {"currentEntity": {"id": id, "number": number.to_string(), "currency": "EUR", "revision": revision}},
                    "eventTime": "2026-03-14T09:26:53.589793Z",
                });
                (
                    "wix.ecom.v1.order_updated",
                    payload,
                    self.keys.app_private.as_str(),
                )
            }
        };
        let payload = payload.to_string();
        let nonce = revision;
        let unsigned = Unsigned {
            topic,
            payload: payload.as_bytes(),
            nonce,
            options: &options,
        };
        known(order.route().0)
            .sign(&unsigned, key, Timestamp::now())
            .expect("the webhook should be signed")
    }

    /// Sends a revision once; `None` if there was no response.
    pub async fn try_send(&self, order: Order, request: &SignedRequest) -> Option<ReplayAnswer> {
        let (platform, connection) = order.route();
        let connection = ConnectionId::new(connection).expect("the id should be valid");
        let begun = Instant::now();
        let answer = self.sender.send(platform, &connection, request).await.ok();
        self.seen.take_in(answer.as_ref(), begun.elapsed());
        answer
    }

    /// Sends a revision until the response is 200, as a platform does.
    pub async fn send(&self, order: Order, revision: u64) -> Accepted {
        let request = self.webhook(order, revision);
        loop {
            let copies =
                (0..self.copies.load(Ordering::Relaxed)).map(|_| self.try_send(order, &request));
            let mut accepted: Option<String> = None;
            for answer in join_all(copies).await.into_iter().flatten() {
                if let (Some(word), Some(delivery)) = (answer.word(), answer.delivery()) {
                    assert!(
                        ["accepted", "duplicate"].contains(&word),
                        "{order:?} {revision}: {word}"
                    );
                    let delivery = delivery.to_owned();
                    assert!(
                        accepted.as_ref().is_none_or(|other| *other == delivery),
                        "{order:?} {revision} has two ids"
                    );
                    accepted = Some(delivery);
                } else {
                    let may = self.refusals.contains(&answer.status);
                    assert!(
                        may,
                        "{order:?} {revision} is refused: {} {}",
                        answer.status, answer.body
                    );
                }
            }
            if let Some(delivery) = accepted {
                return Accepted {
                    partition_key: order.partition_key(),
                    revision,
                    delivery,
                };
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends revisions `from..to` of each order. The orders are sent concurrently.
    pub async fn send_all(&self, orders: &[Order], from: u64, to: u64) -> Ledger {
        let sends = orders.iter().map(|order| {
            let (store, order) = (self.clone(), *order);
            tokio::spawn(async move {
                let mut ledger = Ledger::default();
                for revision in from..to {
                    ledger.0.push(store.send(order, revision).await);
                }
                ledger
            })
        });
        Ledger::gather(sends.collect()).await
    }

    /// Sends revisions of all orders: as many as [`Load::more`] allows, and [`EXTRA_WEBHOOKS`] more. Webhooks are thus in
    /// flight when it returns, and their number stays small enough for a comparison.
    pub fn load(&self, orders: &[Order]) -> Load {
        let (allowed, answered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let sender = |order: &Order| {
            let (store, order) = (self.clone(), *order);
            let (allowed, answered) = (Arc::clone(&allowed), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut ledger = Ledger::default();
                for revision in 0.. {
                    let Ok(permit) = allowed.acquire().await else {
                        break;
                    };
                    permit.forget();
                    ledger.0.push(store.send(order, revision).await);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                ledger
            })
        };
        let senders = orders.iter().map(sender).collect();
        allowed.add_permits(EXTRA_WEBHOOKS);
        Load {
            allowed,
            answered,
            senders,
        }
    }
}

/// Number of webhooks that a load sends in addition to the requested ones.
const EXTRA_WEBHOOKS: usize = 150;

/// A continuous load of webhooks.
pub struct Load {
    allowed: Arc<Semaphore>,
    answered: Arc<AtomicU64>,
    senders: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Waits until this many more webhooks are accepted.
    pub async fn more(&self, many: u32) {
        let goal = self.answered.load(Ordering::Relaxed) + u64::from(many);
        self.allowed.add_permits(many as usize);
        crate::eventually("webhooks are answered", || async {
            (self.answered.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Sends this many more webhooks per second, without waiting for the responses.
    pub fn flow(&self, per_second: usize) {
        const TICK: Duration = Duration::from_millis(20);
        let allowed = Arc::clone(&self.allowed);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            while !allowed.is_closed() {
                ticks.tick().await;
                // Limits the webhooks that accumulate while the gateway sends no responses.
                if allowed.available_permits() < EXTRA_WEBHOOKS {
                    allowed.add_permits(per_second / 50);
                }
            }
        });
    }

    /// Waits for the open responses, and sends no further webhooks.
    pub async fn stop(self) -> Ledger {
        self.allowed.close();
        Ledger::gather(self.senders).await
    }
}
