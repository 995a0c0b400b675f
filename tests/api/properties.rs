//! What must hold for all inputs, tried on random ones: forgeries are refused, nothing panics, amounts and payloads stay
//! exact, and the journal does what a simple model of it does.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use cartwire::delivery::{ConnectionId, DeliveryKey, Headers, JournaledDelivery, RawDelivery};
use cartwire::event::{Amount, Event, EventId, Origin, Sequence, json_schema};
use cartwire::journal::entry::{DeliveryState, Entry, LoggedEvent, Outcome, Settlement};
use cartwire::journal::{
    Appended, Budget, DeliveryFilter, EventFilter, Excluded, Journal, JournalGuard, Want,
};
use cartwire::platforms::{
    Normalized, PLATFORMS, Rejection, SignedRequest, Unsigned, VerificationKey, Verified,
    VerifiedDelivery, WebhookPlatform, platform,
};
use cartwire::replay::fixture::{Fixture, embedded, test_key};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;

fn config(cases: u32) -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/properties.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(persistence)),
        ..ProptestConfig::with_cases(cases)
    }
}

/// The clock of these tests.
fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).expect("an instant")
}

fn id(text: &str) -> ConnectionId {
    ConnectionId::new(text).expect("an id")
}

fn key(platform: &dyn WebhookPlatform, name: &str) -> String {
    test_key(platform, name).expect("a test key")
}

/// Each platform's key, read once.
static KEYS: LazyLock<BTreeMap<&'static str, [VerificationKey; 1]>> = LazyLock::new(|| {
    let read = |platform: &&dyn WebhookPlatform| {
        (
            platform.name(),
            [platform
                .verification_key(&key(*platform, "verification"))
                .expect("a key")],
        )
    };
    PLATFORMS.iter().map(read).collect()
});

/// Who sends a payload, under which topic, and the payload.
type Case = (&'static dyn WebhookPlatform, String, Vec<u8>);

/// Payloads as the platforms send them, of all sizes below a bound.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let cases = embedded()
        .expect("fixtures")
        .into_iter()
        .filter_map(|fixture| match fixture {
            Fixture::Case(case) if case.payload.len() < 4000 => {
                Some((case.platform, case.topic, case.payload))
            }
            Fixture::Case(_) | Fixture::Recorded(_) => None,
        });
    cases.collect()
});

fn signed(
    platform: &dyn WebhookPlatform,
    topic: &str,
    payload: &[u8],
    nonce: u64,
) -> SignedRequest {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload,
        nonce,
        options: &options,
    };
    platform
        .sign(&unsigned, &key(platform, "signing"), now())
        .expect("the test key signs")
}

fn verify(
    platform: &dyn WebhookPlatform,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
) -> Result<Verified, Rejection> {
    verify_with(platform, headers, body, &KEYS[platform.name()])
}

fn verify_with(
    platform: &dyn WebhookPlatform,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
    keys: &[VerificationKey],
) -> Result<Verified, Rejection> {
    let endpoint = id("store");
    let headers = Headers(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect(),
    );
    let raw = RawDelivery {
        endpoint: &endpoint,
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: now(),
    };
    platform.verify(&raw, keys, now())
}

/// As the receiver gives them on: names in lower case.
fn received(request: &SignedRequest) -> Vec<(String, Vec<u8>)> {
    request
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes()))
        .collect()
}

fn genuine(
    platform: &dyn WebhookPlatform,
    topic: &str,
    payload: &[u8],
    nonce: u64,
) -> VerifiedDelivery {
    let request = signed(platform, topic, payload, nonce);
    match verify(platform, &received(&request), &request.body).expect("genuine") {
        Verified::Delivery(delivery) => *delivery,
        Verified::Ping => panic!("it was signed"),
    }
}

fn assert_refused(result: Result<Verified, Rejection>, what: &str) {
    match result {
        Ok(_) => panic!("accepted: {what}"),
        Err(rejection) => assert!(
            rejection.is_unauthorized() || rejection == Rejection::Unreadable,
            "{what}: {rejection:?}"
        ),
    }
}

