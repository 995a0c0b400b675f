//! The size limit of published events.
//!
//! [`fit`] applies the limit once, before an event is published. It removes `data.raw` from an event that is too large;
//! `dataref` then points to the delivery in the admin API. An event that is still too large is never published. The
//! journal stores which events have no `raw`, so that reading an event again gives the published form.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cloud_event::Event;
use super::weigh::Weigh;

/// The default of `--max-event-bytes`: below RabbitMQ 4's limit of 16 MiB, minus the size of a message's properties.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 15 << 20;

/// Maximum bytes of `raw` in all events of one delivery together. Each of up to 1000 events carries the whole payload, so
/// without this limit the sum would grow with the square of the payload.
const MAX_RAW_COPIES_BYTES: usize = 1 << 20;
/// Number of events per delivery that may always carry `raw`.
const MIN_RAW_COPIES: usize = 16;

/// Maximum size of a published event in bytes of JSON. Clones share the value.
#[derive(Clone, Debug)]
pub struct SizeLimit {
    configured: usize,
    /// The broker's limit; [`usize::MAX`] if it is not known.
    of_broker: Arc<AtomicUsize>,
}

impl Default for SizeLimit {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_EVENT_BYTES)
    }
}

impl SizeLimit {
    /// A limit in bytes of JSON.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            configured: bytes,
            of_broker: Arc::new(AtomicUsize::new(usize::MAX)),
        }
    }

    /// The limit in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.configured.min(self.of_broker.load(Ordering::Relaxed))
    }

    /// Sets the broker's limit, or that it is not known. A higher limit than the configured one changes nothing.
    pub fn set_broker_limit(&self, bytes: Option<usize>) {
        self.of_broker
            .store(bytes.unwrap_or(usize::MAX), Ordering::Relaxed);
    }
}

/// The event is too large even without `data.raw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the event is larger than {limit} bytes without data.raw: raise --max-event-bytes and the broker's limit"
)]
pub struct TooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// Removes `data.raw` from an event that is larger than `limit` bytes of JSON.
///
/// # Errors
/// [`TooLarge`] if the event is larger than `limit` without `data.raw`.
pub fn fit(event: &mut Event, limit: usize) -> Result<(), TooLarge> {
    // A cheap upper bound for small events: JSON escapes one byte as at most six.
    let draft_bytes = 6 * (size_of::<Event>() + event.normalized.heap());
    let raw_bytes = if event.omits_raw {
        0
    } else {
        event.raw.get().len()
    };
    if draft_bytes + raw_bytes <= limit || json_bytes(event) <= limit {
        return Ok(());
    }
    event.omits_raw = true;
    if json_bytes(event) <= limit {
        Ok(())
    } else {
        Err(TooLarge { limit })
    }
}

/// Removes `data.raw` from all events of a delivery if the copies together would exceed the limit.
pub(crate) fn limit_copies(events: &mut [Event]) {
    let raw = events.first().map_or(0, |event| event.raw.get().len());
    if events.len() > MIN_RAW_COPIES && events.len() * raw > MAX_RAW_COPIES_BYTES {
        for event in events {
            event.omits_raw = true;
        }
    }
}

/// The length of an event's JSON in bytes, without building the JSON in memory.
#[must_use]
pub fn json_bytes(event: &Event) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, event) {
        Ok(()) => counter.0,
        // Serializing fails in the publisher as well, which reports the error.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;
    use crate::delivery::{ConnectionId, DeliveryKey};
    use crate::event::data::Order;
    use crate::event::{
        Authority, Entity, EventId, NormalizedEvent, Origin, Sequence, json_schema,
    };

    fn event(note: usize, raw: usize) -> Event {
        let order = Order {
            id: "1".to_owned(),
            note: Some("\u{1}".repeat(note)),
            ..Order::default()
        };
        let raw = RawValue::from_string(format!("\"{}\"", "x".repeat(raw))).expect("JSON");
        Event {
            id: EventId {
                delivery: DeliveryKey::of(&[b"size"]),
                index: 0,
            },
            platform: "woocommerce".to_owned(),
            connection: ConnectionId::new("shop").expect("an id"),
            sequence: Sequence::new(1, 0),
            time: Timestamp::UNIX_EPOCH,
            origin: Origin::Webhook,
            enriched: None,
            normalized: NormalizedEvent {
                verb: "created".to_owned(),
                id: "1".to_owned(),
                time: None,
                authority: Authority::Full,
                entity: Entity::Order(Box::new(order)),
                changed: None,
                anonymized: false,
            },
            raw: Arc::from(raw),
            difference: Default::default(),
            omits_raw: false,
        }
    }

    #[test]
    fn an_event_of_exactly_the_limit_keeps_its_payload() {
        let whole = event(10, 100_000);
        let bytes = json_bytes(&whole);
        assert_eq!(bytes, serde_json::to_vec(&whole).expect("JSON").len());
        let mut fits = whole.clone();
        assert_eq!(fit(&mut fits, bytes), Ok(()));
        assert!(!fits.omits_raw);
        let mut too_large = whole;
        assert_eq!(fit(&mut too_large, bytes - 1), Ok(()));
        assert!(too_large.omits_raw);
    }

    #[test]
    fn an_event_without_its_payload_says_where_the_payload_is() {
        let mut event = event(10, 100_000);
        fit(&mut event, 70_000).expect("it fits without its payload");
        let json = serde_json::to_value(&event).expect("JSON");
        assert_eq!(
            json["dataref"],
            format!("/api/deliveries/{}", event.id.delivery)
        );
        assert_eq!(json["data"]["raw_omitted"], Value::Bool(true));
        assert!(json["data"].get("raw").is_none());
        let validator = jsonschema::validator_for(&json_schema()).expect("a schema");
        assert!(validator.is_valid(&json));
        for member in ["dataref", "data"] {
            let mut wrong = json.clone();
            wrong.as_object_mut().expect("an object").remove(member);
            assert!(!validator.is_valid(&wrong), "without {member}");
        }
    }

    #[test]
    fn an_event_that_is_too_large_without_its_payload_is_not_sent() {
        // A control character is six bytes of JSON: the memory that the note takes is below the limit.
        let mut event = event(20_000, 10);
        assert_eq!(fit(&mut event, 100_000), Err(TooLarge { limit: 100_000 }));
    }

    #[test]
    fn broker_limit_counts_for_all_clones_until_it_is_unknown() {
        let limit = SizeLimit::new(2 << 20);
        let clone = limit.clone();
        limit.set_broker_limit(Some(1 << 20));
        assert_eq!(clone.bytes(), 1 << 20);
        limit.set_broker_limit(Some(4 << 20));
        assert_eq!(clone.bytes(), 2 << 20);
        limit.set_broker_limit(Some(1 << 20));
        limit.set_broker_limit(None);
        assert_eq!(clone.bytes(), 2 << 20);
    }
}
