//! Opens the layers of a token: claims, envelope, payload. Each layer is a JSON object, or a string that contains one.
//!
//! This module does not verify the signature. Of the payload it reads only the members that identify the event. Objects are
//! split into raw text, so the journal stores the bytes as sent, at any depth and size. If a member occurs more than once,
//! the last one counts, as in the platform's SDK.
//!
//! A layer in a string is escaped by the layer around it, and unescaping is the largest cost of reading a token. The platform
//! sends strings, so each layer is first read in one pass as if the next layer were a string. If the next layer is an
//! object, the layer is read again with the next one as raw text. The journal stores the opened payload: see [`Kept`].

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::delivery::{ConnectionId, JournaledDelivery, ReasonCode};
use crate::event::Amount;

/// Maximum length of an event type in bytes. A longer event type is not used as the topic.
const MAX_TOPIC_BYTES: usize = 200;

/// The members of an object as raw JSON.
pub(super) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The members of a JSON object; `None` for any other value, and for an object with more than [`MAX_MEMBERS`] members.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    let layer = Layer::read_with(text, LayerReader { next: None })?;
    (!layer.is_overfull).then_some(layer.beside)
}

/// Maximum number of members that are read of an object beside the next layer. The platform's objects have fewer than 100.
const MAX_MEMBERS: usize = 1000;
/// The members that verification and the topic need. They are read even if the object has too many members.
const NEEDED: [&str; 5] = ["exp", "nbf", "iat", "instanceId", "eventType"];

/// A layer that contains the next one in its member `data`.
struct Layer<'a> {
    /// The other members.
    beside: Members<'a>,
    /// `true` if members were left out of `beside`.
    is_overfull: bool,
    data: Option<Data<'a>>,
}

/// The next layer, decoded from a string or as raw JSON.
enum Data<'a> {
    Decoded(String),
    Raw(&'a RawValue),
}

impl<'a> Layer<'a> {
    /// Reads a JSON object; `None` for anything else.
    fn read(text: &'a str) -> Option<Self> {
        let as_text = LayerReader {
            next: Some(Next::Text),
        };
        Self::read_with(text, as_text).or_else(|| Self::read_raw(text))
    }

    /// As [`Layer::read`], but the next layer stays raw text.
    fn read_raw(text: &'a str) -> Option<Self> {
        let as_raw = LayerReader {
            next: Some(Next::Raw),
        };
        Self::read_with(text, as_raw)
    }

    fn read_with(text: &'a str, reader: LayerReader) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let layer = deserializer.deserialize_map(reader).ok()?;
        deserializer.end().ok()?;
        Some(layer)
    }

    /// The members beside the next layer, as a JSON object; `None` if members were left out.
    fn text_beside(&self) -> Option<String> {
        if self.is_overfull {
            None
        } else {
            Some(object(&self.beside))
        }
    }
}

impl Data<'_> {
    /// The JSON text of the next layer; `None` if the value is neither a string nor an object.
    fn open(self) -> Option<String> {
        match self {
            Data::Decoded(text) => Some(text),
            Data::Raw(raw) => match raw.get().as_bytes().first()? {
                b'"' => serde_json::from_str(raw.get()).ok(),
                b'{' => Some(raw.get().to_owned()),
                _ => None,
            },
        }
    }
}

/// How the member `data` is read.
#[derive(Clone, Copy)]
enum Next {
    /// As a string, whose content is the next layer.
    Text,
    /// As raw text.
    Raw,
}

/// Reads an object whose member `data` is the next layer; without `next`, `data` is a member like the others.
struct LayerReader {
    next: Option<Next>,
}

impl<'de> Visitor<'de> for LayerReader {
    type Value = Layer<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layer<'de>, A::Error> {
        let mut layer = Layer {
            beside: BTreeMap::new(),
            is_overfull: false,
            data: None,
        };
        while let Some(key) = map.next_key::<String>()? {
            match self.next {
                Some(Next::Text) if key == "data" => {
                    layer.data = Some(Data::Decoded(map.next_value()?));
                }
                Some(Next::Raw) if key == "data" => {
                    layer.data = Some(Data::Raw(map.next_value()?));
                }
                _ => {
                    let value = map.next_value()?;
                    if layer.beside.len() < MAX_MEMBERS || NEEDED.contains(&key.as_str()) {
                        layer.beside.insert(key, value);
                    } else {
                        layer.is_overfull = true;
                    }
                }
            }
        }
        Ok(layer)
    }
}

/// The claims of a token, with the envelope still closed.
pub(super) struct Claims<'a> {
    layer: Layer<'a>,
    text: &'a str,
}