/// A change of one byte: where, as a part of the length, and by what.
fn change() -> impl Strategy<Value = (prop::sample::Index, u8)> {
    (any::<prop::sample::Index>(), 1_u8..=255)
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn a_changed_byte_of_a_signed_body_is_always_refused(
        case in any::<prop::sample::Index>(),
        (at, by) in change(),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let request = signed(*platform, topic, payload, 1);
        let headers = received(&request);
        prop_assert!(verify(*platform, &headers, &request.body).is_ok(), "the original is genuine");
        let mut body = request.body.to_vec();
        prop_assume!(!body.is_empty());
        let at = at.index(body.len());
        body[at] ^= by;
        assert_refused(verify(*platform, &headers, &body), &format!("{topic}, byte {at}"));
    }

    #[test]
    fn a_changed_byte_of_a_signature_header_is_always_refused(
        case in any::<prop::sample::Index>(),
        (at, by) in change(),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let request = signed(*platform, topic, payload, 1);
        let mut headers = received(&request);
        let Some((_, signature)) = headers.iter_mut().find(|(name, _)| name.contains("signature")) else { return Ok(()) };
        let at = at.index(signature.len());
        signature[at] ^= by;
        assert_refused(verify(*platform, &headers, &request.body), &format!("{topic}, byte {at}"));
    }

    #[test]
    fn a_cut_or_lengthened_body_is_always_refused(
        case in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let (platform, topic, payload) = case.get(&CASES);
        let request = signed(*platform, topic, payload, 1);
        let headers = received(&request);
        let whole = request.body.to_vec();
        assert_refused(verify(*platform, &headers, &whole[..cut.index(whole.len())]), topic);
        let longer = [&whole[..], &more].concat();
        // Around a token white space means nothing; it is cut off before anything is looked at.
        let same = longer.trim_ascii() == whole.trim_ascii() && verify(*platform, &headers, &longer).is_ok();
        prop_assert!(!same || !headers.iter().any(|(name, _)| name.contains("signature")), "only a token may have more around it");
        if !same {
            assert_refused(verify(*platform, &headers, &longer), topic);
        }
    }

    #[test]
    fn a_secret_that_differs_is_always_refused(
        secret in "[A-Za-z0-9_-]{8,48}",
        (at, by) in change(),
        payload in "\\{\"id\":[1-9][0-9]{0,8}\\}",
    ) {
        let platform = platform("woocommerce").expect("a platform");
        let options = BTreeMap::new();
        let unsigned = Unsigned { topic: "order.updated", payload: payload.as_bytes(), nonce: 1, options: &options };
        let request = platform.sign(&unsigned, &secret, now()).expect("signed");
        let mut other = secret.clone().into_bytes();
        let at = at.index(other.len());
        other[at] = if other[at] == b'a' { b'b' } else { b'a' + by % 2 };
        prop_assume!(other != secret.as_bytes());
        let keys = |secret: &str| [platform.verification_key(secret).expect("a key")];
        let other = String::from_utf8(other).expect("ASCII");
        let headers = received(&request);
        prop_assert!(verify_with(platform, &headers, &request.body, &keys(&secret)).is_ok());
        assert_refused(verify_with(platform, &headers, &request.body, &keys(&other)), "another secret");
    }

    #[test]
    fn random_bytes_and_headers_never_verify_and_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..400),
        headers in prop::collection::vec((header_name(), prop::collection::vec(any::<u8>(), 0..60)), 0..8),
    ) {
        for platform in PLATFORMS {
            if let Ok(Verified::Delivery(delivery)) = verify(*platform, &headers, &body) {
                panic!("nobody signed {:?}", delivery.parts().body);
            }
        }
    }

    #[test]
    fn what_looks_like_a_token_never_panics(
        header in token_part(),
        claims in token_part(),
        signature in "[A-Za-z0-9_=-]{0,400}",
    ) {
        for platform in PLATFORMS {
            let body = format!("{header}.{claims}.{signature}");
            prop_assert!(verify(*platform, &[], body.as_bytes()).is_err());
        }
    }
}

