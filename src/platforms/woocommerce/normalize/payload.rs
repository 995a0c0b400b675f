//! A payload and its dialect. WooCommerce has had four APIs, and the API version of the webhook decides the dialect.
//!
//! New webhooks use only v3. The others are read because stores have old webhooks. The entities' files read the members.

use jiff::Timestamp;

use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::resource::Resource;

/// How a payload writes times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dates {
    /// v2 and v3: `date_x_gmt`, beside a `date_x` in the store's unknown zone.
    Gmt,
    /// v1 orders and products: `date_x` is UTC.
    Utc,
    /// v1: coupons are in the store's time zone, and customers are shifted twice. Neither gives a time.
    Unknown,
    /// The legacy API: `x_at`, with its zone.
    Legacy,
}

/// The payload of an entity, without its wrapper.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntityPayload<'a> {
    /// The entity.
    pub(super) node: Node<'a>,
    dates: Dates,
}

impl<'a> EntityPayload<'a> {
    /// Detects the dialect by the members. Plugins remove and add members.
    pub(super) fn of(root: Node<'a>, resource: Resource) -> Self {
        let wrapped = root.get(resource.word());
        if wrapped.is_object() && !root.get("id").exists() {
            return Self {
                node: wrapped,
                dates: Dates::Legacy,
            };
        }
        let gmt = ["date_created_gmt", "date_modified_gmt"]
            .iter()
            .any(|name| root.get(name).value().is_some());
        let dates = match resource {
            _ if gmt => Dates::Gmt,
            // v1 has no `meta_data`. So a plugin removed the dates in UTC, and the remaining dates are in the store's time zone.
            _ if root.get("meta_data").value().is_some() => Dates::Unknown,
            Resource::Order | Resource::Product => Dates::Utc,
            // The time zone of v1 subscriptions is not known.
            Resource::Customer | Resource::Coupon | Resource::Subscription => Dates::Unknown,
        };
        Self { node: root, dates }
    }

    /// A member.
    pub(super) fn get(self, name: &str) -> Node<'a> {
        self.node.get(name)
    }

    /// A member that has another name in the legacy API.
    pub(super) fn either(self, name: &str, legacy: &str) -> Node<'a> {
        match self.dates {
            Dates::Legacy => self.get(legacy),
            Dates::Gmt | Dates::Utc | Dates::Unknown => self.get(name),
        }
    }

    /// When the entity was created.
    pub(super) fn created_at(self) -> Option<Timestamp> {
        self.instant("date_created", "created_at")
    }

    /// When the entity was last changed.
    pub(super) fn updated_at(self) -> Option<Timestamp> {
        self.instant("date_modified", "updated_at")
    }

    /// A time by its name, and by its name in the legacy API. 1970 means never.
    pub(super) fn instant(self, name: &str, legacy: &str) -> Option<Timestamp> {
        let reported = match self.dates {
            Dates::Gmt => self.get(&format!("{name}_gmt")).utc(),
            Dates::Utc => self.get(name).utc(),
            Dates::Legacy => self.get(legacy).str().and_then(|text| text.parse().ok()),
            Dates::Unknown => None,
        };
        reported.filter(|instant| *instant > Timestamp::UNIX_EPOCH)
    }
}

/// Maximum length of an id in bytes. Longer texts would only enlarge subjects and keys.
const LONGEST_ID: usize = 128;

impl Node<'_> {
    /// The entity's id, if it can be part of an event's subject.
    pub(super) fn subject_id(self) -> Option<String> {
        self.get("id").subject_value()
    }

    /// This value, if it can be an id in an event's subject.
    pub(super) fn subject_value(self) -> Option<String> {
        self.id()
            .filter(|id| id.len() <= LONGEST_ID && !id.chars().any(char::is_control))
    }
}
