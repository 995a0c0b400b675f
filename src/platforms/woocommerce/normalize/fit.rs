//! Decides whether a body fits the topic in its headers. Headers are not signed, so a captured order can be sent under any
//! topic.
//!
//! Only bodies that are clearly of another kind are refused. A body of unknown shape fits every topic.

use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::resource::Resource;

/// `false` if the body is of another kind than the topic says.
pub(super) fn fits(root: Node<'_>, resource: &str) -> bool {
    if resource == "action" {
        // WooCommerce names the hook in the body of an action.
        return root.get("action").exists() || shape(root).is_none();
    }
    let named = Resource::ALL
        .into_iter()
        .find(|known| known.word() == resource);
    match (named, shape(root)) {
        // A subscription is an order with more members.
        (Some(Resource::Subscription), Some(Resource::Order)) => true,
        (Some(named), Some(shape)) => named == shape,
        (None, _) | (_, None) => true,
    }
}

/// Members that only one kind of entity has.
const MARKS: [(Resource, [&str; 2]); 4] = [
    (Resource::Order, ["line_items", "order_key"]),
    (Resource::Product, ["catalog_visibility", "regular_price"]),
    (Resource::Customer, ["is_paying_customer", "username"]),
    (Resource::Coupon, ["discount_type", "individual_use"]),
];

/// The kind of an entity whose members say what it is. Members of two kinds say nothing.
fn shape(root: Node<'_>) -> Option<Resource> {
    let has = |name: &&str| root.get(name).exists();
    let mut kinds = MARKS.iter().filter(|(_, marks)| marks.iter().any(has));
    match (kinds.next(), kinds.next()) {
        (Some((resource, marks)), None) if marks.iter().all(has) => Some(*resource),
        _ => None,
    }
}
