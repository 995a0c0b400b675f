//! Orders and subscriptions. A subscription is an order that is repeated.
//!
//! WooCommerce has one status for an order, its payment and its fulfillment, and merchants add statuses. The platform's status
//! is always kept. What it does not say is not guessed.

use super::payload::EntityPayload;
use super::{customer, lines, payment};
use crate::event::data::{FulfillmentStatus, Order, OrderStatus, PaymentStatus, Subscription};
use crate::platforms::lenient::filled;

pub(super) fn order(payload: EntityPayload<'_>, id: &str) -> Order {
    let currency = payload.get("currency").currency();
    let status = payload.get("status").str();
    let lines = lines::lines(payload, currency);
    let mut totals = lines::totals(payload, &lines, currency);
    let payment_status = status
        .map(|status| payment::status(payload, status, &lines.refunds, totals.total.as_ref()));
    if payment_status == Some(PaymentStatus::PartiallyPaid) {
        totals.paid = payment::deposit(payload).map(|amount| amount.in_currency(currency));
    }
    Order {
        id: id.to_owned(),
        number: payload.either("number", "order_number").text(),
        currency: currency.map(str::to_owned),
        status: status.map(order_status),
        payment_status,
        fulfillment_status: status.and_then(fulfillment_status),
        platform_status: status.map(str::to_owned),
        totals: filled(totals),
        prices_include_tax: payload.get("prices_include_tax").truth().known(),
        customer: filled(customer::buyer(payload)),
        billing_address: customer::billing_address(payload),
        shipping_address: customer::shipping_address(payload),
        line_items: lines.items,
        shipping_lines: lines.shipping,
        fee_lines: lines.fees,
        discounts: lines.discounts,
        refunds: lines.refunds.known(),
        note: payload.either("customer_note", "note").plain(),
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
        paid_at: payload.instant("date_paid", "paid_at"),
        completed_at: payload.instant("date_completed", "completed_at"),
    }
}

pub(super) fn subscription(payload: EntityPayload<'_>, id: &str) -> Subscription {
    let currency = payload.get("currency").currency();
    let lines = lines::lines(payload, currency);
    Subscription {
        id: id.to_owned(),
        parent_id: payload.get("parent_id").id(),
        number: payload.either("number", "order_number").text(),
        currency: currency.map(str::to_owned),
        platform_status: payload.get("status").text(),
        totals: filled(lines::totals(payload, &lines, currency)),
        prices_include_tax: payload.get("prices_include_tax").truth().known(),
        customer: filled(customer::buyer(payload)),
        billing_address: customer::billing_address(payload),
        shipping_address: customer::shipping_address(payload),
        line_items: lines.items,
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
    }
}

/// A failed order is open: the buyer can pay it again under the same number. A refunded order is completed: the payment status
/// has the refund. A merchant's own status is `unknown`.
fn order_status(status: &str) -> OrderStatus {
    match payment::bare(status) {
        "pending" | "on-hold" | "processing" | "failed" => OrderStatus::Open,
        "completed" | "refunded" => OrderStatus::Completed,
        "cancelled" => OrderStatus::Cancelled,
        "checkout-draft" | "auto-draft" | "draft" => OrderStatus::Draft,
        "trash" => OrderStatus::Trashed,
        _ if payment::is_part_payment(status) => OrderStatus::Open,
        _ => OrderStatus::Unknown,
    }
}

/// Only these statuses say something about the fulfillment.
fn fulfillment_status(status: &str) -> Option<FulfillmentStatus> {
    match payment::bare(status) {
        "completed" => Some(FulfillmentStatus::Fulfilled),
        "pending" | "on-hold" | "processing" => Some(FulfillmentStatus::Unfulfilled),
        _ => None,
    }
}