/// The last character of a token's signature carries four bits that stand for nothing. A lenient reader would take sixteen
/// spellings for one signature.
#[test]
fn another_spelling_of_the_same_signature_bytes_is_refused() {
    let token = |last: char| {
        let request = signed(
            platform("wix").expect("a platform"),
            "AppInstalled",
            b"{}",
            1,
        );
        let text = String::from_utf8(request.body.to_vec()).expect("a token is text");
        (!text.ends_with(last)).then(|| format!("{}{last}", &text[..text.len() - 1]))
    };
    let alphabet = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_', '=', '+', '/']);
    let others: Vec<String> = alphabet.filter_map(token).collect();
    assert_eq!(others.len(), 66);
    for other in others {
        assert_refused(
            verify(platform("wix").expect("a platform"), &[], other.as_bytes()),
            &other[other.len() - 5..],
        );
    }
}

fn header_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x-wc-webhook-signature".to_owned()),
        Just("x-wc-webhook-topic".to_owned()),
        Just("x-wc-webhook-resource".to_owned()),
        Just("x-wc-webhook-event".to_owned()),
        Just("x-wc-webhook-id".to_owned()),
        Just("x-wc-webhook-delivery-id".to_owned()),
        Just("content-type".to_owned()),
        "[a-z-]{1,20}",
    ]
}

fn token_part() -> impl Strategy<Value = String> {
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    prop_oneof![
        "[A-Za-z0-9_-]{0,80}",
        Just(r#"{"alg":"RS256"}"#.to_owned()).prop_map(encode),
        json(3).prop_map(move |value| encode(value.to_string())),
    ]
}

/// Random JSON, with the members that the platforms look for among its names.
fn json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "-?[0-9]{1,40}(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,4})?".prop_map(number),
        ".{0,24}".prop_map(Value::from),
        "-?[0-9]{1,12}\\.[0-9]{0,8}".prop_map(Value::from),
        "20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z?".prop_map(Value::from),
        Just(Value::from("2026-02-30T25:61:61")),
        json_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(member(), inner, 0..12)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn number(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::from(text))
}

/// A layer within a string.
fn json_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"id":"1","entityFqdn":"wix.ecom.v1.order"}"#.to_owned()),
        Just("[".to_owned())
    ]
}

fn member() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "id",
        "number",
        "status",
        "currency",
        "total",
        "line_items",
        "lineItems",
        "billing",
        "shipping",
        "customer_id",
        "date_created",
        "date_created_gmt",
        "date_modified_gmt",
        "date_paid_gmt",
        "meta_data",
        "parent_id",
        "type",
        "variations",
        "images",
        "code",
        "message",
        "data",
        "amount",
        "order",
        "product",
        "customer",
        "coupon",
        "errors",
        "action",
        "arg",
        "refunds",
        "coupon_lines",
        "fee_lines",
        "shipping_lines",
        "tax_lines",
        "quantity",
        "price",
        "sku",
        "name",
        "stock_quantity",
        "manage_stock",
        "attributes",
        "instanceId",
        "eventType",
        "entityFqdn",
        "slug",
        "entityId",
        "eventTime",
        "createdEvent",
        "updatedEvent",
        "deletedEvent",
        "actionEvent",
        "entity",
        "currentEntity",
        "entityAsJson",
        "body",
        "bodyAsJson",
        "modifiedFields",
        "priceSummary",
        "buyerInfo",
        "appId",
        "originInstanceId",
        "productId",
        "variants",
        "variantId",
        "orderId",
        "payments",
        "fulfillments",
        "iat",
        "exp",
        "operationTimeStamp",
        "expiresOn",
        "fields",
        "paths",
        "properties",
        "event",
        "contact",
        "member",
        "billingInfo",
        "options",
    ];
    prop_oneof![8 => prop::sample::select(KNOWN).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn topic() -> impl Strategy<Value = String> {
    let known: Vec<String> = CASES
        .iter()
        .map(|(_, topic, _)| topic.clone())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    prop_oneof![6 => prop::sample::select(known), 1 => ".{0,40}"]
}

/// The whole of what the relay does with a delivery, on the stack of a relay's thread.
fn told(
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
            for event in told(*platform, &topic, &headers, text.as_bytes()) {
                assert_is_event(&event, None);
            }
        }
        let shop = platform("woocommerce").expect("a platform");
        for event in told(shop, &topic, &headers, text.as_bytes()) {
            assert_is_event(&event, Some(&text));
        }
        // The same as the innermost of a token's layers.
        let envelope = serde_json::json!({"data": text, "instanceId": "site", "eventType": topic}).to_string();
        let claims = serde_json::json!({"data": envelope, "iat": 1_780_000_000}).to_string();
        for event in told(platform("wix").expect("a platform"), &topic, &headers, claims.as_bytes()) {
            assert_is_event(&event, Some(&text));
        }
    }

    #[test]
    fn a_genuine_payload_with_a_member_replaced_makes_events_of_the_schema_or_none(
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
        for event in told(*platform, &delivery.topic, &delivery.headers, &delivery.body) {
            assert_is_event(&event, Some(&text));
        }
    }

    #[test]
    fn random_bytes_as_a_journaled_body_never_panic(
        topic in topic(),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        for platform in PLATFORMS {
            for event in told(*platform, &topic, &[], &body) {
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
fn ten_thousand_levels_and_lone_surrogates_overflow_no_stack() {
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
                    for event in told(*platform, topic, &[], text.as_bytes()) {
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
                        for event in told(*platform, topic, &[], claims.as_bytes()) {
                            assert!(serde_json::to_string(&event).is_ok());
                        }
                    }
                }
                let _ = verify(*platform, &[], text.as_bytes());
            }
        }
    });
}

