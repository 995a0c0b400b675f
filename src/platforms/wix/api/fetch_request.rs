//! The request for the details that a delivery leaves out. Deliveries with the same request share one answer.
//!
//! There is no request for a deleted entity, and none for carts of the old Wix Stores API and rearranged categories, for
//! which no API call is known.

use crate::delivery::JournaledDelivery;
use crate::event::data::StockStatus;
use crate::event::{Authority, Entity, NormalizedEvent, verbs};

/// The object to fetch.
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
    /// The currency of an order, if the event has the payments.
    Currency,
    /// The payments of an order and its currency.
    Payments,
    /// The fulfillments of an order.
    Fulfillments,
    Contact,
    Member,
    /// An abandoned checkout.
    Checkout,
    /// The site's properties.
    Site,
    /// The currency of the site, for prices that were sent without one.
    SiteCurrency,
    /// The installation. The id of the request is the app's.
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

/// A request for details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platforms::wix) struct FetchRequest {
    pub(in crate::platforms::wix) kind: FetchKind,
    /// The id in the path of the request.
    pub(in crate::platforms::wix) id: String,
}

impl FetchRequest {
    /// The request that makes these events complete; `None` if no request can.
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
            // Two events: the delivery names an installation, so the API can be called for the installation.
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

    /// The request for complete products of catalog V3 whose prices came without a currency.
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

    /// The request as the text that [`FetchRequest::parse`] reads. The journal stores the text.
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

/// `true` for an id that needs no escaping in a path, as all ids of the platform. Another id may be an attack.
fn is_plain(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
#[path = "fetch_request_tests.rs"]
mod tests;
