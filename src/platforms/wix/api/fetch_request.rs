//! The request for the details that a delivery leaves out. Deliveries with the same request share one response.
//!
//! Deleted entities have no request. Carts of the old Wix Stores API and rearranged categories have none either, because no API
//! call for them is known.

use crate::delivery::JournaledDelivery;
use crate::event::data::StockStatus;
use crate::event::{Authority, Entity, NormalizedEvent, verbs};

/// The kind of object to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platforms::wix) enum FetchKind {
    /// A product of catalog V1 with its variants.
    Product,
    /// A collection of catalog V1.
    Collection,
    /// The stock of a product of catalog V1 with its variants.
    Inventory,
    /// A product of catalog V3 with its variants.
    ProductV3,
    /// A stock item of catalog V3.
    InventoryItem,
    Order,
    /// The currency of an order. For events that have the order's payments.
    Currency,
    /// The payments and refunds of an order, and its currency.
    Payments,
    /// The fulfillments of an order.
    Fulfillments,
    Contact,
    Member,
    /// An abandoned checkout.
    Checkout,
    /// The site's properties.
    Site,
    /// The currency of the site. For prices that the platform sent without a currency.
    SiteCurrency,
    /// The installation. The id of the request is the app id, or `unnamed` if the delivery has none.
    Installation,
}

const NAMES: [(FetchKind, &str); 15] = [
    (FetchKind::Product, "product"),
    (FetchKind::Collection, "collection"),
    (FetchKind::Inventory, "inventory"),
    (FetchKind::ProductV3, "product-v3"),
    (FetchKind::InventoryItem, "inventory-item"),
    (FetchKind::Order, "order"),
    (FetchKind::Currency, "transactions"),
    (FetchKind::Payments, "payments"),
    (FetchKind::Fulfillments, "fulfillments"),
    (FetchKind::Contact, "contact"),
    (FetchKind::Member, "member"),
    (FetchKind::Checkout, "abandoned-checkout"),
    (FetchKind::Site, "site"),
    (FetchKind::SiteCurrency, "site-currency"),
    (FetchKind::Installation, "installation"),
];

/// A request for the details of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platforms::wix) struct FetchRequest {
    pub(in crate::platforms::wix) kind: FetchKind,
    /// The id in the path of the API call. `properties` or `site` for requests about the site.
    pub(in crate::platforms::wix) id: String,
}

impl FetchRequest {
    /// The request whose response completes these events; `None` if they are complete or no such request exists.
    pub(in crate::platforms::wix) fn of(
        delivery: &JournaledDelivery,
        normalized_events: &[NormalizedEvent],
    ) -> Option<Self> {
        let Some(normalized) = normalized_events
            .iter()
            .find(|normalized| normalized.authority != Authority::Full)
        else {
            return Self::currency(delivery, normalized_events);
        };
        if normalized.verb == verbs::DELETED {
            return None;
        }
        let topic = delivery.topic.as_str();
        let first_catalog = topic.starts_with("com.wix.ecommerce.");
        let id = normalized.id.as_str();
        let (kind, id) = match &normalized.entity {
            Entity::Product(_) if first_catalog => (FetchKind::Product, id),
            Entity::Product(_) => (FetchKind::ProductV3, id),
            Entity::Variant(variant) => (FetchKind::Product, variant.parent_id.as_deref()?),
            Entity::Collection(_) if first_catalog => (FetchKind::Collection, id),
            Entity::Inventory(_) if first_catalog => (FetchKind::Inventory, id),
            Entity::Inventory(item) if item.status != Some(StockStatus::Deleted) => {
                (FetchKind::InventoryItem, id)
            }
            Entity::Order(_) => (FetchKind::Order, id),
            Entity::Payment(payment) if payment.payments.is_some() => (FetchKind::Currency, id),
            Entity::Payment(_) => (FetchKind::Payments, id),
            Entity::Fulfillment(_) => (FetchKind::Fulfillments, id),
            Entity::Customer(_) if topic.starts_with("wix.members.") => (FetchKind::Member, id),
            Entity::Customer(_) => (FetchKind::Contact, id),
            Entity::Checkout(_) if topic.starts_with("wix.ecom.") => (FetchKind::Checkout, id),
            Entity::Site(_) => (FetchKind::Site, "properties"),
            // The second event exists only if the delivery names an installation. Without one the API cannot be called.
            Entity::App(app)
                if normalized.verb == verbs::INSTALLED && normalized_events.len() > 1 =>
            {
                (
                    FetchKind::Installation,
                    app.app_id.as_deref().unwrap_or("unnamed"),
                )
            }
            Entity::Collection(_)
            | Entity::Inventory(_)
            | Entity::Checkout(_)
            | Entity::App(_)
            | Entity::Subscription(_)
            | Entity::Coupon(_)
            | Entity::Connection(_)
            | Entity::Action(_)
            | Entity::Unrecognized(_) => return None,
        };
        is_plain(id).then(|| Self {
            kind,
            id: id.to_owned(),
        })
    }

    /// The request for the currency of complete products of catalog V3 whose prices have none.
    fn currency(
        delivery: &JournaledDelivery,
        normalized_events: &[NormalizedEvent],
    ) -> Option<Self> {
        let is_of_third_catalog = delivery.topic.starts_with("wix.stores.catalog.v3.");
        let lacks = |normalized: &NormalizedEvent| {
            normalized.lacks_currency() && normalized.verb != verbs::DELETED
        };
        if is_of_third_catalog && normalized_events.iter().any(lacks) {
            Some(Self {
                kind: FetchKind::SiteCurrency,
                id: "site".to_owned(),
            })
        } else {
            None
        }
    }

    /// The request as text, `{name}/{id}`. [`FetchRequest::parse`] reads the text, and the journal stores it.
    pub(in crate::platforms::wix) fn text(&self) -> String {
        let name = NAMES
            .iter()
            .find(|(kind, _)| *kind == self.kind)
            .map_or("", |(_, name)| *name);
        format!("{name}/{}", self.id)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, id) = text.split_once('/')?;
        let (kind, _) = NAMES.iter().find(|(_, known)| *known == name)?;
        is_plain(id).then(|| Self {
            kind: *kind,
            id: id.to_owned(),
        })
    }
}

/// `true` for an id that needs no escaping in a path. All ids of the platform are of this form. Any other id may be an attempt
/// to change the path.
fn is_plain(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
#[path = "fetch_request_tests.rs"]
mod tests;
