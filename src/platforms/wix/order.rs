//! Orders of the eCommerce API. Each event carries the complete order.
//!
//! An order is completed if it is fulfilled and was paid. A later refund does not open the order again.

use jiff::Timestamp;

use super::domain::{Domain, full_if};
use super::shapes::{address, buyer, line_item, original, price, tax, word};
use crate::event::data::{
    Address, Discount, FeeLine, FulfillmentStatus, Order, OrderStatus, PaymentStatus, ShippingLine,
    Totals,
};
use crate::event::{Entity, Money, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let found = event.entity(&["order", "currentEntity"], "id");
    let order = found.unwrap_or_else(Node::nowhere);
    let verb = match event.slug() {
        "created" | "imported" => verbs::CREATED,
        "updated" | "committed" => verbs::UPDATED,
        "deleted" | "imported_order_deleted" => verbs::DELETED,
        "approved" => verbs::APPROVED,
        "canceled" => verbs::CANCELLED,
        "payment_status_updated" => verbs::PAYMENT_UPDATED,
        // The platform sends the same slug when a fulfillment is removed.
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
    let mut shape = shape(order, id.clone());
    if event.slug() == "imported" && order.get("purchasedDate").exists() {
        shape.created_at = order.get("purchasedDate").utc();
    }
    Some(event.event(verb, id, full_if(found), Entity::Order(Box::new(shape))))
}

/// Normalizes an order. A member that the payload does not have stays absent.
pub(super) fn shape(order: Node<'_>, id: String) -> Order {
    let currency = order.get("currency").currency().map(str::to_owned);
    let money = currency.as_deref();
    let billing = order.get("billingInfo");
    let logistics = order.get("shippingInfo").get("logistics");
    let destination = logistics.get("shippingDestination");
    let recipient = if destination.get("address").has_members() {
        destination
    } else {
        order.get("recipientInfo")
    };
    let payment_status = payment_status(order);
    let fulfillment_status = word(order.get("fulfillmentStatus"), fulfillment_word);
    Order {
        id,
        number: order.get("number").text(),
        status: word(order.get("status"), |word| {
            status(word, payment_status, fulfillment_status)
        }),
        payment_status,
        fulfillment_status,
        platform_status: order.get("status").text(),
        totals: filled(totals(order, money)),
        prices_include_tax: order.get("taxIncludedInPrices").flag(),
        customer: buyer(order.get("buyerInfo"), billing.get("contactDetails")),
        billing_address: address(billing.get("address"), billing.get("contactDetails")),
        shipping_address: shipping_address(logistics, recipient),
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
        created_at: created_at(order),
        updated_at: order.get("updatedDate").utc(),
        paid_at: newest(order, "ORDER_PAID"),
        completed_at: None,
        currency,
    }
}

/// The shipping address; `None` without an address of the recipient. A pick-up order has none either, because the platform
/// sends the address of the pick-up place in the same member.
fn shipping_address(logistics: Node<'_>, recipient: Node<'_>) -> Option<Address> {
    let place = recipient.get("address");
    if logistics.get("pickupDetails").is_object() || !place.has_members() {
        return None;
    }
    address(place, recipient.get("contactDetails"))
}

/// The time of the purchase. `createdDate` of an imported order is the time of the import, so `purchasedDate` replaces it.
fn created_at(order: Node<'_>) -> Option<Timestamp> {
    let bought = order.get("purchasedDate");
    if order.get("imported").flag() == Some(true) && bought.exists() {
        bought.utc()
    } else {
        order.get("createdDate").utc()
    }
}

/// The time of the newest activity of this type. The member `activityType` replaced `type`, which the platform removed in
/// March 2026.
fn newest(order: Node<'_>, activity_type: &str) -> Option<Timestamp> {
    order
        .get("activities")
        .items()
        .filter(|activity| activity.first(&["activityType", "type"]).str() == Some(activity_type))
        .filter_map(|activity| activity.get("createdDate").utc())
        .max()
}

/// The payment status. The platform sends `PENDING` or `NOT_PAID` for an authorized payment, and the authorized amount in
/// `balanceSummary.authorized`. Without an amount the activities of the order decide.
fn payment_status(order: Node<'_>) -> Option<PaymentStatus> {
    let status = word(order.get("paymentStatus"), payment_word)?;
    let is_open = matches!(status, PaymentStatus::Pending | PaymentStatus::Unpaid);
    let authorized = order.get("balanceSummary").get("authorized");
    let amount = price(authorized, None).map(|money| money.amount);
    Some(match amount {
        _ if !is_open => status,
        Some(amount) if amount.is_zero() => status,
        Some(_) => PaymentStatus::Authorized,
        None if has_amount(authorized) => PaymentStatus::Unknown,
        None if is_authorized(order) => PaymentStatus::Authorized,
        None => status,
    })
}

/// `true` if the price has an amount, readable or not.
fn has_amount(price: Node<'_>) -> bool {
    if price.is_object() {
        price.get("amount").exists()
    } else {
        price.exists()
    }
}

/// `true` if an authorization was created after the last one was captured or voided.
fn is_authorized(order: Node<'_>) -> bool {
    let created = newest(order, "AUTHORIZED_PAYMENT_CREATED");
    let ended = ["AUTHORIZED_PAYMENT_CAPTURED", "AUTHORIZED_PAYMENT_VOIDED"]
        .into_iter()
        .filter_map(|activity_type| newest(order, activity_type))
        .max();
    created > ended
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
        refunded: price(order.get("balanceSummary").get("refunded"), currency).map(|money| Money {
            amount: money.amount.unsigned(),
            ..money
        }),
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

/// A discount from a coupon, a discount rule, or the merchant.
pub(super) fn discount(applied: Node<'_>, currency: Option<&str>) -> Option<Discount> {
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
    let was_paid = match payment {
        Some(PaymentStatus::Paid | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded) => {
            Some(true)
        }
        Some(PaymentStatus::Unknown) => None,
        Some(_) | None => Some(false),
    };
    let was_fulfilled = match fulfillment {
        Some(FulfillmentStatus::Fulfilled) => Some(true),
        Some(FulfillmentStatus::Unknown) => None,
        Some(_) | None => Some(false),
    };
    match word {
        "INITIALIZED" => OrderStatus::Draft,
        "APPROVED" => match (was_paid, was_fulfilled) {
            (Some(true), Some(true)) => OrderStatus::Completed,
            (Some(false), _) | (_, Some(false)) => OrderStatus::Open,
            (None, _) | (_, None) => OrderStatus::Unknown,
        },
        "PENDING" => OrderStatus::Open,
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
