//! The parts on the way of a delivery, one by one: verify, normalize, write the event and its message, append to the journal.
//!
//! `cargo bench --bench parts [-- FILTER]`. How they work together is measured by `load`.

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::Bytes;
use cartwire::delivery::{ConnectionId, DeliveryKey, Headers, RawDelivery};
use cartwire::journal::entry::{Entry, EntryKind};
use cartwire::journal::{Budget, Journal};
use cartwire::normalize::assemble_one;
use cartwire::platforms::{
    SignedRequest, Unsigned, VerificationKey, Verified, VerifiedDelivery, WebhookPlatform, platform,
};
use cartwire::publisher::message::Message;
use cartwire::replay::fixture;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;

/// The orders that the parts work on.
const ORDERS: [(&str, &str, &str); 2] = [
    (
        "woocommerce",
        "order.updated",
        "woocommerce/order.created/v3",
    ),
    (
        "wix",
        "wix.ecom.v1.order_created",
        "wix/wix.ecom.v1.order_created/entity",
    ),
];
/// Deliveries that wait for one commit.
const GROUP: u64 = 64;

/// An order of a platform, with the keys to sign and to verify it.
struct Order {
    platform: &'static dyn WebhookPlatform,
    topic: &'static str,
    payload: Vec<u8>,
    signing: String,
    verification: VerificationKey,
    endpoint: ConnectionId,
}

impl Order {
    fn all() -> Vec<Self> {
        let order = |(name, topic, path): &(&str, &'static str, &str)| {
            let platform = platform(name).expect("a platform");
            let key = |name| fixture::test_key(platform, name).expect("a key of the fixtures");
            Self {
                platform,
                topic,
                payload: support::fixture_payload(path),
                signing: key("signing"),
                verification: platform
                    .verification_key(&key("verification"))
                    .expect("a key"),
                endpoint: ConnectionId::new("shop").expect("an id"),
            }
        };
        ORDERS.iter().map(order).collect()
    }

    fn request(&self, nonce: u64) -> SignedRequest {
        let options = BTreeMap::new();
        let unsigned = Unsigned {
            topic: self.topic,
            payload: &self.payload,
            nonce,
            options: &options,
        };
        self.platform
            .sign(&unsigned, &self.signing, Timestamp::now())
            .expect("signed")
    }

    fn verify(&self, request: &SignedRequest) -> VerifiedDelivery {
        let headers: Vec<(String, &[u8])> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_bytes()))
            .collect();
        let headers = Headers(
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect(),
        );
        let now = Timestamp::now();
        let body = Bytes::clone(&request.body);
        let raw = RawDelivery {
            endpoint: &self.endpoint,
            headers,
            body,
            received_at: now,
        };
        match self
            .platform
            .verify(&raw, std::slice::from_ref(&self.verification), now)
        {
            Ok(Verified::Delivery(delivery)) => *delivery,
            other => panic!("no delivery: {other:?}"),
        }
    }
}

fn pure(criterion: &mut Criterion) {
    for order in Order::all() {
        let request = order.request(1);
        let delivery = order.verify(&request).to_journaled();
        let key = DeliveryKey::of(&[b"part"]);
        let entry = Entry {
            position: 1,
            key,
            kind: EntryKind::Delivery,
            redriven: false,
            attempts: 0,
            delivery: delivery.clone(),
            record: None,
        };
        let event = assemble_one(&entry, 0).expect("an event");
        let mut group = criterion.benchmark_group(order.platform.name());
        group.throughput(Throughput::Bytes(order.payload.len() as u64));
        group.bench_function("verify", |bencher| {
            bencher.iter(|| order.verify(black_box(&request)))
        });
        group.bench_function("normalize", |bencher| {
            bencher.iter(|| order.platform.normalize(black_box(&delivery)))
        });
        group.bench_function("write event", |bencher| {
            bencher.iter(|| serde_json::to_vec(black_box(&event)).expect("JSON"))
        });
        group.bench_function("render message", |bencher| {
            bencher.iter(|| Message::render(black_box(&event)).expect("rendered"))
        });
        group.finish();
    }
}

/// From 64 senders at once to the answer to all of them: one commit, or a few.
fn append(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (journal, guard) = runtime
        .block_on(async { Journal::open(folder.path(), Budget::default()) })
        .expect("a journal");
    let order = Order::all().remove(0);
    let mut nonce = 0;
    let mut group = criterion.benchmark_group("journal");
    group
        .throughput(Throughput::Elements(GROUP))
        .sample_size(30);
    group.bench_function("append 64 at once", |bencher| {
        let deliveries = || {
            nonce += GROUP;
            (0..GROUP)
                .map(|n| order.verify(&order.request(nonce + n)))
                .collect::<Vec<_>>()
        };
        let append = |deliveries: Vec<VerifiedDelivery>| {
            runtime.block_on(async {
                let all = futures_util::future::join_all(
                    deliveries
                        .into_iter()
                        .map(|delivery| journal.append(delivery)),
                )
                .await;
                assert!(all.iter().all(Result::is_ok), "they are kept");
            });
        };
        bencher.iter_batched(deliveries, append, BatchSize::LargeInput);
    });
    group.finish();
    drop(journal);
    runtime.block_on(guard.close());
}

criterion_group!(parts, pure, append);
criterion_main!(parts);
