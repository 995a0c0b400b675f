//! Orders and subscriptions, which are orders that come again.
//!
//! WooCommerce has one status for an order, its payment and its handing over, and merchants add words to it; the platform's
//! word is always kept, and what it does not tell is not guessed.

use super::payload::Payload;
use super::{customer, lines};
use crate::event::Amount;
use crate::event::data::{
    FulfillmentStatus, Order, OrderStatus, PaymentStatus, Subscription, Totals,
};
use crate::platforms::lenient::filled;

pub(super) fn order(payload: Payload<'_>, id: &str) -> Order {
    let currency = payload.get("currency").currency();
    let status = payload.get("status").str();
    let lines = lines::lines(payload, currency);
    let totals = lines::totals(payload, &lines, currency);
    Order {
        id: id.to_owned(),
        number: payload.either("number", "order_number").text(),
        currency: currency.map(str::to_owned),
        status: status.map(order_status),
        payment_status: payment_status(payload, status, &totals),
        fulfillment_status: status.and_then(fulfillment_status),
        platform_status: status.map(str::to_owned),
        totals: filled(totals),
        prices_include_tax: payload.get("prices_include_tax").flag(),
        customer: filled(customer::buyer(payload)),
        billing_address: customer::billing_address(payload),
        shipping_address: customer::shipping_address(payload),
        line_items: lines.items,
        shipping_lines: lines.shipping,
        fee_lines: lines.fees,
        discounts: lines.discounts,
        refunds: lines.refunds,
        note: payload.either("customer_note", "note").text(),
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
        paid_at: payload.instant("date_paid", "paid_at"),
        completed_at: payload.instant("date_completed", "completed_at"),
    }
}

pub(super) fn subscription(payload: Payload<'_>, id: &str) -> Subscription {
    let currency = payload.get("currency").currency();
    let lines = lines::lines(payload, currency);
    Subscription {
        id: id.to_owned(),
        parent_id: payload.get("parent_id").id(),
        number: payload.either("number", "order_number").text(),
        currency: currency.map(str::to_owned),
        platform_status: payload.get("status").text(),
        totals: filled(lines::totals(payload, &lines, currency)),
        prices_include_tax: payload.get("prices_include_tax").flag(),
        customer: filled(customer::buyer(payload)),
        billing_address: customer::billing_address(payload),
        shipping_address: customer::shipping_address(payload),
        line_items: lines.items,
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
    }
}

/// A failed order is still open: the buyer can pay it again under the same number. A refunded one is completed: how
/// the money went is the payment's word. Trashed orders and the merchant's own words are `unknown`.
fn order_status(status: &str) -> OrderStatus {
    match status {
        "pending" | "on-hold" | "processing" | "failed" => OrderStatus::Open,
        "completed" | "refunded" => OrderStatus::Completed,
        "cancelled" => OrderStatus::Cancelled,
        "checkout-draft" | "auto-draft" | "draft" => OrderStatus::Draft,
        _ => OrderStatus::Unknown,
    }
}

/// Only the statuses that speak of handing over say something about it.
fn fulfillment_status(status: &str) -> Option<FulfillmentStatus> {
    match status {
        "completed" => Some(FulfillmentStatus::Fulfilled),
        "pending" | "on-hold" | "processing" => Some(FulfillmentStatus::Unfulfilled),
        _ => None,
    }
}

/// The date of payment says more than the status: an order can be processed unpaid (cash on delivery), and be cancelled
/// after it was paid.
fn payment_status(
    payload: Payload<'_>,
    status: Option<&str>,
    totals: &Totals,
) -> Option<PaymentStatus> {
    let status = status?;
    let paid = payload.instant("date_paid", "paid_at").is_some()
        || payload.get("payment_details").get("paid").flag() == Some(true);
    Some(match status {
        "refunded" => PaymentStatus::Refunded,
        _ if paid => given_back(totals),
        "failed" => PaymentStatus::Failed,
        // A transfer or a cheque is on its way.
        "on-hold" => PaymentStatus::Pending,
        "pending" | "checkout-draft" | "auto-draft" | "draft" => PaymentStatus::Unpaid,
        // A date that is sent as null says that there was no payment.
        "cancelled" if payload.get("date_paid").value().is_some() => PaymentStatus::Unpaid,
        _ => PaymentStatus::Unknown,
    })
}

/// How much of what was paid was given back.
fn given_back(totals: &Totals) -> PaymentStatus {
    let amount =
        |money: &Option<crate::event::Money>| money.as_ref().map(|money| money.amount.clone());
    let Some(refunded) = amount(&totals.refunded).filter(|refunded| !refunded.is_zero()) else {
        return PaymentStatus::Paid;
    };
    let left: Option<Amount> = amount(&totals.total).and_then(|total| total.minus(&refunded));
    match left {
        Some(left) if left.is_zero() || left.is_negative() => PaymentStatus::Refunded,
        Some(_) => PaymentStatus::PartiallyRefunded,
        None => PaymentStatus::Unknown,
    }
}
