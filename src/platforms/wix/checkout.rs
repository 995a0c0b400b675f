//! Abandoned checkouts.
//!
//! Events of open checkouts and carts become `unrecognized.received`, because such entities change with every click.

use super::domain::{Domain, full_if};
use super::order::discount;
use super::shapes::{buyer, line_item, price};
use crate::event::data::Checkout;
use crate::event::{Entity, NormalizedEvent, verbs};
use crate::platforms::lenient::Node;

pub(super) fn event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let verb = match event.slug() {
        "created" => verbs::ABANDONED,
        "updated" => verbs::UPDATED,
        "deleted" => verbs::DELETED,
        "recovered" => verbs::RECOVERED,
        _ => return None,
    };
    let found = event.entity(&["abandonedCheckout", "currentEntity"], "id");
    let source = found.unwrap_or_else(Node::nowhere);
    let id = source.get("id").id().or_else(|| event.entity_id())?;
    let shape = shape(source, id.clone());
    Some(event.event(verb, id, full_if(found), Entity::Checkout(Box::new(shape))))
}

/// Normalizes an abandoned checkout. A member that the payload does not have stays absent.
pub(super) fn shape(source: Node<'_>, id: String) -> Checkout {
    let currency = source.get("currency").currency().map(str::to_owned);
    Checkout {
        id,
        checkout_id: source.get("checkoutId").id(),
        cart_id: source.get("cartId").id(),
        platform_status: source.get("status").text(),
        subtotal: price(source.get("subtotalPrice"), currency.as_deref()),
        total: price(source.get("totalPrice"), currency.as_deref()),
        discounts: source
            .get("appliedDiscounts")
            .list_of(|applied| discount(applied, currency.as_deref())),
        customer: buyer(source.get("buyerInfo"), source.get("contactDetails")),
        line_items: source
            .get("lineItems")
            .list(|line| line_item(line, currency.as_deref())),
        url: source.get("checkoutUrl").text(),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("updatedDate").utc(),
        currency,
    }
}
