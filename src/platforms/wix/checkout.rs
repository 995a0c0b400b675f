//! Abandoned checkouts: purchases that were begun.
//!
//! Running checkouts and carts are not here: they change with every click and have no word of ours.

use super::domain::{Domain, full_if};
use super::order::discount;
use super::shapes::{buyer, line_item, price};
use crate::event::data::Checkout;
use crate::event::{Draft, Entity, verbs};
use crate::platforms::lenient::Node;

pub(super) fn event(event: &Domain<'_>) -> Option<Draft> {
    let verb = match event.slug() {
        "created" => verbs::ABANDONED,
        "updated" => verbs::UPDATED,
        "deleted" => verbs::DELETED,
        "recovered" => verbs::RECOVERED,
        _ => return None,
    };
    let found = event.entity(&["abandonedCheckout", "currentEntity"], "id");
    let told = found.unwrap_or_else(Node::nowhere);
    let id = told.get("id").id().or_else(|| event.entity_id())?;
    let shape = shape(told, id.clone());
    Some(event.draft(verb, id, full_if(found), Entity::Checkout(Box::new(shape))))
}

/// A checkout, or as much of it as is told.
pub(super) fn shape(told: Node<'_>, id: String) -> Checkout {
    let currency = told.get("currency").currency().map(str::to_owned);
    Checkout {
        id,
        checkout_id: told.get("checkoutId").id(),
        cart_id: told.get("cartId").id(),
        platform_status: told.get("status").text(),
        subtotal: price(told.get("subtotalPrice"), currency.as_deref()),
        total: price(told.get("totalPrice"), currency.as_deref()),
        discounts: told
            .get("appliedDiscounts")
            .list_of(|applied| discount(applied, currency.as_deref())),
        customer: buyer(told.get("buyerInfo"), told.get("contactDetails")),
        line_items: told
            .get("lineItems")
            .list(|line| line_item(line, currency.as_deref())),
        url: told.get("checkoutUrl").text(),
        created_at: told.get("createdDate").utc(),
        updated_at: told.get("updatedDate").utc(),
        currency,
    }
}