/// What is done to the journal.
#[derive(Clone, Debug)]
enum Step {
    /// Appends the delivery of that number, for the first time or again.
    Append(u64),
    /// Appends these at once, so that they share commits.
    AppendAll(Vec<u64>),
    /// Claims after a position, at most so many, and settles those that are chosen with what they get.
    Settle {
        after: prop::sample::Index,
        limit: usize,
        outcomes: Vec<Option<u8>>,
    },
    /// Settles again what is settled already: nothing may change.
    SettleAgain(prop::sample::Index),
    /// Re-opens what stands in a state, or everything that is settled.
    Redrive(Option<u8>),
    /// Re-opens what was logged, as with a new broker.
    ReopenLogged,
    /// Closes and opens the file again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_u64..12;
    prop_oneof![
        4 => number.clone().prop_map(Step::Append),
        2 => prop::collection::vec(number, 1..10).prop_map(Step::AppendAll),
        5 => (any::<prop::sample::Index>(), 1_usize..8, prop::collection::vec(prop::option::weighted(0.8, 0_u8..5), 8))
            .prop_map(|(after, limit, outcomes)| Step::Settle { after, limit, outcomes }),
        1 => any::<prop::sample::Index>().prop_map(Step::SettleAgain),
        2 => prop::option::of(0_u8..5).prop_map(Step::Redrive),
        1 => Just(Step::ReopenLogged),
        1 => Just(Step::Reopen),
    ]
}

/// An entry of the model.
#[derive(Clone, Debug)]
struct Modelled {
    number: u64,
    key: DeliveryKey,
    state: DeliveryState,
    redriven: bool,
    duplicates: u64,
}

/// The journal as a list.
#[derive(Default)]
struct Model {
    /// In the order of arrival.
    entries: Vec<Modelled>,
    /// The event log: which entry, in the order of settling.
    log: Vec<usize>,
}

impl Model {
    fn append(&mut self, number: u64, key: DeliveryKey) -> Appended {
        match self.entries.iter_mut().find(|entry| entry.number == number) {
            Some(known) => {
                known.duplicates += 1;
                Appended::Duplicate(key)
            }
            None => {
                self.entries.push(Modelled {
                    number,
                    key,
                    state: DeliveryState::Pending,
                    redriven: false,
                    duplicates: 0,
                });
                Appended::New(key)
            }
        }
    }

    fn settle(&mut self, index: usize, outcome: &Outcome) {
        let entry = &mut self.entries[index];
        if entry.state != DeliveryState::Pending {
            return;
        }
        entry.state = outcome.state();
        if matches!(
            outcome,
            Outcome::Logged(_)
                | Outcome::Published(_)
                | Outcome::Unrouted(_)
                | Outcome::Unsubscribed(_)
        ) {
            let logged = self.log.contains(&index);
            if logged && entry.redriven {
                self.log.retain(|known| *known != index);
            }
            if !logged || entry.redriven {
                self.log.push(index);
            }
        }
    }

