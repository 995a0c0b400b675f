//! Events that are derived from a change of state: an order that is paid now and was not before.
//!
//! The store's own events state only that something was updated. A derived event is published at the transition, once.

use rust_decimal::Decimal;
use serde_json::Number;

use super::form::{FormFacts, Price};
use super::stock::Stock;
use super::transition::{Derived, EntityTransition, is_paid};

/// The transitions from a known form to a new one of the same entity. `known` is `None` for an entity that did not exist
/// before. `low_stock` is the quantity from which on the stock counts as low, for products whose store does not send one.
pub(crate) fn transitions(
    entity: &str,
    known: Option<&FormFacts>,
    new: &FormFacts,
    low_stock: Option<&Number>,
) -> Vec<Derived> {
    let nothing = FormFacts::default();
    let is_new = known.is_none();
    let known = known.unwrap_or(&nothing);
    let mut found = Vec::new();
    let mut add = |transition, refunded| {
        found.push(Derived {
            transition,
            refunded,
        });
    };
    match entity {
        "order" => {
            if !is_paid(known) && is_paid(new) {
                add(EntityTransition::OrderPaid, None);
            }
            if let Some(amount) = refunded_since(known, new) {
                add(EntityTransition::OrderRefunded, Some(amount));
            }
            if becomes(&known.status, &new.status, "cancelled") {
                add(EntityTransition::OrderCancelled, None);
            }
            let fulfillment = (&known.fulfillment_status, &new.fulfillment_status);
            if becomes(fulfillment.0, fulfillment.1, "fulfilled") {
                add(EntityTransition::OrderFulfilled, None);
            }
            if !is_new && status_differs(known, new) {
                add(EntityTransition::OrderStatusChanged, None);
            }
        }
        "product" | "variant" if !is_new && price_differs(known, new) => {
            add(EntityTransition::ProductPriceChanged, None);
        }
        _ => {}
    }
    let stock = |facts: &FormFacts| Stock::of(entity, facts, low_stock);
    let of_stock = stock(known).transitions_to(stock(new)).iter();
    found.extend(of_stock.map(|transition| Derived {
        transition: *transition,
        refunded: None,
    }));
    found
}

fn becomes(known: &Option<String>, new: &Option<String>, word: &str) -> bool {
    new.as_deref() == Some(word) && known.as_deref() != Some(word)
}

/// The platform's own status decides where both forms have one, because it has finer steps.
fn status_differs(known: &FormFacts, new: &FormFacts) -> bool {
    let of_platform = (&known.platform_status, &new.platform_status);
    for (known, new) in [of_platform, (&known.status, &new.status)] {
        if let (Some(known), Some(new)) = (known, new) {
            return known != new;
        }
    }
    false
}

fn decimal(price: &Price) -> Option<Decimal> {
    price.amount.as_deref()?.parse().ok()
}

/// The amount that was refunded since the known form; `None` without a refund, or if an amount is not known.
fn refunded_since(known: &FormFacts, new: &FormFacts) -> Option<String> {
    let total = decimal(new.totals.refunded.as_ref()?)?;
    let before = match &known.totals.refunded {
        Some(refunded) => decimal(refunded)?,
        None => Decimal::ZERO,
    };
    (total > before).then(|| (total - before).to_string())
}

/// A price that is not sent is no change.
fn price_differs(known: &FormFacts, new: &FormFacts) -> bool {
    let differs = |known: &Option<Price>, new: &Option<Price>| {
        let amount = |price: &Option<Price>| price.as_ref()?.amount.clone();
        match (amount(known), amount(new)) {
            (Some(before), Some(after)) => match (before.parse::<Decimal>(), after.parse()) {
                (Ok(before), Ok(after)) => before != after,
                _ => before != after,
            },
            _ => false,
        }
    };
    let is_sale_different = known.sale_price.is_some() != new.sale_price.is_some();
    differs(&known.price, &new.price)
        || differs(&known.regular_price, &new.regular_price)
        || differs(&known.sale_price, &new.sale_price)
        || is_sale_different && known.price.is_some() && new.price.is_some()
}

#[cfg(test)]
#[path = "transitions_tests.rs"]
mod tests;
