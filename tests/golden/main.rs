//! Signs, verifies and normalizes every fixture, and compares the events with the `expected` file. Each fixture is one test,
//! named after its path, and a failure prints the difference.
//!
//! `CARTWIRE_BLESS=1` writes the results into the `expected` files. Review the diff before the commit.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cartwire::delivery::{ConnectionId, DeliveryKey, Headers, JournaledDelivery, RawDelivery};
use cartwire::event::{Event, EventId, NormalizedEvent, Origin, Sequence, json_schema};
use cartwire::platforms::{Normalized, SignedRequest, Unsigned, Verified, WebhookPlatform};
use cartwire::replay::fixture::{self, Case, Expected, Fixture, Recorded};
use jiff::Timestamp;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use similar::TextDiff;

/// The time of these tests. The platforms read no clock.
fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("an instant")
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let validator = jsonschema::validator_for(&json_schema()).expect("the schema is a schema");
    let validator = Arc::new(validator);
    let fixtures = fixture::read(&root).expect("the fixtures can be read");
    let trials = fixtures.into_iter().map(|fixture| {
        let test = FixtureTest::new(fixture);
        let name = Path::new(&test.path).strip_prefix(&root);
        let name = name.expect("a path below the fixtures").display();
        let validator = Arc::clone(&validator);
        Trial::test(name.to_string(), move || test.run(&validator))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A fixture, and where its expected result is.
struct FixtureTest {
    fixture: Fixture,
    path: String,
    expected_path: String,
}

impl FixtureTest {
    fn new(fixture: Fixture) -> Self {
        let (path, expected_path) = match &fixture {
            Fixture::Case(case) => (case.path.clone(), format!("{}/expected.json", case.path)),
            Fixture::Recorded(recorded) => {
                let path = recorded.path.trim_end_matches(".json").to_owned();
                let expected_path = format!("{path}.expected.json");
                (path, expected_path)
            }
        };
        Self {
            fixture,
            path,
            expected_path,
        }
    }

    fn run(&self, validator: &jsonschema::Validator) -> Result<(), Failed> {
        let (expected, found) = match &self.fixture {
            Fixture::Case(case) => (&case.expected, case_result(case, validator)),
            Fixture::Recorded(recorded) => {
                (&recorded.expected, recorded_result(recorded, validator))
            }
        };
        if std::env::var_os("CARTWIRE_BLESS").is_some() {
            std::fs::write(&self.expected_path, pretty(&found))?;
            return Ok(());
        }
        if expected.as_ref() == Some(&found) {
            return Ok(());
        }
        let expected = expected.as_ref().map(pretty).unwrap_or_default();
        let found = pretty(&found);
        let diff = TextDiff::from_lines(&expected, &found);
        let mut diff = diff.unified_diff();
        let diff = diff.header(&self.expected_path, "found");
        Err(format!("unexpected result:\n{diff}").into())
    }
}

fn pretty(result: &Expected) -> String {
    serde_json::to_string_pretty(result).expect("JSON") + "\n"
}

/// The result of an unsigned payload: it is signed with the test key first.
fn case_result(case: &Case, validator: &jsonschema::Validator) -> Expected {
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
    if let Some(delivery) = &delivery
        && let Normalized::Events { raw, .. } = case.platform.normalize(delivery)
    {
        assert_raw_is_payload(&raw, case);
    }
    result(case.platform, delivery.as_ref(), validator)
}

/// The result of a recorded delivery, with its original signature.
fn recorded_result(recorded: &Recorded, validator: &jsonschema::Validator) -> Expected {
    let request = SignedRequest {
        headers: recorded.headers.clone(),
        body: recorded.body.clone(),
    };
    let key = recorded.key.as_deref().unwrap_or("unused");
    let delivery = verify(recorded.platform, &request, key);
    result(recorded.platform, delivery.as_ref(), validator)
}

/// Asserts that `raw` of the events is the payload byte for byte.
fn assert_raw_is_payload(raw: &RawValue, case: &Case) {
    let text = std::str::from_utf8(&case.payload).expect("JSON is UTF-8");
    let text = text.trim();
    if serde_json::from_str::<Value>(text).is_ok() {
        assert_eq!(raw.get(), text, "{}", case.path);
    } else {
        // A lone surrogate is not a character: `raw` contains U+FFFD instead.
        assert_eq!(raw.get().len(), text.len(), "{}", case.path);
    }
    let _: Value = serde_json::from_str(raw.get()).expect("raw is JSON");
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
fn result(
    platform: &dyn WebhookPlatform,
    delivery: Option<&JournaledDelivery>,
    validator: &jsonschema::Validator,
) -> Expected {
    let without_events = |outcome: &str, reason: Option<&str>| Expected {
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        events: Vec::new(),
    };
    let Some(delivery) = delivery else {
        return without_events("ping", None);
    };
    match platform.normalize(delivery) {
        Normalized::Ignored { reason } => without_events("ignored", Some(reason.as_str())),
        Normalized::Unreadable { reason } => without_events("unreadable", Some(reason.as_str())),
        Normalized::Events {
            normalized_events,
            raw,
            ..
        } => {
            let events = (0..).zip(normalized_events).map(|(index, normalized)| {
                let event = event(delivery, index, normalized, &raw);
                expected_event(&event, validator)
            });
            Expected {
                outcome: "events".to_owned(),
                reason: None,
                events: events.collect(),
            }
        }
    }
}

fn event(
    delivery: &JournaledDelivery,
    index: u16,
    normalized: NormalizedEvent,
    raw: &RawValue,
) -> Event {
    Event {
        id: EventId {
            delivery: DeliveryKey::of(&[b"golden"]),
            index,
        },
        platform: delivery.platform.clone(),
        connection: delivery.connection.clone(),
        sequence: Sequence::new(1, index),
        time: normalized.time.unwrap_or(delivery.received_at),
        origin: Origin::Webhook,
        enriched: None,
        normalized,
        raw: raw.to_owned().into(),
        difference: Default::default(),
        omits_raw: false,
    }
}

/// An event in the form of the `expected` files: without `raw`, and with the time only if the payload contains one.
fn expected_event(event: &Event, validator: &jsonschema::Validator) -> Value {
    let whole = serde_json::to_value(event).expect("an event is JSON");
    if let Err(error) = validator.validate(&whole) {
        let (event_type, path) = (event.event_type(), error.instance_path());
        panic!("the schema refuses {event_type}: {error} at {path}");
    }
    let mut data = whole["data"].clone();
    let fields = data.as_object_mut().expect("data is an object");
    fields.remove("raw").expect("raw is there");
    let mut expected = json!({
        "type": whole["type"],
        "subject": whole["subject"],
        "authority": whole["authority"],
        "data": data,
    });
    if event.normalized.time.is_some() {
        expected["time"] = whole["time"].clone();
    }
    expected
}
