//! The event: our normalized fact in a CloudEvents 1.0 envelope.
//!
//! Pure data and how it is written. Where the words come from is the platforms' business, when an event goes out the
//! relay's.

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
    /// The delivery it was made from; the key contains the connection.
    pub delivery: DeliveryKey,
    /// Which event of the delivery.
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

/// An event's place among the events of its partition key: strictly growing there, with gaps.
///
/// It is the delivery's position in the journal and the event's index, so that a crash or a redrive gives the same
/// number without a counter being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(u64);

impl Sequence {
    /// For the event at `index` of the delivery at `position`.
    #[must_use]
    pub fn new(position: i64, index: u16) -> Self {
        // 2^16 indexes below 2^47 positions: 140 million deliveries a second for eleven days, or any store for ever.
        Self((position.max(0).unsigned_abs() << 16) | u64::from(index))
    }
}

/// Zero-padded to twenty digits, so that it sorts as text.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// How the event came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A webhook arrived, or the gateway itself noticed a change of a connection.
    Webhook,
    /// An operator published the delivery again.
    Redrive,
}

impl Origin {
    /// As it is written in the envelope and in headers.
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
    /// Some members of the entity: an absent member is not known.
    Partial,
    /// Ids only: ask the store for the rest.
    Reference,
}

impl Authority {
    /// As it is written in the envelope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Authority::Full => "full",
            Authority::Partial => "partial",
            Authority::Reference => "reference",
        }
    }
}

/// What normalizing makes of a delivery: an event without the facts that only the journal knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The verb, one of [`verbs`] or a hook's name.
    pub verb: String,
    /// The entity's id at the platform: the second half of the subject.
    pub id: String,
    /// When it happened at the store, where that is known.
    pub time: Option<Timestamp>,
    /// How much of the entity it carries.
    pub authority: Authority,
    /// The entity.
    pub entity: Entity,
    /// The paths of what changed, in the platform's words, where it says.
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

/// The words for what happened.
pub mod verbs {
    #![allow(missing_docs, reason = "each is its own name")]
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

/// How it went when a store was asked for what a thin delivery lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It told the whole entity, at that time.
    Completed(Timestamp),
    /// It did not; why, as a bounded word.
    InVain(String),
}

/// A whole event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Deterministic id.
    pub id: EventId,
    /// The platform's name.
    pub platform: String,
    /// The store's connection.
    pub connection: ConnectionId,
    /// Place among the events of its partition key.
    pub sequence: Sequence,
    /// When it happened at the store where that is known, else when it arrived.
    pub time: Timestamp,
    /// How it came to be.
    pub origin: Origin,
    /// What happened.
    pub draft: Draft,
    /// How it went when the store was asked for the rest; `None` where it was not asked.
    pub asked: Option<Asked>,
    /// The platform's payload as it was received.
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

    /// `{connection}/{subject}`: events of one key arrive in order.
    #[must_use]
    pub fn partition_key(&self) -> String {
        format!("{}/{}", self.connection, self.subject())
    }

    /// Where the delivery is in the admin API.
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
