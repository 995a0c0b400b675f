//! The event: one normalized change at a store in a CloudEvents 1.0 envelope.
//!
//! This module contains plain data, its JSON form and its JSON Schema. `platforms` creates the data, and `relay` decides
//! when an event is published.

pub mod data;
mod money;
mod schema;
mod size;
mod types;
mod weight;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

pub use data::Entity;
pub use money::{Amount, Currency, Money};
pub use schema::json_schema;
pub(crate) use size::limit_copies;
pub use size::{DEFAULT_MAX_EVENT_BYTES, EVENT_TOO_LARGE, SizeLimit, TooLarge, fit, json_bytes};
pub use types::{EVENT_TYPES, is_event_type};
pub(crate) use weight::Weigh;
pub use weight::weight;

use crate::delivery::{ConnectionId, DeliveryKey};

/// An event's id: the delivery's key and the event's index in it. Redelivery, crash and redrive give the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The key of the event's delivery. The connection is part of the key.
    pub delivery: DeliveryKey,
    /// The position of the event in its delivery, from 0.
    pub index: u16,
}

impl EventId {
    /// Reads the form that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (delivery, index) = text.split_once('-')?;
        Some(Self {
            delivery: DeliveryKey::parse(delivery)?,
            index: index.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.delivery, self.index)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The order of an event within its partition key: strictly growing, with gaps.
///
/// The number consists of the delivery's position in the journal and the event's index. A crash or a redrive therefore
/// gives the same number, and no counter is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(u64);

impl Sequence {
    /// `position` is the delivery's position in the journal, `index` the event's position in the delivery.
    #[must_use]
    pub fn new(position: i64, index: u16) -> Self {
        // 16 bits for the index and 47 bits for the position: enough for 4 million deliveries a second for a year.
        Self((position.max(0).unsigned_abs() << 16) | u64::from(index))
    }
}

/// Zero-padded to 20 digits, so that sequences sort as text.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// Why the event was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A webhook arrived, or the gateway itself noticed a change of a connection.
    Webhook,
    /// An operator published the delivery again.
    Redrive,
}

impl Origin {
    /// The value in the envelope and in AMQP headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Webhook => "webhook",
            Origin::Redrive => "redrive",
        }
    }
}

/// How much of the entity the event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// The whole entity: a member that is absent is not set at the store.
    Full,
    /// Some members of the entity: the value of an absent member is unknown.
    Partial,
    /// Ids only: request the other members from the store's API.
    Reference,
}

impl Authority {
    /// The value in the envelope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Authority::Full => "full",
            Authority::Partial => "partial",
            Authority::Reference => "reference",
        }
    }
}

/// The result of normalizing: an event without the data that only the journal has (id, sequence, connection).
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// One of [`verbs`], or for an action the name of the hook.
    pub verb: String,
    /// The entity's id at the platform; the second part of the subject.
    pub id: String,
    /// When the change happened at the store; `None` if the platform does not send this.
    pub time: Option<Timestamp>,
    /// How much of the entity the event carries.
    pub authority: Authority,
    pub entity: Entity,
    /// The paths of the changed members, with the platform's names; `None` if the platform does not send them.
    pub changed: Option<Vec<String>>,
    /// `true` if the platform says that a request to anonymize a person's data caused the event.
    pub anonymized: bool,
}

impl Draft {
    /// `true` for a product with a price whose currency the platform did not send.
    #[must_use]
    pub fn lacks_currency(&self) -> bool {
        let Entity::Product(product) = &self.entity else {
            return false;
        };
        let own = [&product.price, &product.regular_price, &product.sale_price];
        let has_price = own.into_iter().any(Option::is_some)
            || product
                .variants
                .iter()
                .flatten()
                .any(|variant| variant.price.is_some());
        product.currency.is_none() && has_price
    }
}

/// The verbs of event types: `cartwire.{entity}.{verb}`.
pub mod verbs {
    pub const ABANDONED: &str = "abandoned";
    pub const APPROVED: &str = "approved";
    pub const CANCELLED: &str = "cancelled";
    pub const CONNECTED: &str = "connected";
    pub const CREATED: &str = "created";
    pub const DEGRADED: &str = "degraded";
    pub const DELETED: &str = "deleted";
    pub const DISCONNECTED: &str = "disconnected";
    pub const FULFILLED: &str = "fulfilled";
    pub const INSTALLED: &str = "installed";
    pub const MERGED: &str = "merged";
    pub const PAYMENT_UPDATED: &str = "payment_updated";
    pub const PLAN_CANCELLED: &str = "plan_cancelled";
    pub const PLAN_CHANGED: &str = "plan_changed";
    pub const PLAN_CONVERTED: &str = "plan_converted";
    pub const PLAN_PURCHASED: &str = "plan_purchased";
    pub const PLAN_REACTIVATED: &str = "plan_reactivated";
    pub const PLAN_TRANSFERRED: &str = "plan_transferred";
    pub const PUBLISHED: &str = "published";
    pub const RECEIVED: &str = "received";
    pub const RECOVERED: &str = "recovered";
    pub const REFUNDED: &str = "refunded";
    pub const REMOVED: &str = "removed";
    pub const RESTORED: &str = "restored";
    pub const SWITCHED: &str = "switched";
    pub const UPDATED: &str = "updated";
}

/// The result of the request for the data that a thin delivery does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The store sent the whole entity at this time.
    Completed(Timestamp),
    /// The store did not send the entity; with a reason code.
    InVain(String),
}

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
    pub draft: Draft,
    /// The result of the request for missing data; `None` if no request was made.
    pub asked: Option<Asked>,
    /// The platform's payload as received.
    pub raw: Arc<RawValue>,
    /// `true` if the event is published without `raw`, and `dataref` points to the delivery instead.
    pub omits_raw: bool,
}

impl Event {
    /// `cartwire.{entity}.{verb}`.
    #[must_use]
    pub fn event_type(&self) -> String {
        format!("cartwire.{}.{}", self.draft.entity.name(), self.draft.verb)
    }

    /// `{entity}/{id}`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}/{}", self.draft.entity.name(), self.draft.id)
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
            &format_args!("urn:cartwire:{}:1", self.draft.entity.name()),
        )?;
        map.serialize_entry("platform", &self.platform)?;
        map.serialize_entry("connection", &self.connection)?;
        map.serialize_entry("partitionkey", &self.partition_key())?;
        map.serialize_entry("sequence", &format_args!("{}", self.sequence))?;
        map.serialize_entry("origin", self.origin.as_str())?;
        map.serialize_entry("authority", self.draft.authority.as_str())?;
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
        match &self.0.draft.entity {
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
        if let Some(changed) = &self.0.draft.changed {
            map.serialize_entry("changed", changed)?;
        }
        if self.0.draft.anonymized {
            map.serialize_entry("triggered_by_anonymize_request", &true)?;
        }
        match &self.0.asked {
            Some(Asked::Completed(at)) => map.serialize_entry("completed_at", at)?,
            Some(Asked::InVain(reason)) => map.serialize_entry("not_completed", reason)?,
            None => {}
        }
        if self.0.omits_raw {
            map.serialize_entry("raw_omitted", &true)?;
        } else {
            map.serialize_entry("raw", &*self.0.raw)?;
        }
        map.end()
    }
}
