//! Signs, verifies and normalizes every fixture, and compares the events with the `expected` files.
//!
//! `CARTWIRE_BLESS=1` writes the results into the `expected` files. Review the diff before the commit.

use std::path::Path;

use cartwire::delivery::{ConnectionId, Headers, JournaledDelivery, RawDelivery};
use cartwire::event::{Event, EventId, Origin, Sequence, json_schema};
use cartwire::platforms::{Normalized, SignedRequest, Unsigned, Verified, WebhookPlatform};
use cartwire::replay::fixture::{self, Expected, Fixture};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The time of these tests. The platforms read no clock.
fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("an instant")
}

/// Verifies a request as in the receiver, with a key in the form that an operator enters.
fn verify(
    platform: &dyn WebhookPlatform,
    request: &SignedRequest,
    key: &str,
) -> Option<JournaledDelivery> {
    let names: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    let headers = Headers(
        names
            .iter()
            .map(String::as_str)
            .zip(request.headers.iter().map(|(_, v)| v.as_bytes()))
            .collect(),
    );
    let endpoint = ConnectionId::new("store").expect("an id");
    let raw = RawDelivery {
        endpoint: &endpoint,
        headers,
        body: request.body.clone(),
        received_at: now(),
    };
    let keys = [platform.verification_key(key).expect("the key can be read")];
    match platform
        .verify(&raw, &keys, now())
        .expect("the sender is genuine")
    {
        Verified::Ping => None,
        Verified::Delivery(delivery) => Some(delivery.to_journaled()),
    }
}

/// The result in the form of the `expected` files.
fn outcome(
    platform: &dyn WebhookPlatform,
    delivery: Option<&JournaledDelivery>,
    validator: &jsonschema::Validator,
) -> Expected {
    let plain = |outcome: &str, reason: Option<&str>| Expected {
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        events: Vec::new(),
    };
    let Some(delivery) = delivery else {
        return plain("ping", None);
    };
    match platform.normalize(delivery) {
        Normalized::Ignored { reason } => plain("ignored", Some(reason)),
        Normalized::Unreadable { reason } => plain("unreadable", Some(reason)),
        Normalized::Events {
            normalized_events,
            raw,
            signal: _,
        } => {
            let events = normalized_events.into_iter().enumerate().map(|(index, normalized)| {
                let index = u16::try_from(index).expect("few events");
                let payload_time = normalized.time;
                let event = Event {
                    id: EventId { delivery: cartwire::delivery::DeliveryKey::of(&[b"golden"]), index },
                    platform: delivery.platform.clone(),
                    connection: delivery.connection.clone(),
                    sequence: Sequence::new(1, index),
                    time: payload_time.unwrap_or(delivery.received_at),
                    origin: Origin::Webhook,
                    enriched: None,
                    normalized,
                    raw: raw.clone().into(),
                    omits_raw: false,
                };
                let whole = serde_json::to_value(&event).expect("an event is JSON");
                if let Err(error) = validator.validate(&whole) {
                    panic!("the schema refuses {}: {error} at {}", event.event_type(), error.instance_path());
                }
                let mut data = whole["data"].clone();
                data.as_object_mut().expect("data is an object").remove("raw").expect("raw is there");
                let mut expected =
                    json!({"type": whole["type"], "subject": whole["subject"], "authority": whole["authority"], "data": data});
                if payload_time.is_some() {
                    expected["time"] = whole["time"].clone();
                }
                expected
            });
            Expected {
                outcome: "events".to_owned(),
                reason: None,
                events: events.collect(),
            }
        }
    }
}

#[test]
fn every_fixture_gives_the_expected_events() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let bless = std::env::var_os("CARTWIRE_BLESS").is_some();
    let validator = jsonschema::validator_for(&json_schema()).expect("the schema is a schema");
    let fixtures = fixture::read(&root).expect("the fixtures can be read");
    let mut wrong = Vec::new();
    for fixture in &fixtures {
        let (platform, path, expected, delivery) = match fixture {
            Fixture::Case(case) => {
                let key = |name| fixture::test_key(case.platform, name).expect("a test key");
                let unsigned = Unsigned {
                    topic: &case.topic,
                    payload: &case.payload,
                    nonce: 1,
                    options: &case.options,
                };
                let request = case
                    .platform
                    .sign(&unsigned, &key("signing"), now())
                    .expect("the test key signs");
                let delivery = verify(case.platform, &request, &key("verification"));
                (
                    case.platform,
                    format!("{}/expected.json", case.path),
                    &case.expected,
                    delivery,
                )
            }
            Fixture::Recorded(recorded) => {
                let request = SignedRequest {
                    headers: recorded.headers.clone(),
                    body: recorded.body.clone(),
                };
                let delivery = verify(
                    recorded.platform,
                    &request,
                    recorded.key.as_deref().unwrap_or("unused"),
                );
                (
                    recorded.platform,
                    format!("{}.expected.json", recorded.path.trim_end_matches(".json")),
                    &recorded.expected,
                    delivery,
                )
            }
        };
        let found = outcome(platform, delivery.as_ref(), &validator);
        if bless {
            let text = serde_json::to_string_pretty(&found).expect("JSON");
            std::fs::write(&path, text + "\n").expect("the expected file can be written");
        } else if expected.as_ref() != Some(&found) {
            wrong.push(format!(
                "{path}\n  found: {}",
                serde_json::to_string(&found).expect("JSON")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} fixtures give an unexpected result:\n{}",
        wrong.len(),
        fixtures.len(),
        wrong.join("\n")
    );
    assert!(!fixtures.is_empty());
}

#[test]
fn raw_is_the_payload_byte_for_byte() {
    for fixture in fixture::embedded().expect("the fixtures can be read") {
        let Fixture::Case(case) = fixture else {
            continue;
        };
        let key = |name| fixture::test_key(case.platform, name).expect("a test key");
        let unsigned = Unsigned {
            topic: &case.topic,
            payload: &case.payload,
            nonce: 1,
            options: &case.options,
        };
        let request = case
            .platform
            .sign(&unsigned, &key("signing"), now())
            .expect("the test key signs");
        let delivery = verify(case.platform, &request, &key("verification")).expect("a delivery");
        let Normalized::Events { raw, .. } = case.platform.normalize(&delivery) else {
            continue;
        };
        let text = std::str::from_utf8(&case.payload)
            .expect("JSON is UTF-8")
            .trim();
        if serde_json::from_str::<Value>(text).is_ok() {
            assert_eq!(raw.get(), text, "{}", case.path);
        } else {
            // A lone surrogate is not a character: `raw` contains U+FFFD instead.
            assert_eq!(raw.get().len(), text.len(), "{}", case.path);
        }
        let _: Value = serde_json::from_str(raw.get()).expect("raw is JSON");
    }
}