impl<'a> Claims<'a> {
    /// Reads the decoded second part of the token; `None` if it is not a JSON object.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Self {
            layer: Layer::read(text)?,
            text,
        })
    }

    /// The raw value of a claim other than the envelope.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.layer.beside.get(name).copied()
    }

    /// Opens the envelope and the payload.
    pub(super) fn open(self) -> Opened {
        let claims = self.layer.text_beside();
        let unreadable = || {
            // Without an envelope the raw text of the claim `data` identifies the delivery.
            let data = Layer::read_raw(self.text).and_then(|claims| claims.data);
            let text = match data {
                Some(Data::Raw(raw)) => raw.get().to_owned(),
                Some(Data::Decoded(_)) | None => self.text.to_owned(),
            };
            let payload = Err(Broken {
                reason: ReasonCode::EnvelopeUnreadable,
                text,
            });
            Opened {
                instance_id: None,
                event_type: None,
                claims: claims.clone(),
                envelope: Some(object(&Members::new())),
                payload,
            }
        };
        let Some(text_of_envelope) = self.layer.data.and_then(Data::open) else {
            return unreadable();
        };
        let Some(envelope) = Layer::read(&text_of_envelope) else {
            return unreadable();
        };
        let get = |name: &str| envelope.beside.get(name).and_then(|raw| text(raw));
        let (instance_id, event_type) = (get("instanceId"), get("eventType"));
        let beside = envelope.text_beside();
        let broken = |reason| Broken {
            reason,
            text: text_of_envelope.clone(),
        };
        let payload = match envelope.data {
            Some(data) => data
                .open()
                .and_then(TokenPayload::read)
                .ok_or_else(|| broken(ReasonCode::PayloadUnreadable)),
            None => Err(broken(ReasonCode::PayloadMissing)),
        };
        Opened {
            instance_id,
            event_type,
            claims,
            envelope: beside,
            payload,
        }
    }
}

/// The members as a JSON object.
fn object(members: &Members<'_>) -> String {
    serde_json::to_string(members).unwrap_or_else(|_| "{}".to_owned())
}

/// The readable layers of a token.
pub(super) struct Opened {
    /// The id of the installation; `None` if the envelope has none or is unreadable.
    pub(super) instance_id: Option<String>,
    event_type: Option<String>,
    /// The claims beside the envelope, as a JSON object; `None` if members were left out.
    claims: Option<String>,
    /// The members of the envelope beside the payload, as a JSON object; `None` if members were left out.
    envelope: Option<String>,
    /// The innermost layer.
    pub(super) payload: Result<TokenPayload, Broken>,
}

/// The innermost layer as JSON text, with the members that identify its event.
pub(super) struct TokenPayload {
    /// The JSON text as sent, without white space around it.
    pub(super) text: String,
    /// The id of the event. Only domain events have one.
    pub(super) event_id: Option<String>,
    /// The event type of a domain event: `{entityFqdn}_{slug}`.
    named: Option<String>,
}

/// A layer that cannot be read.
pub(super) struct Broken {
    /// The reason code.
    pub(super) reason: ReasonCode,
    /// The raw text of the layer, which identifies the delivery.
    pub(super) text: String,
}

impl Opened {
    /// The event type of the envelope, or else of the payload. Empty if neither is a valid topic.
    pub(super) fn topic(&self) -> String {
        let named = self
            .payload
            .as_ref()
            .ok()
            .and_then(|payload| payload.named.as_deref());
        let fits = |topic: &&str| {
            topic.len() <= MAX_TOPIC_BYTES && !topic.is_empty() && !topic.contains(char::is_control)
        };
        let valid = self.event_type.as_deref().filter(fits);
        valid.or(named.filter(fits)).unwrap_or_default().to_owned()
    }
}

impl TokenPayload {
    fn read(given: String) -> Option<Self> {
        let Names { id, fqdn, slug } = serde_json::from_str(&given).ok()?;
        let get = |raw: Option<&RawValue>| raw.and_then(text);
        let fqdn = get(fqdn);
        let event_id = fqdn.as_ref().and_then(|_| get(id));
        let named = fqdn
            .zip(get(slug))
            .map(|(fqdn, slug)| format!("{fqdn}_{slug}"));
        Some(Self {
            event_id,
            named,
            text: trimmed(given),
        })
    }
}

/// The members of a payload that identify its event. Other members are skipped, so their number does not matter.
#[derive(Default)]
struct Names<'a> {
    id: Option<&'a RawValue>,
    fqdn: Option<&'a RawValue>,
    slug: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Names<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Names<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names<'de>, A::Error> {
                let mut names = Names::default();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value()?;
                    match key.as_str() {
                        "id" => names.id = Some(value),
                        "entityFqdn" => names.fqdn = Some(value),
                        "slug" => names.slug = Some(value),
                        _ => {}
                    }
                }
                Ok(names)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The parts of a token that the journal stores: the payload as the body, and the other members of claims and envelope as
