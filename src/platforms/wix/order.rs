//! Orders of the eCommerce API: each event carries the whole order, whatever happened to it.
//!
//! An order counts as completed when it is handed over and was paid; a refund afterwards does not open it again.

use super::domain::{Domain, full_if};
use super::shapes::{address, buyer, line_item, original, price, tax};
use crate::event::data::{
    Discount, FeeLine, FulfillmentStatus, Order, OrderStatus, PaymentStatus, ShippingLine, Totals,
};
use crate::event::{Draft, Entity, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn event(event: &Domain<'_>) -> Option<Draft> {
    let found = event.entity(&["order", "currentEntity"], "id");
    let order = found.unwrap_or_else(Node::nowhere);
    let verb = match event.slug() {
        "created" | "imported" => verbs::CREATED,
        "updated" | "committed" => verbs::UPDATED,
        "deleted" | "imported_order_deleted" => verbs::DELETED,
        "approved" => verbs::APPROVED,
        "canceled" => verbs::CANCELLED,
        "payment_status_updated" => verbs::PAYMENT_UPDATED,
        // A parcel that was taken back brings the same slug.
        "fulfilled" => {
            let stated = event
                .content()
                .get("newFulfillmentStatus")
                .str()
                .or(order.get("fulfillmentStatus").str());
            if stated == Some("NOT_FULFILLED") {
                verbs::UPDATED
            } else {
                verbs::FULFILLED
            }
        }
        _ => return None,
    };
    let id = order.get("id").id().or_else(|| event.entity_id())?;
    Some(event.draft(
        verb,
        id.clone(),
        full_if(found),
        Entity::Order(Box::new(shape(order, id))),
    ))
}

/// An order, or as much of it as is told.
pub(super) fn shape(order: Node<'_>, id: String) -> Order {
    let currency = order.get("currency").currency().map(str::to_owned);
    let money = currency.as_deref();
    let billing = order.get("billingInfo");
    let destination = order
        .get("shippingInfo")
        .get("logistics")
        .get("shippingDestination");
    let recipient = if destination.has_members() {
        destination
    } else {
        order.get("recipientInfo")
    };
    let payment_status = order.get("paymentStatus").str().map(payment_word);
    let fulfillment_status = order.get("fulfillmentStatus").str().map(fulfillment_word);
    Order {
        id,
        number: order.get("number").text(),
        status: order
            .get("status")
            .str()
            .map(|word| status(word, payment_status, fulfillment_status)),
        payment_status,
        fulfillment_status,
        platform_status: order.get("status").text(),
        totals: filled(totals(order, money)),
        prices_include_tax: order.get("taxIncludedInPrices").flag(),
        customer: buyer(order.get("buyerInfo"), billing.get("contactDetails")),
        billing_address: address(billing.get("address"), billing.get("contactDetails")),
        // Somebody who collects an order is a recipient without a place.
        shipping_address: Some(recipient.get("address"))
            .filter(|place| place.has_members())
            .and_then(|place| address(place, recipient.get("contactDetails"))),
        line_items: order.get("lineItems").list(|line| line_item(line, money)),
        shipping_lines: shipping(order.get("shippingInfo"), money).map(|line| vec![line]),
        fee_lines: order.get("additionalFees").list(|fee| FeeLine {
            id: fee.get("id").id(),
            name: fee.get("name").text(),
            total: price(fee.first(&["priceBeforeTax", "price"]), money),
            tax: tax(fee, money),
        }),
        discounts: order
            .get("appliedDiscounts")
            .list_of(|applied| discount(applied, money)),
        refunds: None,
        note: order.get("buyerNote").text(),
        created_at: order.get("createdDate").utc(),
        updated_at: order.get("updatedDate").utc(),
        paid_at: order
            .get("activities")
            .items()
            .filter(|activity| activity.get("type").str() == Some("ORDER_PAID"))
            .filter_map(|activity| activity.get("createdDate").utc())
            .last(),
        completed_at: None,
        currency,
    }
}

fn totals(order: Node<'_>, currency: Option<&str>) -> Totals {
    let summary = order.get("priceSummary");
    let amount = |keys: &[&str]| price(summary.first(keys), currency);
    Totals {
        subtotal: amount(&["subtotal"]),
        discount: amount(&["discount"]),
        shipping: amount(&["shipping"]),
        tax: amount(&["tax"]),
        fees: amount(&["totalAdditionalFees"]),
        total: amount(&["total", "totalPrice"]),
        paid: price(order.get("balanceSummary").get("paid"), currency),
        refunded: price(order.get("balanceSummary").get("refunded"), currency),
    }
}

fn shipping(shipping: Node<'_>, currency: Option<&str>) -> Option<ShippingLine> {
    let cost = shipping.get("cost");
    filled(ShippingLine {
        id: None,
        method: shipping.get("code").text(),
        name: shipping.get("title").text(),
        total: price(cost.get("totalPriceBeforeTax"), currency),
        tax: tax(cost, currency),
    })
}

/// A coupon, a rule of the shop, or the merchant's own hand.
fn discount(applied: Node<'_>, currency: Option<&str>) -> Option<Discount> {
    let source = applied.first(&["coupon", "discountRule", "merchantDiscount"]);
    filled(Discount {
        code: source.get("code").text(),
        name: original(source.first(&["name", "description"])),
        amount: price(source.get("amount"), currency),
    })
}

fn status(
    word: &str,
    payment: Option<PaymentStatus>,
    fulfillment: Option<FulfillmentStatus>,
) -> OrderStatus {
    let was_paid = matches!(
        payment,
        Some(PaymentStatus::Paid | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded)
    );
    match word {
        "INITIALIZED" => OrderStatus::Draft,
        "APPROVED" if was_paid && fulfillment == Some(FulfillmentStatus::Fulfilled) => {
            OrderStatus::Completed
        }
        "APPROVED" | "PENDING" => OrderStatus::Open,
        "CANCELED" | "REJECTED" => OrderStatus::Cancelled,
        _ => OrderStatus::Unknown,
    }
}

pub(super) fn payment_word(word: &str) -> PaymentStatus {
    match word {
        "NOT_PAID" => PaymentStatus::Unpaid,
        "PENDING" | "PENDING_MERCHANT" => PaymentStatus::Pending,
        "AUTHORIZED" => PaymentStatus::Authorized,
        "PARTIALLY_PAID" => PaymentStatus::PartiallyPaid,
        "PAID" => PaymentStatus::Paid,
        "PARTIALLY_REFUNDED" => PaymentStatus::PartiallyRefunded,
        "FULLY_REFUNDED" => PaymentStatus::Refunded,
        "CANCELED" => PaymentStatus::Voided,
        "DECLINED" => PaymentStatus::Failed,
        _ => PaymentStatus::Unknown,
    }
}

pub(super) fn fulfillment_word(word: &str) -> FulfillmentStatus {
    match word {
        "NOT_FULFILLED" => FulfillmentStatus::Unfulfilled,
        "PARTIALLY_FULFILLED" => FulfillmentStatus::Partial,
        "FULFILLED" => FulfillmentStatus::Fulfilled,
        _ => FulfillmentStatus::Unknown,
    }
}
