//! Reads what the store told when it was asked for what a delivery lacks.
//!
//! It fills a draft and never makes another one of it: number, verb and subject stay, because event ids and order hang on
//! them. What does not fit leaves the draft as thin as it was.

use super::document::document;
use super::payload::Payload;
use super::resource::Resource;
use super::{coupon, customer, order, product};
use crate::event::data::Entity;
use crate::event::{Authority, Draft};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// The word for the entity whose id a hook's first argument is, by the hook's name.
pub(in crate::platforms::woocommerce) fn entity_of(hook: &str) -> Option<&'static str> {
    // These hooks begin with the id of an order's line, of a note and the like.
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
        Some(Resource::Order.word())
    } else if is_about("product") || is_about("variation") {
        Some(Resource::Product.word())
    } else if is_about("customer") || is_about("user") {
        Some(Resource::Customer.word())
    } else if is_about("coupon") {
        Some(Resource::Coupon.word())
    } else {
        None
    }
}

/// The draft with what was told.
pub(super) fn completed(mut draft: Draft, told: &[u8]) -> Draft {
    let text = document(told);
    let Some(document) = parse(&text) else {
        return draft;
    };
    let root = Node::root(&document);
    let id = draft.id.clone();
    if draft.authority == Authority::Full || root.subject_id().as_ref() != Some(&id) {
        return draft;
    }
    let of = |resource| Payload::of(root, resource);
    match &mut draft.entity {
        Entity::Order(whole) => **whole = order::order(of(Resource::Order), &id),
        Entity::Product(whole) => **whole = product::product(of(Resource::Product), &id),
        Entity::Customer(whole) => **whole = customer::customer(of(Resource::Customer), &id),
        Entity::Coupon(whole) => **whole = coupon::coupon(of(Resource::Coupon), &id),
        Entity::Subscription(whole) => {
            **whole = order::subscription(of(Resource::Subscription), &id);
        }
        Entity::Action(action) => {
            let word = action.hook.as_deref().and_then(entity_of);
            match Resource::ALL
                .into_iter()
                .find(|resource| Some(resource.word()) == word)
            {
                Some(Resource::Order) => {
                    action.order = Some(order::order(of(Resource::Order), &id))
                }
                Some(Resource::Product) => {
                    action.product = Some(product::product(of(Resource::Product), &id))
                }
                Some(Resource::Customer) => {
                    action.customer = Some(customer::customer(of(Resource::Customer), &id))
                }
                Some(Resource::Coupon) => {
                    action.coupon = Some(coupon::coupon(of(Resource::Coupon), &id))
                }
                Some(Resource::Subscription) | None => return draft,
            }
        }
        Entity::Variant(_)
        | Entity::Collection(_)
        | Entity::Inventory(_)
        | Entity::Fulfillment(_)
        | Entity::Payment(_)
        | Entity::Checkout(_)
        | Entity::App(_)
        | Entity::Site(_)
        | Entity::Connection(_)
        | Entity::Unrecognized(_) => return draft,
    }
    draft.authority = Authority::Full;
    draft
}
