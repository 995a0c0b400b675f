//! Events that are derived from a change of state: an order that is paid now and was not before.
//!
//! The store's own events state only that something was updated. A derived event is published at the transition, once.

use rust_decimal::Decimal;
use serde_json::{Number, Value};

use super::stock::Stock;
use super::transition::{Derived, EntityTransition, is_paid, text};

/// The transitions from a known form to a new one of the same entity. `known` is `null` for an entity that did not exist
/// before. `low_stock` is the quantity from which on the stock counts as low, for products whose store does not send one.
pub(crate) fn transitions(
    entity: &str,
    known: &Value,
    new: &Value,
    low_stock: Option<&Number>,
) -> Vec<Derived> {
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
            if becomes(known, new, "/status", "cancelled") {
                add(EntityTransition::OrderCancelled, None);
            }
            if becomes(known, new, "/fulfillment_status", "fulfilled") {
                add(EntityTransition::OrderFulfilled, None);
            }
            if !known.is_null() && status_differs(known, new) {
                add(EntityTransition::OrderStatusChanged, None);
            }
        }
        "product" | "variant" if !known.is_null() && price_differs(known, new) => {
            add(EntityTransition::ProductPriceChanged, None);
        }
        _ => {}
    }
    let stock = |form: &Value| Stock::of(entity, form, low_stock);
    let of_stock = stock(known).transitions_to(stock(new)).iter();
    found.extend(of_stock.map(|transition| Derived {
        transition: *transition,
        refunded: None,
    }));
    found
}

fn decimal(form: &Value, pointer: &str) -> Option<Decimal> {
    text(form, pointer)?.parse().ok()
}

fn becomes(known: &Value, new: &Value, pointer: &str, word: &str) -> bool {
    text(new, pointer) == Some(word) && text(known, pointer) != Some(word)
}

/// The platform's own status decides where both forms have one, because it has finer steps.
fn status_differs(known: &Value, new: &Value) -> bool {
    let differs = |pointer: &str| match (text(known, pointer), text(new, pointer)) {
        (Some(known), Some(new)) => Some(known != new),
        _ => None,
    };
    differs("/platform_status")
        .or_else(|| differs("/status"))
        .unwrap_or(false)
}

/// The amount that was refunded since the known form; `None` without a refund, or if an amount is not known.
fn refunded_since(known: &Value, new: &Value) -> Option<String> {
    let total = decimal(new, "/totals/refunded/amount")?;
    let before = match known.pointer("/totals/refunded") {
        Some(_) => decimal(known, "/totals/refunded/amount")?,
        None => Decimal::ZERO,
    };
    (total > before).then(|| (total - before).to_string())
}

/// A price that is not sent is no change.
fn price_differs(known: &Value, new: &Value) -> bool {
    let differs = |pointer: &str| match (text(known, pointer), text(new, pointer)) {
        (Some(before), Some(after)) => match (before.parse::<Decimal>(), after.parse()) {
            (Ok(before), Ok(after)) => before != after,
            _ => before != after,
        },
        _ => false,
    };
    let sale = |form: &Value| form.get("sale_price").is_some_and(Value::is_object);
    [
        "/price/amount",
        "/regular_price/amount",
        "/sale_price/amount",
    ]
    .into_iter()
    .any(differs)
        || (sale(known) != sale(new) && known.get("price").is_some() && new.get("price").is_some())
}

#[cfg(test)]
#[path = "transitions_tests.rs"]
mod tests;
