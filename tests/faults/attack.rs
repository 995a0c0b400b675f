//! What one sender does to all: attacks by a store with valid keys, and by senders without any. Each runs beside an honest
//! second store.

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

/// The order that the hot store updates: none of those of the ordinary load.
const HOT_ORDER: Order = Order::Shop(9_999);

async fn update_one_order(scene: &mut Scene) {
    let updates = if scene.long { 20_000 } else { 4_000 };
    send_all(scene, updates, |revision| (HOT_ORDER, revision)).await;
}

/// Sends so many webhooks, as fast as they are answered, each with an order and a revision by its number.
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

/// A webhook as the first shop signs it.
pub(crate) fn signed(topic: &str, payload: &str) -> SignedRequest {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce: unique(),
        options: &options,
    };
    platform("woocommerce")
        .expect("a platform")
        .sign(&unsigned, &Keys::test().shop, Timestamp::now())
        .expect("signed")
}

/// Sends a request of the first shop until it is answered 200, and gives the delivery's id. A shop beyond its share of the
/// memory for bodies is answered 503.
pub(crate) async fn send_signed(store: &Store, request: &SignedRequest) -> String {
    loop {
        let answer = store.try_send(Order::Shop(0), request).await;
        let answer = answer.expect("an answer");
        if let Some(delivery) = answer.delivery() {
            return delivery.to_owned();
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Sends requests of the first shop side by side, and gives the deliveries' ids in the same order.
pub(crate) async fn send_side_by_side(store: &Store, requests: &[SignedRequest]) -> Vec<String> {
    let sends = requests.iter().map(|request| send_signed(store, request));
    futures_util::future::join_all(sends).await
}