    fn reopen(&mut self, which: impl Fn(DeliveryState) -> bool, on_demand: bool) -> u64 {
        let mut reopened = 0;
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.state != DeliveryState::Pending && which(entry.state))
        {
            entry.state = DeliveryState::Pending;
            entry.redriven |= on_demand;
            reopened += 1;
        }
        reopened
    }
}

fn outcome(code: u8, position: i64) -> Outcome {
    let event = LoggedEvent {
        index: 0,
        event_type: "cartwire.order.updated".to_owned(),
        subject: format!("order/{position}"),
        omits_raw: false,
    };
    match code {
        0 => Outcome::Logged(vec![event]),
        1 => Outcome::Published(vec![event]),
        2 => Outcome::Unrouted(vec![event]),
        3 => Outcome::Ignored("a_reason".into()),
        _ => Outcome::DeadLettered("a_reason"),
    }
}

/// The deliveries that are appended: all of one shop, half of them differing in the delivery id alone.
static DELIVERIES: LazyLock<Vec<VerifiedDelivery>> = LazyLock::new(|| {
    let platform = platform("woocommerce").expect("a platform");
    let delivery = |n: u64| {
        genuine(
            platform,
            "order.updated",
            format!(r#"{{"id":{}}}"#, n / 2).as_bytes(),
            n,
        )
    };
    (0..12).map(delivery).collect()
});

fn delivery(number: u64) -> VerifiedDelivery {
    DELIVERIES[usize::try_from(number).expect("a small number")].clone()
}

fn open(folder: &Path) -> (Journal, JournalGuard) {
    Journal::open(
        folder,
        Budget {
            age: Duration::from_secs(100 * 365 * 86_400),
            reserve: 1,
            ..Budget::default()
        },
    )
    .expect("the journal opens")
}

async fn claim(journal: &Journal, after: i64, limit: usize) -> Vec<Entry> {
    let found = journal.pending_connections(None).await.expect("a search");
    let wants: Vec<Want> = found
        .connections
        .into_iter()
        .map(|(connection, _)| Want {
            connection,
            from: after + 1,
            entries: limit,
            bytes: usize::MAX,
            is_paused: false,
        })
        .collect();
    let claimed = journal
        .claim(wants, Excluded::default())
        .await
        .expect("a claim");
    claimed
        .into_iter()
        .flat_map(|claimed| claimed.entries)
        .collect()
}

/// Where the journal has put the model's entries: it may leave gaps, but never goes back.
async fn positions(journal: &Journal, model: &Model) -> Vec<i64> {
    let all = journal
        .read(|reader| reader.deliveries(&DeliveryFilter::default(), i64::MAX, 1000))
        .await
        .expect("a read");
    let positions: Vec<i64> = all.iter().rev().map(|delivery| delivery.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert_eq!(positions.len(), model.entries.len(), "as many as arrived");
    positions
}

/// Which entry of the model stands there.
fn index(positions: &[i64], position: i64) -> usize {
    positions
        .iter()
        .position(|known| *known == position)
        .expect("a known position")
}

/// Compares everything that can be read.
async fn assert_like(journal: &Journal, model: &Model) {
    let positions = positions(journal, model).await;
    let claimed: Vec<(i64, DeliveryKey, bool)> = claim(journal, 0, usize::MAX)
        .await
        .iter()
        .map(|entry| (entry.position, entry.key, entry.redriven))
        .collect();
    let entries = positions
        .iter()
        .zip(&model.entries)
        .filter(|(_, entry)| entry.state == DeliveryState::Pending);
    let pending: Vec<_> = entries
        .map(|(position, entry)| (*position, entry.key, entry.redriven))
        .collect();
    assert_eq!(claimed, pending, "what can be claimed");
    let (all, log) = journal
        .read(|reader| {
            let all = reader.deliveries(&DeliveryFilter::default(), i64::MAX, 1000)?;
            Ok((all, reader.log(0, 1000, &EventFilter::default())?.rows))
        })
        .await
        .expect("a read");
    let found: Vec<_> = all
        .iter()
        .rev()
        .map(|d| (d.id.clone(), d.state, d.redriven, d.duplicates))
        .collect();
    let modelled: Vec<_> = model
        .entries
        .iter()
        .map(|e| (e.key.to_string(), e.state, e.redriven, e.duplicates))
        .collect();
    assert_eq!(found, modelled, "what is listed");
    let logged: Vec<i64> = log.iter().map(|row| row.entry.position).collect();
    assert_eq!(
        logged,
        model
            .log
            .iter()
            .map(|index| positions[*index])
            .collect::<Vec<_>>(),
        "what is in the log"
    );
    assert!(log.is_sorted_by(|a, b| a.cursor < b.cursor), "cursors grow");
    for row in &log {
        let number = model.entries[index(&positions, row.entry.position)].number;
        assert_eq!(
            row.entry.delivery.body,
            delivery(number).parts().body,
            "with its body"
        );
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut journal, mut guard) = open(folder.path());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(number) => {
                let delivery = delivery(number);
                let expected = model.append(number, delivery.parts().key);
                assert_eq!(journal.append(delivery).await.expect("room"), expected);
            }
            Step::AppendAll(numbers) => {
                let appends = numbers
                    .iter()
                    .map(|number| journal.append(delivery(*number)));
                for (number, appended) in numbers
                    .iter()
                    .zip(futures_util::future::join_all(appends).await)
                {
                    assert_eq!(
                        appended.expect("room"),
                        model.append(*number, delivery(*number).parts().key)
                    );
                }
            }
            Step::Settle {
                after,
                limit,
                outcomes,
            } => {
                let positions = positions(&journal, &model).await;
                let after = [&[0], &positions[..]].concat()[after.index(positions.len() + 1)];
                let entries = claim(&journal, after, limit).await;
                let pending = model
                    .entries
                    .iter()
                    .enumerate()
                    .filter(|(_, entry)| entry.state == DeliveryState::Pending);
                let pending = pending
                    .map(|(index, _)| positions[index])
                    .filter(|position| *position > after);
                let expected: Vec<i64> = pending.take(limit).collect();
                assert_eq!(
                    entries
                        .iter()
                        .map(|entry| entry.position)
                        .collect::<Vec<_>>(),
                    expected,
                    "claimed in order"
                );
                let mut settlements = Vec::new();
                for (entry, chosen) in entries.iter().zip(outcomes) {
                    let Some(code) = chosen else { continue };
                    let outcome = outcome(code, entry.position);
                    model.settle(index(&positions, entry.position), &outcome);
                    settlements.push(Settlement {
                        position: entry.position,
                        redriven: entry.redriven,
                        attempts: 0,
                        comparison: None,
                        outcome,
                    });
                }
                journal.settle(settlements).await.expect("settled");
            }
            Step::SettleAgain(which) => {
                let settled: Vec<usize> = (0..model.entries.len())
                    .filter(|index| model.entries[*index].state != DeliveryState::Pending)
                    .collect();
                if !settled.is_empty() {
                    let outcome = Outcome::DeadLettered("too_late");
                    let position = positions(&journal, &model).await[*which.get(&settled)];
                    let settlement = Settlement {
                        position,
                        redriven: true,
                        attempts: 9,
                        comparison: None,
                        outcome,
                    };
                    journal
                        .settle(vec![settlement])
                        .await
                        .expect("nothing to do");
                }
            }
            Step::Redrive(code) => {
                let state = code.map(|code| outcome(code, 0).state());
                let filter = DeliveryFilter {
                    states: state.into_iter().collect(),
                    ..DeliveryFilter::default()
                };
                let progress = journal.redrive(filter, 0).await.expect("redriven");
                assert_eq!(
                    progress.changed,
                    model.reopen(|known| state.is_none_or(|state| state == known), true)
                );
            }
            Step::ReopenLogged => {
                let reopened = journal.reopen_logged().await.expect("reopened");
                assert_eq!(
                    reopened,
                    model.reopen(|state| state == DeliveryState::Logged, false)
                );
            }
            Step::Reopen => {
                guard.close().await;
                (journal, guard) = open(folder.path());
            }
        }
        assert_like(&journal, &model).await;
    }
    guard.close().await;
    let (journal, guard) = open(folder.path());
    assert_like(&journal, &model).await;
    guard.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..config(128) })]

    #[test]
    fn the_journal_does_what_its_model_does(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
