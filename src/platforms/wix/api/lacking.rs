//! What a delivery lacks, as a word: deliveries that lack the same have the same word, and one answer completes them all.
//!
//! Only what can be asked for has a word. What was deleted is not asked for: nothing is left to tell. Nor are carts of the
//! old stores API and rearranged categories, for which no call is known.

use crate::delivery::JournaledDelivery;
use crate::event::data::StockStatus;
use crate::event::{Authority, Draft, Entity, verbs};

/// What is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platforms::wix) enum What {
    /// A product of the first catalog, with its variants.
    Product,
    /// A collection of the first catalog.
    Collection,
    /// The stock of a product of the first catalog, with its variants.
    Inventory,
    /// A product of the third catalog, with its variants.
    ProductV3,
    /// A stock item of the third catalog.
    InventoryItem,
    /// An order.
    Order,
    /// The currency of an order whose payments are told.
    Currency,
    /// The payments of an order, and its currency.
    Payments,
    /// The fulfillments of an order.
    Fulfilments,
    /// A contact.
    Contact,
    /// A member.
    Member,
    /// An abandoned checkout.
    Checkout,
    /// The site's properties.
    Site,
    /// The currency of the site, for prices that were sent without one.
    SiteCurrency,
    /// The installation itself; its id is the app's.
    Installation,
}

const WORDS: [(What, &str); 15] = [
    (What::Product, "product"),
    (What::Collection, "collection"),
    (What::Inventory, "inventory"),
    (What::ProductV3, "product-v3"),
    (What::InventoryItem, "inventory-item"),
    (What::Order, "order"),
    (What::Currency, "transactions"),
    (What::Payments, "payments"),
    (What::Fulfilments, "fulfillments"),
    (What::Contact, "contact"),
    (What::Member, "member"),
    (What::Checkout, "abandoned-checkout"),
    (What::Site, "site"),
    (What::SiteCurrency, "site-currency"),
    (What::Installation, "installation"),
];

/// What a delivery lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platforms::wix) struct Lacking {
    /// The sort.
    pub(in crate::platforms::wix) what: What,
    /// The id that it is asked for by.
    pub(in crate::platforms::wix) id: String,
}

impl Lacking {
    /// What these drafts lack to be whole; `None` where nothing can be asked for.
    pub(in crate::platforms::wix) fn of(
        delivery: &JournaledDelivery,
        drafts: &[Draft],
    ) -> Option<Self> {
        let Some(draft) = drafts
            .iter()
            .find(|draft| draft.authority != Authority::Full)
        else {
            return Self::currency(delivery, drafts);
        };
        if draft.verb == verbs::DELETED {
            return None;
        }
        let topic = delivery.topic.as_str();
        let first_catalog = topic.starts_with("com.wix.ecommerce.");
        let id = draft.id.as_str();
        let (what, id) = match &draft.entity {
            Entity::Product(_) if first_catalog => (What::Product, id),
            Entity::Product(_) => (What::ProductV3, id),
            Entity::Variant(variant) => (What::Product, variant.parent_id.as_deref()?),
            Entity::Collection(_) if first_catalog => (What::Collection, id),
            Entity::Inventory(_) if first_catalog => (What::Inventory, id),
            Entity::Inventory(item) if item.status != Some(StockStatus::Deleted) => {
                (What::InventoryItem, id)
            }
            Entity::Order(_) => (What::Order, id),
            Entity::Payment(payment) if payment.payments.is_some() => (What::Currency, id),
            Entity::Payment(_) => (What::Payments, id),
            Entity::Fulfillment(_) => (What::Fulfilments, id),
            Entity::Customer(_) if topic.starts_with("wix.members.") => (What::Member, id),
            Entity::Customer(_) => (What::Contact, id),
            Entity::Checkout(_) if topic.starts_with("wix.ecom.") => (What::Checkout, id),
            Entity::Site(_) => (What::Site, "properties"),
            // Without an installation to name, it is the endpoint itself.
            Entity::App(app) if draft.verb == verbs::INSTALLED && drafts.len() > 1 => (
                What::Installation,
                app.app_id.as_deref().unwrap_or("unnamed"),
            ),
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
            what,
            id: id.to_owned(),
        })
    }

    /// Whole products of the third catalog whose prices came without a currency.
    fn currency(delivery: &JournaledDelivery, drafts: &[Draft]) -> Option<Self> {
        let is_of_third_catalog = delivery.topic.starts_with("wix.stores.catalog.v3.");
        let lacks = |draft: &Draft| draft.lacks_currency() && draft.verb != verbs::DELETED;
        if is_of_third_catalog && drafts.iter().any(lacks) {
            Some(Self {
                what: What::SiteCurrency,
                id: "site".to_owned(),
            })
        } else {
            None
        }
    }

    /// The word.
    pub(in crate::platforms::wix) fn word(&self) -> String {
        let name = WORDS
            .iter()
            .find(|(what, _)| *what == self.what)
            .map_or("", |(_, name)| *name);
        format!("{name}/{}", self.id)
    }

    /// Reads a word.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let (name, id) = word.split_once('/')?;
        let (what, _) = WORDS.iter().find(|(_, word)| *word == name)?;
        is_plain(id).then(|| Self {
            what: *what,
            id: id.to_owned(),
        })
    }
}

/// Can it stand in a path as it is? The platform's ids can; anything else came from a payload that means no good.
fn is_plain(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
#[path = "lacking_tests.rs"]
mod tests;