/// headers. If a layer is unreadable, the journal stores the claims as the body, without headers.
pub(super) struct Kept {
    /// The claim `iat`. It is the time of an event whose payload has no time.
    pub(super) issued_at: Option<Timestamp>,
    /// `true` if the envelope names the installation whose connection the delivery has.
    pub(super) installation: bool,
    /// The JSON text of the payload as sent.
    pub(super) payload: String,
}

const CLAIMS: &str = "claims";
const ENVELOPE: &str = "envelope";
/// Maximum length in bytes of the members beside the layers. The platform sends a few hundred bytes. If they are longer, the
/// claims are stored as the body, because the journal expects small headers.
const MAX_BESIDE_BYTES: usize = 16 << 10;

impl Kept {
    /// The headers and the body to store. `claims` is the text of the claims, which becomes the body of an unreadable token.
    pub(super) fn parts(opened: Opened, claims: Vec<u8>) -> (Vec<(&'static str, String)>, Vec<u8>) {
        if let (Some(beside_token), Some(beside_envelope), Ok(payload)) =
            (opened.claims, opened.envelope, opened.payload)
            && beside_token.len() + beside_envelope.len() <= MAX_BESIDE_BYTES
        {
            let headers = vec![(CLAIMS, beside_token), (ENVELOPE, beside_envelope)];
            return (headers, payload.text.into_bytes());
        }
        (Vec::new(), claims)
    }

    /// Reads the stored parts of a token. The error is the reason code of an unreadable layer.
    pub(super) fn read(delivery: &JournaledDelivery) -> Result<Self, ReasonCode> {
        if let (Some(claims), Some(envelope)) = (delivery.header(CLAIMS), delivery.header(ENVELOPE))
        {
            let payload =
                std::str::from_utf8(&delivery.body).map_err(|_| ReasonCode::PayloadUnreadable)?;
            return Ok(Self::of(
                claims,
                envelope,
                payload.to_owned(),
                &delivery.connection,
            ));
        }
        let opened = Claims::parse(&delivery.body)
            .ok_or(ReasonCode::ClaimsUnreadable)?
            .open();
        let payload = opened.payload.map_err(|broken| broken.reason)?.text;
        Ok(Self::of(
            &opened.claims.unwrap_or_default(),
            &opened.envelope.unwrap_or_default(),
            payload,
            &delivery.connection,
        ))
    }

    fn of(claims: &str, envelope: &str, payload: String, connection: &ConnectionId) -> Self {
        let (claims, envelope) = (
            members(claims).unwrap_or_default(),
            members(envelope).unwrap_or_default(),
        );
        let issued_at = claims
            .get("iat")
            .and_then(|raw| Timestamp::from_nanosecond(nanoseconds(raw)?).ok());
        let instance = envelope
            .get("instanceId")
            .and_then(|raw| ConnectionId::new(&text(raw)?).ok());
        Self {
            issued_at,
            installation: instance.as_ref() == Some(connection),
            payload,
        }
    }
}

/// The content of a JSON string; `None` for other values and for blank strings.
fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str::<String>(raw.get())
        .ok()
        .filter(|text| !text.trim().is_empty())
}

fn trimmed(text: String) -> String {
    if text.trim().len() == text.len() {
        text
    } else {
        text.trim().to_owned()
    }
}

