//! Properties of the normalizers, with generated input: no panic, valid events, exact amounts and payloads.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use cartwire::delivery::{DeliveryKey, JournaledDelivery};
use cartwire::event::{Amount, Event, EventId, Origin, Sequence, json_schema};
use cartwire::platforms::{Normalized, PLATFORMS, WebhookPlatform, platform};
use proptest::prelude::*;
use serde_json::Value;

use crate::generated_json::{json, topic};
use crate::properties::{CASES, config, genuine, id, now, verify};

/// The whole of what the relay does with a delivery, on the stack of a relay's thread.
fn reported(
    platform: &dyn WebhookPlatform,
    topic: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Vec<Event> {
    let delivery = JournaledDelivery {
        platform: platform.name().to_owned(),
        endpoint: id("endpoint"),
        connection: id("store"),
        topic: topic.to_owned(),
        headers: headers.to_vec(),
        body: Bytes::copy_from_slice(body),
        received_at: now(),
        enriched: None,
    };
    let Normalized::Events {
        normalized_events,
        raw,
        ..
    } = platform.normalize(&delivery)
    else {
        return Vec::new();
    };
    let events = (0..)
        .zip(normalized_events)
        .map(|(index, normalized)| Event {
            id: EventId {
                delivery: DeliveryKey::of(&[b"property"]),
                index,
            },
            platform: delivery.platform.clone(),
            connection: delivery.connection.clone(),
            sequence: Sequence::new(1, index),
            time: normalized.time.unwrap_or(delivery.received_at),
            origin: Origin::Webhook,
            enriched: None,
            normalized,
            raw: raw.clone().into(),
            difference: Default::default(),
            omits_raw: false,
        });
    events.collect()
}

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::to_value(json_schema()).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
});

/// What every event must be, whatever it was made from.
fn assert_is_event(event: &Event, payload: Option<&str>) {
    let text = serde_json::to_string(event).expect("an event is JSON");
    let value: Value = serde_json::from_str(&text).expect("an event is JSON");
    if let Err(error) = SCHEMA.validate(&value) {
        panic!(
            "the schema refuses {}: {error} at {}",
            event.event_type(),
            error.instance_path()
        );
    }
    assert!(!event.normalized.id.is_empty(), "a subject has an id");
    if let Some(payload) = payload {
        assert_eq!(event.raw.get(), payload.trim(), "raw is what was received");
        assert!(
            text.ends_with(&format!("\"raw\":{}}}}}", payload.trim())),
            "and is written so"
        );
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn random_json_under_any_topic_makes_events_of_the_schema_or_none(
        topic in topic(),
        value in json(5),
        headers in prop::collection::vec(("[a-z-]{1,24}", ".{0,24}"), 0..3),
    ) {
        let text = value.to_string();
        for platform in PLATFORMS {
            for event in reported(*platform, &topic, &headers, text.as_bytes()) {
                assert_is_event(&event, None);
            }
        }
        let shop = platform("woocommerce").expect("a platform");
        for event in reported(shop, &topic, &headers, text.as_bytes()) {
            assert_is_event(&event, Some(&text));
        }
        // The same as the innermost of a token's layers.
        let envelope = serde_json::json!({"data": text, "instanceId": "site", "eventType": topic}).to_string();
        let claims = serde_json::json!({"data": envelope, "iat": 1_780_000_000}).to_string();
        for event in reported(platform("wix").expect("a platform"), &topic, &headers, claims.as_bytes()) {
            assert_is_event(&event, Some(&text));
        }
    }

    #[test]
    fn payload_with_a_replaced_member_gives_valid_events_or_none(
        case in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        value in json(2),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let Ok(mut whole) = serde_json::from_slice::<Value>(payload) else { return Ok(()) };
        let mut places = Vec::new();
        pointers(&whole, String::new(), &mut places);
        let place = at.get(&places);
        *whole.pointer_mut(place).expect("a place") = value;
        let text = whole.to_string();
        let delivery = genuine(*platform, topic, text.as_bytes(), 1).to_journaled();
        for event in reported(*platform, &delivery.topic, &delivery.headers, &delivery.body) {
            assert_is_event(&event, Some(&text));
        }
    }

    #[test]
    fn random_bytes_as_a_journaled_body_never_panic(
        topic in topic(),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        for platform in PLATFORMS {
            for event in reported(*platform, &topic, &[], &body) {
                assert_is_event(&event, None);
            }
        }
    }

    #[test]
    fn a_decimal_is_an_amount_with_the_same_digits(text in "-?[0-9]{1,30}(\\.[0-9]{1,30})?") {
        prop_assert_eq!(Amount::parse(&text).map(|amount| amount.as_str().to_owned()), Some(text.clone()));
        prop_assert_eq!(Amount::parse(&format!(" +{}", text.trim_start_matches('-'))).map(|a| a.as_str().to_owned()), Some(text.trim_start_matches('-').to_owned()));
    }

    #[test]
    fn an_exponent_moves_the_point_and_changes_no_digit(
        whole in "[1-9][0-9]{0,12}",
        fraction in "[0-9]{1,12}",
        exponent in -30_i32..30,
    ) {
        let written = Amount::parse(&format!("{whole}.{fraction}e{exponent}")).expect("an amount");
        let digits = |text: &str| text.replace('.', "").trim_matches('0').to_owned();
        prop_assert_eq!(digits(written.as_str()), digits(&format!("{whole}{fraction}")));
        prop_assert!(!written.as_str().contains(['e', 'E']));
        let again = Amount::parse(written.as_str()).expect("an amount");
        prop_assert_eq!(&again, &written);
        // And back again, as far as the value goes.
        let back = Amount::parse(&format!("{}e{}", written.as_str(), -exponent));
        if let Some(back) = back {
            let difference = back.minus(&Amount::parse(&format!("{whole}.{fraction}")).expect("an amount"));
            prop_assert!(difference.is_none_or(|difference| difference.is_zero()), "{back:?}");
        }
    }

    #[test]
    fn any_text_is_a_plain_decimal_or_no_amount(text in ".{0,20}|[-+0-9.eE]{0,20}") {
        if let Some(amount) = Amount::parse(&text) {
            let digits = amount.as_str().strip_prefix('-').unwrap_or(amount.as_str());
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
            let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert!(plain(whole) && plain(fraction), "{:?} became {:?}", text, amount);
        }
    }
}

/// The places of all values in a JSON value.
fn pointers(value: &Value, here: String, places: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| pointers(item, format!("{here}/{index}"), places));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            pointers(
                member,
                format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")),
                places,
            );
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    places.push(here);
}

