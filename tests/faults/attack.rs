//! Attacks by one sender: a store with valid keys, or senders without a key. An honest second store sends beside each
//! attack.

use std::collections::BTreeMap;
use std::time::Duration;

use cartwire::platforms::{SignedRequest, Unsigned, platform};
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::fault::Fault;
use crate::scene::Scene;
use support::store::{Keys, Order, Store};
use support::{POLL_INTERVAL, unique};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "hot-entity",
        says: "One store updates one order thousands of times, as fast as it is answered.",
        begin: |scene| Box::pin(update_one_order(scene)),
        ..ATTACK
    },
    Fault {
        name: "bodies-held-open",
        says: "Forty senders without a key hold bodies of 8 MiB open.",
        begin: |scene| Box::pin(hold_bodies_open(scene)),
        ..ATTACK
    },
];

pub(crate) const ATTACK: Fault = Fault {
    name: "",
    says: "",
    turned_away: &[],
    may_repeat: false,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: true,
    begin: crate::fault::nothing,
    end: crate::fault::nothing,
};

/// The order that the attack updates. The ordinary load never uses this id.
const HOT_ORDER: Order = Order::Shop(9_999);

async fn update_one_order(scene: &mut Scene) {
    let updates = if scene.long { 20_000 } else { 4_000 };
    send_all(scene, updates, |revision| (HOT_ORDER, revision)).await;
}

/// Sends `webhooks` webhooks from 32 concurrent senders without a pause between them. `webhook` returns the order and
/// the revision for a webhook's number.
pub(crate) async fn send_all(scene: &mut Scene, webhooks: u64, webhook: fn(u64) -> (Order, u64)) {
    const SENDERS: u64 = 32;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let store = scene.store.clone();
        senders.spawn(async move {
            let mut accepted = Vec::new();
            for number in (sender..webhooks).step_by(usize::try_from(SENDERS).unwrap_or(1)) {
                let (order, revision) = webhook(number);
                accepted.push(store.send(order, revision).await);
            }
            accepted
        });
    }
    scene
        .attack
        .0
        .extend(senders.join_all().await.into_iter().flatten());
}

async fn hold_bodies_open(scene: &mut Scene) {
    const ATTACKERS: usize = 40;
    const BODY_BYTES: usize = 8 << 20;
    let address = scene.gateway.public();
    let lasting = if scene.long {
        Duration::from_secs(20)
    } else {
        Duration::from_secs(4)
    };
    let mut attackers = JoinSet::new();
    for _ in 0..ATTACKERS {
        attackers.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(address).await else { return };
            let head = format!(
                "POST /webhooks/woocommerce/shop-a HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 x-wc-webhook-topic: order.updated\r\nx-wc-webhook-id: 1\r\nx-wc-webhook-delivery-id: 0\r\n\
                 x-wc-webhook-signature: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
            );
            let chunk = vec![b' '; 64 << 10];
            let mut ticks = tokio::time::interval(Duration::from_millis(12));
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
            for _ in 1..BODY_BYTES / chunk.len() {
                ticks.tick().await;
                if stream.write_all(&chunk).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(lasting).await;
        });
    }
    tokio::time::sleep(lasting).await;
    attackers.shutdown().await;
}

/// A WooCommerce request signed with the first shop's secret.
pub(crate) fn signed(topic: &str, payload: &str) -> SignedRequest {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce: unique(),
        options: &options,
    };
    platform("woocommerce")
        .expect("woocommerce should be a known platform")
        .sign(&unsigned, &Keys::test().shop, Timestamp::now())
        .expect("the request should be signed")
}

/// Repeats a request of the first shop until the gateway answers 200, and returns the delivery id. A 503 is retried,
/// because a shop that exceeds its share of the body memory gets 503.
pub(crate) async fn send_signed(store: &Store, request: &SignedRequest) -> String {
    loop {
        let answer = store.try_send(Order::Shop(0), request).await;
        let answer = answer.expect("the gateway should respond");
        if let Some(delivery) = answer.delivery() {
            return delivery.to_owned();
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Sends requests of the first shop concurrently. Returns the delivery ids in the order of `requests`.
pub(crate) async fn send_side_by_side(store: &Store, requests: &[SignedRequest]) -> Vec<String> {
    let sends = requests.iter().map(|request| send_signed(store, request));
    futures_util::future::join_all(sends).await
}
