//! Reads the store's response into an event that lacks members.
//!
//! Number, verb and subject of the events never change, because event ids and their order depend on them. A response that is
//! about another entity leaves the event as it was.

use super::document::document;
use super::payload::EntityPayload;
use super::{coupon, customer, order, product};
use crate::event::data::Entity;
use crate::event::{Authority, NormalizedEvent};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::resource::Resource;

/// The entity whose id is the first argument of a hook, by the hook's name.
pub(in crate::platforms::woocommerce) fn entity_of(hook: &str) -> Option<Resource> {
    // The first argument of these hooks is the id of something else, for example an order line or a note.
    const OTHERS: [&str; 9] = [
        "item",
        "note",
        "refund",
        "token",
        "download",
        "review",
        "category",
        "tag",
        "attribute",
    ];
    let is_about = |word: &str| {
        hook.split('_')
            .any(|part| part == word || part.strip_suffix('s') == Some(word))
    };
    if OTHERS.into_iter().any(is_about) {
        return None;
    }
    if is_about("order") || hook.ends_with("payment_complete") || is_about("thankyou") {
        Some(Resource::Order)
    } else if is_about("product") || is_about("variation") {
        Some(Resource::Product)
    } else if is_about("customer") || is_about("user") {
        Some(Resource::Customer)
    } else if is_about("coupon") {
        Some(Resource::Coupon)
    } else {
        None
    }
}

/// The event with the members of the response.
pub(super) fn enriched(mut normalized: NormalizedEvent, response: &[u8]) -> NormalizedEvent {
    let text = document(response);
    let Some(document) = parse(&text) else {
        return normalized;
    };
    let root = Node::root(&document);
    let id = normalized.id.clone();
    if normalized.authority == Authority::Full || root.subject_id().as_ref() != Some(&id) {
        return normalized;
    }
    let of = |resource| EntityPayload::of(root, resource);
    match &mut normalized.entity {
        Entity::Order(whole) => **whole = order::order(of(Resource::Order), &id),
        Entity::Product(whole) => **whole = product::product(of(Resource::Product), &id),
        Entity::Customer(whole) => **whole = customer::customer(of(Resource::Customer), &id),
        Entity::Coupon(whole) => **whole = coupon::coupon(of(Resource::Coupon), &id),
        Entity::Subscription(whole) => {
            **whole = order::subscription(of(Resource::Subscription), &id);
        }
        Entity::Action(action) => match action.hook.as_deref().and_then(entity_of) {
            Some(Resource::Order) => action.order = Some(order::order(of(Resource::Order), &id)),
            Some(Resource::Product) => {
                action.product = Some(product::product(of(Resource::Product), &id))
            }
            Some(Resource::Customer) => {
                action.customer = Some(customer::customer(of(Resource::Customer), &id))
            }
            Some(Resource::Coupon) => {
                action.coupon = Some(coupon::coupon(of(Resource::Coupon), &id))
            }
            Some(Resource::Subscription) | None => return normalized,
        },
        Entity::Variant(_)
        | Entity::Collection(_)
        | Entity::Inventory(_)
        | Entity::Fulfillment(_)
        | Entity::Payment(_)
        | Entity::Checkout(_)
        | Entity::App(_)
        | Entity::Site(_)
        | Entity::Connection(_)
        | Entity::Unrecognized(_) => return normalized,
    }
    normalized.authority = Authority::Full;
    normalized
}