/// Runs on a stack as small as that of any thread of ours.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .expect("a thread");
    thread.join().expect("no panic and no overflow");
}

#[test]
fn ten_thousand_levels_and_lone_surrogates_do_not_overflow_the_stack() {
    on_a_small_stack(|| {
        let levels = 10_000;
        let topics: HashSet<&str> = CASES.iter().map(|(_, topic, _)| topic.as_str()).collect();
        let opened = |open: &str, middle: &str, close: &str| {
            format!("{}{middle}{}", open.repeat(levels), close.repeat(levels))
        };
        let strange = [
            opened("[", "", "]"),
            opened(r#"{"a":"#, "1", "}"),
            opened(r#"{"id":1,"data":"#, "null", "}"),
            format!(r#"{{"id":7,"meta_data":{}}}"#, opened("[", "", "]")),
            format!(
                r#"{{"id":"7","entityFqdn":"wix.ecom.v1.order","slug":"created","createdEvent":{}}}"#,
                opened(r#"{"entity":"#, "{}", "}")
            ),
            opened("[", "", ""),
            r#"{"id":7,"note":"\ud800","name":"\udfff\ud800"}"#.to_owned(),
            r#"{"\ud800":1,"id":"\ud800"}"#.to_owned(),
            r#""\ud800""#.to_owned(),
        ];
        for text in &strange {
            for platform in PLATFORMS {
                for topic in &topics {
                    for event in reported(*platform, topic, &[], text.as_bytes()) {
                        assert!(serde_json::to_string(&event).is_ok());
                    }
                    let envelope = serde_json::to_string(text).expect("a string");
                    let claims = [
                        format!(
                            r#"{{"data":{{"data":{text},"instanceId":"site","eventType":"{topic}"}}}}"#
                        ),
                        format!(
                            r#"{{"data":{{"data":{envelope},"instanceId":"site","eventType":"{topic}"}}}}"#
                        ),
                        format!(r#"{{"data":{text}}}"#),
                    ];
                    for claims in &claims {
                        for event in reported(*platform, topic, &[], claims.as_bytes()) {
                            assert!(serde_json::to_string(&event).is_ok());
                        }
                    }
                }
                let _ = verify(*platform, &[], text.as_bytes());
            }
        }
    });
}
