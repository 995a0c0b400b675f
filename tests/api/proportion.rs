//! A delivery's events are as large as the delivery: for random input, of both platforms, neither the JSON of its events
//! nor the memory that they take is more than a fixed multiple of the bytes that were sent.
//!
//! Input is made of the fixtures, because only members with known names are copied: lists get thousands of small items,
//! texts get long, numbers get exponents.

use std::sync::LazyLock;

use bytes::Bytes;
use cartwire::delivery::{ConnectionId, DeliveryKey, JournaledDelivery};
use cartwire::event::{DEFAULT_MAX_EVENT_BYTES, json_bytes, weight};
use cartwire::journal::entry::{Entry, EntryKind};
use cartwire::normalize::{Assembled, assemble_within};
use cartwire::replay::fixture::Fixture;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

/// Bytes of JSON per byte of the body: the payload itself, and each of its members in our words.
const JSON_PER_BYTE: usize = 12;
/// Bytes of memory per byte of the body: a list item of two bytes is a line item of 330.
const MEMORY_PER_BYTE: usize = 200;
/// Bytes of an event's envelope, and of an entity without a list.
const PER_EVENT: usize = 8 << 10;
/// What copies of a small payload may take in the events of one delivery.
const COPIES: usize = 1 << 20;

/// The platform, the topic and the payload of each fixture that is JSON.
static PAYLOADS: LazyLock<Vec<(String, String, Value)>> = LazyLock::new(|| {
    let cases = support::fixtures().into_iter();
    cases
        .filter_map(|fixture| match fixture {
            Fixture::Case(case) => {
                let payload: Value = serde_json::from_slice(&case.payload).ok()?;
                Some((case.platform.name().to_owned(), case.topic, payload))
            }
            Fixture::Recorded(_) => None,
        })
        .filter(|(_, _, payload)| payload.is_object())
        .collect()
});

/// A change of a payload.
#[derive(Clone, Debug)]
enum Change {
    /// A list has so many items of a kind.
    Repeat(prop::sample::Index, usize, u8),
    /// A text is that long.
    Lengthen(prop::sample::Index, usize),
    /// Each text of a name such as the chosen one's is that long.
    LengthenAll(prop::sample::Index, usize),
    /// An amount has an exponent.
    Exponent(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        3 => (place(), 1_usize..4000, 0_u8..5).prop_map(|(at, count, kind)| Change::Repeat(at, count, kind)),
        2 => (place(), 1_usize..100_000).prop_map(|(at, length)| Change::Lengthen(at, length)),
        1 => (place(), 1_usize..20_000).prop_map(|(at, length)| Change::LengthenAll(at, length)),
        1 => place().prop_map(Change::Exponent),
    ]
}

/// The pointers of all places that are wanted.
fn places(value: &Value, at: &str, is_wanted: &dyn Fn(&Value) -> bool, found: &mut Vec<String>) {
    if is_wanted(value) {
        found.push(at.to_owned());
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().take(20) {
                places(item, &format!("{at}/{index}"), is_wanted, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(member, &format!("{at}/{name}"), is_wanted, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn apply(payload: &mut Value, change: &Change) {
    let find = |payload: &Value, is_wanted: &dyn Fn(&Value) -> bool| {
        let mut found = Vec::new();
        places(payload, "", is_wanted, &mut found);
        found
    };
    let is_list = |value: &Value| value.is_array();
    let is_leaf = |value: &Value| value.is_string() || value.is_number();
    match change {
        Change::Repeat(at, count, kind) => {
            let found = find(payload, &is_list);
            if found.is_empty() {
                return;
            }
            let place = payload
                .pointer_mut(at.get::<String>(&found))
                .expect("a place");
            let item = match kind {
                0 => json!({}),
                1 => json!(1),
                2 => json!({"id": 1}),
                3 => json!({"id": "1", "total": "1", "price": 1, "variantId": 1}),
                _ => place.get(0).cloned().unwrap_or_default(),
            };
            // Items that are whole are many enough with a few.
            let count = if *kind == 4 { count / 40 + 1 } else { *count };
            *place = Value::Array(vec![item; count]);
        }
        Change::Lengthen(at, length) => {
            let found = find(payload, &is_leaf);
            if !found.is_empty() {
                *payload
                    .pointer_mut(at.get::<String>(&found))
                    .expect("a place") = json!("x".repeat(*length));
            }
        }
        Change::LengthenAll(at, length) => {
            let found = find(payload, &is_leaf);
            if found.is_empty() {
                return;
            }
            let name = at
                .get(&found)
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            for place in found {
                if place.rsplit('/').next() == Some(&name) {
                    *payload.pointer_mut(&place).expect("a place") = json!("x".repeat(*length));
                }
            }
        }
        Change::Exponent(at) => {
            let found = find(payload, &is_leaf);
            if !found.is_empty() {
                *payload
                    .pointer_mut(at.get::<String>(&found))
                    .expect("a place") = json!("1e64");
            }
        }
    }
}

fn entry(platform: &str, topic: &str, payload: &Value) -> Entry {
    let id = |text| ConnectionId::new(text).expect("an id");
    let headers = match platform {
        "wix" => vec![
            ("claims".to_owned(), "{}".to_owned()),
            ("envelope".to_owned(), "{}".to_owned()),
        ],
        _ => Vec::new(),
    };
    Entry {
        position: 1,
        key: DeliveryKey::of(&[b"proportion"]),
        kind: EntryKind::Delivery,
        redriven: false,
        attempts: 0,
        record: None,
        delivery: JournaledDelivery {
            platform: platform.to_owned(),
            endpoint: id("store"),
            connection: id("store"),
            topic: topic.to_owned(),
            headers,
            body: Bytes::from(payload.to_string()),
            received_at: Timestamp::UNIX_EPOCH,
            enriched: None,
        },
    }
}

fn config() -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/proportion.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_iters: 200,
        ..ProptestConfig::with_cases(400)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn events_are_at_most_a_fixed_multiple_of_their_delivery(
        case in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let (platform, topic, payload) = case.get(&PAYLOADS);
        let mut payload = payload.clone();
        for change in &changes {
            apply(&mut payload, change);
        }
        let entry = entry(platform, topic, &payload);
        let bytes = entry.delivery.body.len();
        let Assembled::Events { events, .. } = assemble_within(&entry, DEFAULT_MAX_EVENT_BYTES) else {
            return Ok(());
        };
        let json: usize = events.iter().map(json_bytes).sum();
        let memory = weight(&events);
        let fixed = PER_EVENT * events.len() + COPIES;
        prop_assert!(json <= JSON_PER_BYTE * bytes + fixed, "{topic}: {json} bytes of JSON from {bytes}");
        prop_assert!(memory <= MEMORY_PER_BYTE * bytes + fixed, "{topic}: {memory} bytes of memory from {bytes}");
        prop_assert!(memory <= 2 * entry.delivery.cost() + 4 * fixed, "{topic}: {memory} bytes, estimated {}", entry.delivery.cost());
    }
}
