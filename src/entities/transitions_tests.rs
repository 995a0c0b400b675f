//! Which changes of state derive which events.

use serde_json::{Number, Value, json};

use super::transitions;
use crate::entities::form::FormFacts;
use crate::entities::transition::EntityTransition;

fn facts(form: &Value) -> FormFacts {
    FormFacts::of(&form.to_string())
}

/// `known` is `null` for a new entity.
fn found(entity: &str, known: Value, new: Value) -> Vec<EntityTransition> {
    let low = Number::from(2);
    let known = (!known.is_null()).then(|| facts(&known));
    transitions(entity, known.as_ref(), &facts(&new), Some(&low))
        .into_iter()
        .map(|derived| derived.transition)
        .collect()
}

fn order(status: &str, payment: &str, refunded: &str) -> Value {
    json!({
        "status": status,
        "payment_status": payment,
        "totals": {"refunded": {"amount": refunded, "currency": "EUR"}},
    })
}

#[test]
fn an_order_is_paid_once_and_not_again_by_a_refund() {
    let unpaid = order("open", "pending", "0");
    let paid = order("open", "paid", "0");
    assert_eq!(
        found("order", unpaid.clone(), paid.clone()),
        [EntityTransition::OrderPaid]
    );
    assert_eq!(
        found("order", Value::Null, paid.clone()),
        [EntityTransition::OrderPaid]
    );
    assert_eq!(found("order", paid.clone(), paid.clone()), []);
    let in_part = order("open", "partially_refunded", "3.10");
    assert_eq!(
        found("order", paid, in_part),
        [EntityTransition::OrderRefunded]
    );
    assert_eq!(
        found("order", unpaid, order("open", "partially_paid", "0")),
        []
    );
}

#[test]
fn amount_of_a_refund_is_the_difference_to_the_known_refunds() {
    let (known, new) = (order("open", "paid", "3.10"), order("open", "paid", "5.60"));
    let refunds = |known: &Value| transitions("order", Some(&facts(known)), &facts(&new), None);
    let derived = refunds(&known);
    assert_eq!(derived[0].refunded.as_deref(), Some("2.50"));
    let mut unreadable = known.clone();
    unreadable["totals"]["refunded"] = json!({});
    assert_eq!(refunds(&unreadable), []);
}

#[test]
fn statuses_of_an_order_are_transitions() {
    let open =
        json!({"status": "open", "platform_status": "processing", "fulfillment_status": "partial"});
    let waits =
        json!({"status": "open", "platform_status": "on-hold", "fulfillment_status": "fulfilled"});
    let cancelled = json!({"status": "cancelled", "platform_status": "cancelled"});
    assert_eq!(
        found("order", open.clone(), waits),
        [
            EntityTransition::OrderFulfilled,
            EntityTransition::OrderStatusChanged
        ]
    );
    assert_eq!(
        found("order", open, cancelled.clone()),
        [
            EntityTransition::OrderCancelled,
            EntityTransition::OrderStatusChanged
        ]
    );
    assert_eq!(
        found("order", Value::Null, cancelled),
        [EntityTransition::OrderCancelled]
    );
}

#[test]
fn price_that_is_written_otherwise_or_not_sent_did_not_change() {
    let price = |amount: &str| json!({"price": {"amount": amount}});
    assert_eq!(found("product", price("9.90"), price("9.9")), []);
    assert_eq!(found("product", price("9.90"), json!({})), []);
    assert_eq!(found("product", Value::Null, price("9.90")), []);
    assert_eq!(
        found("product", price("9.90"), price("8")),
        [EntityTransition::ProductPriceChanged]
    );
}

#[test]
fn end_of_a_sale_changes_the_price() {
    let on_sale = json!({"price": {"amount": "5"}, "regular_price": {"amount": "5"}, "sale_price": {"amount": "5"}});
    let ended = json!({"price": {"amount": "5"}, "regular_price": {"amount": "5"}});
    assert_eq!(
        found("product", on_sale, ended),
        [EntityTransition::ProductPriceChanged]
    );
}

#[test]
fn stock_passes_through_enough_low_and_out() {
    let stock = |status: &str, quantity: i64| json!({"status": status, "quantity": quantity});
    let (enough, low, out) = (
        stock("in_stock", 9),
        stock("in_stock", 2),
        stock("out_of_stock", 0),
    );
    assert_eq!(
        found("inventory", enough.clone(), low.clone()),
        [EntityTransition::LowStock]
    );
    assert_eq!(
        found("inventory", low.clone(), out.clone()),
        [EntityTransition::OutOfStock]
    );
    assert_eq!(
        found("inventory", out.clone(), enough.clone()),
        [EntityTransition::BackInStock]
    );
    assert_eq!(
        found("inventory", out.clone(), low.clone()),
        [EntityTransition::BackInStock, EntityTransition::LowStock]
    );
    assert_eq!(found("inventory", low, enough), []);
    assert_eq!(found("inventory", Value::Null, out), []);
}

#[test]
fn stock_of_a_product_is_found_and_the_threshold_of_the_store_counts() {
    let product = |quantity: i64, threshold: i64| json!({"inventory": {"status": "in_stock", "quantity": quantity, "low_stock_threshold": threshold}});
    assert_eq!(
        found("product", product(9, 5), product(5, 5)),
        [EntityTransition::LowStock]
    );
    assert_eq!(found("product", product(9, 1), product(2, 1)), []);
}

#[test]
fn stock_without_quantity_or_status_is_told_by_the_other() {
    let by_status = |status: &str| json!({"status": status});
    assert_eq!(
        found(
            "inventory",
            by_status("in_stock"),
            by_status("out_of_stock")
        ),
        [EntityTransition::OutOfStock]
    );
    let by_quantity = |quantity: i64| json!({"quantity": quantity});
    assert_eq!(
        found("inventory", by_quantity(4), by_quantity(0)),
        [EntityTransition::OutOfStock]
    );
    assert_eq!(
        found("inventory", by_status("unknown"), by_status("out_of_stock")),
        []
    );
}