/// Converts seconds since 1970 to nanoseconds. The seconds are a JSON number with or without decimals; digits after the ninth
/// decimal are cut off. `None` for other values and on overflow.
pub(super) fn nanoseconds(raw: &RawValue) -> Option<i128> {
    let text = raw.get();
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    let seconds = Amount::parse(text)?;
    let (whole, fraction) = seconds
        .as_str()
        .split_once('.')
        .unwrap_or((seconds.as_str(), ""));
    let fraction: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let negative = whole.starts_with('-');
    let whole = whole.parse::<i128>().ok()?.checked_mul(1_000_000_000)?;
    let fraction = fraction.parse::<i128>().ok()?;
    whole.checked_add(if negative { -fraction } else { fraction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(claims: &str) -> Opened {
        Claims::parse(claims.as_bytes())
            .expect("the claims should be an object")
            .open()
    }

    #[test]
    fn layer_is_read_from_a_string_or_an_object() {
        let payload = r#"{"entityFqdn":"wix.x","slug":"made","id":"e1","n":1.10}"#;
        let strings =
            serde_json::json!({"data": serde_json::json!({"data": payload, "instanceId": "i"}).to_string()}).to_string();
        let objects = format!(r#"{{"data":{{"data": {payload} ,"instanceId":"i"}}}}"#);
        for claims in [strings, objects] {
            let opened = open(&claims);
            assert_eq!(opened.topic(), "wix.x_made");
            assert_eq!(opened.instance_id.as_deref(), Some("i"));
            let read = opened.payload.ok().expect("the payload should be readable");
            assert_eq!(
                (read.text.as_str(), read.event_id.as_deref()),
                (payload, Some("e1"))
            );
        }
    }

    #[test]
    fn unreadable_layer_has_a_reason_code() {
        for (claims, reason) in [
            ("{}", "envelope_unreadable"),
            (r#"{"data":7}"#, "envelope_unreadable"),
            (r#"{"data":"no JSON"}"#, "envelope_unreadable"),
            (r#"{"data":"\ud800"}"#, "envelope_unreadable"),
            (r#"{"data":{"eventType":"A"}}"#, "payload_missing"),
            (
                r#"{"data":{"eventType":"A","data":null}}"#,
                "payload_unreadable",
            ),
            (
                r#"{"data":{"eventType":"A","data":"[1]"}}"#,
                "payload_unreadable",
            ),
            (
                r#"{"data":{"eventType":"A","data":"\udc00"}}"#,
                "payload_unreadable",
            ),
        ] {
            assert_eq!(
                open(claims)
                    .payload
                    .err()
                    .map(|broken| broken.reason.as_str()),
                Some(reason),
                "{claims}"
            );
        }
    }

    #[test]
    fn deep_repeated_and_giant_members_are_stored_unchanged() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let giant = format!(r#"{{"a":{}}}"#, "9".repeat(100_000));
        for payload in [
            deep.as_str(),
            giant.as_str(),
            r#"{"a":1,"a":2}"#,
            r#"{"a":"\ud800"}"#,
        ] {
            let opened = open(&format!(r#"{{"data":{{"data":{payload}}}}}"#));
            assert!(opened.payload.is_ok_and(|read| read.text == payload));
        }
        assert_eq!(
            open(r#"{"data":{"eventType":"A","eventType":"B","data":{}}}"#).topic(),
            "B"
        );
    }

    #[test]
    fn invalid_event_type_gives_an_empty_topic() {
        for (given, topic) in [
            ("A\\u0000B", ""),
            ("", ""),
            ("AppInstalled", "AppInstalled"),
        ] {
            assert_eq!(
                open(&format!(
                    r#"{{"data":{{"eventType":"{given}","data":{{}}}}}}"#
                ))
                .topic(),
                topic
            );
        }
        assert_eq!(
            open(&format!(
                r#"{{"data":{{"eventType":"{}","data":{{}}}}}}"#,
                "x".repeat(201)
            ))
            .topic(),
            ""
        );
    }

    #[test]
    fn invalid_event_type_gives_way_to_that_of_the_payload() {
        let payload = r#"{"entityFqdn":"wix.x","slug":"made","id":"e1"}"#;
        let long = "x".repeat(201);
        for given in ["A\\u0000B", long.as_str()] {
            let claims = format!(r#"{{"data":{{"eventType":"{given}","data":{payload}}}}}"#);
            assert_eq!(open(&claims).topic(), "wix.x_made");
        }
    }

    #[test]
    fn seconds_are_converted_without_rounding() {
        let read = |text: &str| {
            nanoseconds(&RawValue::from_string(text.to_owned()).expect("the text should be JSON"))
        };
        assert_eq!(read("1640788554"), Some(1_640_788_554_000_000_000));
        assert_eq!(read("1640788554.5"), Some(1_640_788_554_500_000_000));
        assert_eq!(read("1.640788554e9"), Some(1_640_788_554_000_000_000));
        for bad in [r#""1640788554""#, "null", "true", "{}", "1e300"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn token_with_too_many_members_has_its_claims_as_the_body() {
        let many: String = (0..5000).map(|n| format!(r#""m{n}":0,"#)).collect();
        let payload = r#"{"entityFqdn":"wix.x","slug":"made","id":"e1"}"#;
        let claims =
            format!(r#"{{{many}"iat":7,"data":{{{many}"instanceId":"i","data":{payload}}}}}"#);
        let parsed = Claims::parse(claims.as_bytes()).expect("the claims should be an object");
        assert_eq!(parsed.get("iat").map(RawValue::get), Some("7"));
        let opened = parsed.open();
        assert_eq!(
            (opened.topic().as_str(), opened.instance_id.as_deref()),
            ("wix.x_made", Some("i"))
        );
        let (headers, body) = Kept::parts(opened, claims.clone().into_bytes());
        assert_eq!((headers.len(), body), (0, claims.into_bytes()));
        assert!(members(&format!("{{{many}\"a\":1}}")).is_none());
    }
}
