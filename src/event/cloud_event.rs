//! An event with its envelope, and its JSON form.

use std::sync::Arc;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::data::Entity;
use super::difference::Difference;
use super::id::{EventId, Sequence};
use super::normalized::NormalizedEvent;
use super::origin::Origin;
use crate::delivery::{ConnectionId, Enriched, Enrichment};

/// An event with its envelope.
#[derive(Clone, Debug)]
pub struct Event {
    /// Deterministic: a redelivery, a crash and a redrive give the same id.
    pub id: EventId,
    /// The platform's name.
    pub platform: String,
    /// The store's connection.
    pub connection: ConnectionId,
    /// The order of the event within its partition key.
    pub sequence: Sequence,
    /// When the change happened at the store; if unknown, when the delivery was received.
    pub time: Timestamp,
    /// Why the event was published.
    pub origin: Origin,
    /// The change and its entity.
    pub normalized: NormalizedEvent,
    /// The result of the request for missing data; `None` if no request was made.
    pub enriched: Option<Enriched>,
    /// The difference to the last known state of the entity.
    pub difference: Difference,
    /// The platform's payload as received.
    pub raw: Arc<RawValue>,
    /// `true` if the event is published without `raw`, and `dataref` points to the delivery instead.
    pub omits_raw: bool,
}

impl Event {
    /// `cartwire.{entity}.{verb}`.
    #[must_use]
    pub fn event_type(&self) -> String {
        format!(
            "cartwire.{}.{}",
            self.normalized.entity.name(),
            self.normalized.verb
        )
    }

    /// `{entity}/{id}`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}/{}", self.normalized.entity.name(), self.normalized.id)
    }

    /// `/{platform}/{connection}`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/{}/{}", self.platform, self.connection)
    }

    /// `{connection}/{subject}`. Events of one partition key are published in order.
    #[must_use]
    pub fn partition_key(&self) -> String {
        format!("{}/{}", self.connection, self.subject())
    }

    /// The path of the delivery in the admin API.
    #[must_use]
    pub fn dataref(&self) -> String {
        format!("/api/deliveries/{}", self.id.delivery)
    }

    /// `time` as published: RFC 3339 in UTC with exactly three decimals, so that times sort as text.
    #[must_use]
    pub fn time_text(&self) -> String {
        format!("{:.3}", self.time)
    }
}

/// The event as CloudEvents JSON.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("source", &self.source())?;
        map.serialize_entry("type", &self.event_type())?;
        map.serialize_entry("subject", &self.subject())?;
        map.serialize_entry("time", &self.time_text())?;
        map.serialize_entry("datacontenttype", "application/json")?;
        map.serialize_entry(
            "dataschema",
            &format_args!("urn:cartwire:{}:1", self.normalized.entity.name()),
        )?;
        map.serialize_entry("platform", &self.platform)?;
        map.serialize_entry("connection", &self.connection)?;
        map.serialize_entry("partitionkey", &self.partition_key())?;
        map.serialize_entry("sequence", &format_args!("{}", self.sequence))?;
        map.serialize_entry("origin", self.origin.as_str())?;
        map.serialize_entry("authority", self.normalized.authority.as_str())?;
        if self.omits_raw {
            map.serialize_entry("dataref", &self.dataref())?;
        }
        map.serialize_entry("data", &DataBody(self))?;
        map.end()
    }
}

struct DataBody<'a>(&'a Event);

impl Serialize for DataBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.0.normalized.entity {
            Entity::Order(order) => map.serialize_entry("order", order)?,
            Entity::Subscription(subscription) => {
                map.serialize_entry("subscription", subscription)?
            }
            Entity::Product(product) => map.serialize_entry("product", product)?,
            Entity::Variant(variant) => map.serialize_entry("variant", variant)?,
            Entity::Collection(collection) => map.serialize_entry("collection", collection)?,
            Entity::Inventory(inventory) => map.serialize_entry("inventory", inventory)?,
            Entity::Fulfillment(fulfillment) => map.serialize_entry("fulfillment", fulfillment)?,
            Entity::Payment(payment) => map.serialize_entry("payment", payment)?,
            Entity::Customer(customer) => map.serialize_entry("customer", customer)?,
            Entity::Coupon(coupon) => map.serialize_entry("coupon", coupon)?,
            Entity::Checkout(checkout) => map.serialize_entry("checkout", checkout)?,
            Entity::App(app) => map.serialize_entry("app", app)?,
            Entity::Site(site) => map.serialize_entry("site", site)?,
            Entity::Connection(connection) => map.serialize_entry("connection", connection)?,
            Entity::Action(action) => map.serialize_entry("action", action)?,
            Entity::Unrecognized(unrecognized) => {
                map.serialize_entry("unrecognized", unrecognized)?
            }
        }
        let Difference {
            changed,
            previous,
            is_stale,
            refunded,
        } = &self.0.difference;
        if let Some(changed) = changed.as_ref().or(self.0.normalized.changed.as_ref()) {
            map.serialize_entry("changed", changed)?;
        }
        if let Some(previous) = previous {
            map.serialize_entry("previous", previous)?;
        }
        if *is_stale {
            map.serialize_entry("stale", &true)?;
        }
        if let Some(refunded) = refunded {
            map.serialize_entry("refunded", refunded)?;
        }
        if self.0.normalized.anonymized {
            map.serialize_entry("triggered_by_anonymize_request", &true)?;
        }
        if let Some(enriched) = &self.0.enriched {
            match &enriched.enrichment {
                Enrichment::Complete(_) => {
                    map.serialize_entry("completed_at", &enriched.fetched_at)?
                }
                Enrichment::Unavailable(reason) => map.serialize_entry("not_completed", reason)?,
                Enrichment::Contradicted(_) | Enrichment::NotFound => {}
            }
        }
        if self.0.omits_raw {
            map.serialize_entry("raw_omitted", &true)?;
        } else {
            map.serialize_entry("raw", &*self.0.raw)?;
        }
        map.end()
    }
}
