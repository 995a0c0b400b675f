//! Orders and carts of the old Wix Stores API. Older shops still send them.
//!
//! The `totalPrice` of a line is before discounts, so it becomes the line's `subtotal`. The platform sends no total of a line
//! after discounts.

use jiff::Timestamp;

use super::legacy::Legacy;
use super::order::{fulfillment_word, payment_word};
use super::payment::{MAX_COPIED_BYTES, tracking};
use super::shapes::{address, buyer, quantity, variant_id, word};
use crate::event::data::{
    Buyer, Checkout, Discount, Fulfillment, LineItem, OptionValue, Order, OrderStatus, Parcel,
    Payment, Refund, ShippingLine, Totals,
};
use crate::event::{Authority, Entity, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn event(event: &Legacy<'_>, verb: &str) -> Option<NormalizedEvent> {
    let source = event.root.get("order");
    let (order, authority) = if source.has_members() {
        (source, Authority::Full)
    } else {
        (event.root, Authority::Partial)
    };
    let id = order_id(order).or_else(|| order_id(event.root))?;
    let mut shape = shape(order, id.clone());
    if verb == verbs::CANCELLED {
        // An order of the old API has no status of its own, so the event type gives it.
        shape.status = Some(OrderStatus::Cancelled);
    }
    Some(event.event(verb, id, authority, Entity::Order(Box::new(shape))))
}

fn order_id(order: Node<'_>) -> Option<String> {
    order.first(&["id", "orderId"]).id()
}

fn shape(order: Node<'_>, id: String) -> Order {
    let currency = order.get("currency").currency().map(str::to_owned);
    let money = currency.as_deref();
    let totals = order.get("totals");
    let total = |key: &str| totals.get(key).money(money);
    let billing = order.get("billingInfo");
    let shipping = order.get("shippingInfo");
    let shipment = shipping.first(&["shipmentDetails", "pickupDetails"]);
    let fulfillment = order.get("fulfillmentStatus");
    Order {
        id,
        number: order.get("number").text(),
        status: (fulfillment.str() == Some("CANCELED")).then_some(OrderStatus::Cancelled),
        payment_status: word(order.get("paymentStatus"), payment_word),
        fulfillment_status: word(fulfillment, fulfillment_word),
        totals: filled(Totals {
            subtotal: total("subtotal"),
            discount: total("discount"),
            shipping: total("shipping"),
            tax: total("tax"),
            fees: None,
            total: total("total"),
            paid: None,
            refunded: totals
                .get("refund")
                .amount()
                .map(|amount| amount.unsigned().in_currency(money)),
        }),
        prices_include_tax: tax_included(order.get("lineItems")),
        customer: customer(order.get("buyerInfo"), billing.get("address")),
        billing_address: address(billing.get("address"), Node::nowhere()),
        shipping_address: address(
            shipping.get("shipmentDetails").get("address"),
            Node::nowhere(),
        ),
        line_items: order.get("lineItems").list(|line| line_item(line, money)),
        shipping_lines: filled(ShippingLine {
            id: None,
            method: shipping.get("code").text(),
            name: shipping.get("deliveryOption").text(),
            total: net(shipment.get("priceData")).and_then(|price| price.money(money)),
            tax: shipment.get("tax").money(money),
        })
        .map(|line| vec![line]),
        discounts: discount(order.get("discount"), money).map(|discount| vec![discount]),
        refunds: refunds(order, money),
        note: order.get("buyerNote").text(),
        created_at: order.get("dateCreated").utc(),
        updated_at: order.get("lastUpdated").utc(),
        paid_at: billing.get("paidDate").utc(),
        currency,
        ..Order::default()
    }
}

/// The buyer, completed from the billing address. The id of a visitor is left out, because it does not identify a contact.
fn customer(source: Node<'_>, billing: Node<'_>) -> Option<Buyer> {
    let known = matches!(
        source.first(&["identityType", "type"]).str(),
        Some("CONTACT" | "MEMBER")
    );
    let shape = buyer(source, billing.get("fullName")).unwrap_or_default();
    filled(Buyer {
        id: if known {
            source.get("id").id().or(shape.id)
        } else {
            shape.id
        },
        email: shape.email.or_else(|| billing.get("email").text()),
        phone: shape.phone.or_else(|| billing.get("phone").text()),
        ..shape
    })
}

/// Whether the prices of all lines include tax; `None` if the lines differ or a line does not have the flag.
fn tax_included(lines: Node<'_>) -> Option<bool> {
    let mut flags = lines
        .items()
        .map(|line| line.get("priceData").get("taxIncludedInPrice").flag());
    let first = flags.next()??;
    flags.all(|flag| flag == Some(first)).then_some(first)
}

/// The price without tax; `None` if the price includes tax or the flag is unreadable.
fn net(price: Node<'_>) -> Option<Node<'_>> {
    let includes_tax = price.get("taxIncludedInPrice");
    let is_net = includes_tax.flag() == Some(false) || !includes_tax.exists();
    is_net.then(|| price.get("price"))
}

fn line_item(line: Node<'_>, currency: Option<&str>) -> LineItem {
    let prices = line.get("priceData");
    LineItem {
        id: line.get("index").id(),
        product_id: line.get("productId").id(),
        variant_id: variant_id(line.get("variantId")),
        sku: line.get("sku").text(),
        name: line.get("name").text(),
        options: options(line),
        quantity: quantity(line),
        unit_price: prices
            .get("price")
            .money(currency)
            .or_else(|| line.get("price").money(currency)),
        subtotal: prices
            .get("totalPrice")
            .money(currency)
            .or_else(|| line.get("totalPrice").money(currency)),
        discount: line.get("discount").money(currency),
        tax: line.get("tax").money(currency),
        total: None,
    }
}

/// The chosen options of a line, then the custom texts of the buyer.
fn options(line: Node<'_>) -> Option<Vec<OptionValue>> {
    let chosen = line.get("options").list_of(|option| {
        filled(OptionValue {
            name: option.get("option").text(),
            value: option.get("selection").text(),
        })
    });
    let typed = line.get("customTextFields").list_of(|field| {
        filled(OptionValue {
            name: field.get("title").text(),
            value: field.get("value").text(),
        })
    });
    match (chosen, typed) {
        (chosen, None) => chosen,
        (None, Some(typed)) => (!typed.is_empty()).then_some(typed),
        (Some(chosen), Some(typed)) => Some(chosen.into_iter().chain(typed).collect()),
    }
}

fn discount(source: Node<'_>, currency: Option<&str>) -> Option<Discount> {
    let coupon = source.get("appliedCoupon");
    let amount = source
        .get("value")
        .amount()
        .filter(|amount| !amount.is_zero() || coupon.exists());
    filled(Discount {
        code: coupon.get("code").text(),
        name: coupon.get("name").text(),
        amount: amount.map(|amount| amount.in_currency(currency)),
    })
}

/// The refunds. An order of the old API has one payment, so a refund through the platform has the method of that payment.
fn refunds(order: Node<'_>, currency: Option<&str>) -> Option<Vec<Refund>> {
    let method = order
        .get("billingInfo")
        .get("paymentMethod")
        .str()
        .filter(|method| method.len() <= MAX_COPIED_BYTES);
    order.get("refunds").list(|source| {
        let external = source.get("externalRefund");
        let is_internal = external.flag() == Some(false) || !external.exists();
        Refund {
            method: if is_internal {
                method.map(str::to_owned)
            } else {
                None
            },
            ..refund(source, currency)
        }
    })
}

fn refund(source: Node<'_>, currency: Option<&str>) -> Refund {
    Refund {
        id: source.get("id").id(),
        reason: source.get("reason").text(),
        amount: source
            .get("amount")
            .amount()
            .map(|amount| amount.unsigned().in_currency(currency)),
        method: None,
        created_at: source.get("dateCreated").utc(),
    }
}

pub(super) fn refunded(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let order = event.root.get("order");
    let id = order_id(order).or_else(|| event.root.get("orderId").id())?;
    let currency = order.get("currency").currency().map(str::to_owned);
    let named = || {
        event.root.get("refundId").id().map(|id| {
            vec![Refund {
                id: Some(id),
                ..Refund::default()
            }]
        })
    };
    let shape = Payment {
        id: id.clone(),
        order_id: Some(id.clone()),
        payments: None,
        refunds: refunds(order, currency.as_deref()).or_else(named),
        chargebacks: None,
        currency,
    };
    // The time of the order is not the time of the refund: it may be earlier or much later.
    let made_at = refunded_at(order.get("refunds"), event.root.get("refundId"));
    let normalized = event.event(
        verbs::REFUNDED,
        id,
        Authority::Partial,
        Entity::Payment(Box::new(shape)),
    );
    Some(NormalizedEvent {
        time: made_at.or(event.issued_at).or(normalized.time),
        ..normalized
    })
}

/// The time of the refund with this id. Without an id: the time of the only refund.
fn refunded_at(refunds: Node<'_>, id: Node<'_>) -> Option<Timestamp> {
    let mut all = refunds.items();
    let found = match id.id() {
        Some(id) => all.find(|refund| refund.get("id").id().as_ref() == Some(&id)),
        None => match (all.next(), all.next()) {
            (only, None) => only,
            (_, Some(_)) => None,
        },
    };
    found?.get("dateCreated").utc()
}

pub(super) fn fulfillment(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let source = event.root;
    let id = source.get("orderId").id()?;
    let parcel = Parcel {
        id: source.get("fulfillmentId").id(),
        created_at: source.get("dateCreated").utc(),
        ..tracking(source.get("trackingInfo"))
    };
    // The event names only the removed parcel, so `api::fetch` fetches the remaining parcels.
    let deleted = event.delivery.topic.ends_with("FulfillmentDeleted");
    let parcels = filled(parcel)
        .filter(|_| !deleted)
        .map(|parcel| vec![parcel]);
    let shape = Fulfillment {
        id: id.clone(),
        order_id: Some(id.clone()),
        parcels,
    };
    let authority = if deleted {
        Authority::Reference
    } else {
        Authority::Partial
    };
    Some(event.event(
        verbs::UPDATED,
        id,
        authority,
        Entity::Fulfillment(Box::new(shape)),
    ))
}

pub(super) fn cart(event: &Legacy<'_>, verb: &str) -> Option<NormalizedEvent> {
    let source = event.root;
    let id = source.get("cartId").id()?;
    let currency = source.get("currency").currency().map(str::to_owned);
    let shape = Checkout {
        id: id.clone(),
        cart_id: Some(id.clone()),
        platform_status: source.get("status").text(),
        total: source.get("totals").get("total").money(currency.as_deref()),
        customer: customer(source.get("buyerInfo"), Node::nowhere()),
        url: source.get("checkoutUrl").text(),
        created_at: source.get("creationTime").utc(),
        currency,
        ..Checkout::default()
    };
    let when = source
        .get(if verb == verbs::RECOVERED {
            "recoveredTime"
        } else {
            "abandonTime"
        })
        .utc();
    let normalized = event.event(
        verb,
        id,
        Authority::Partial,
        Entity::Checkout(Box::new(shape)),
    );
    Some(NormalizedEvent {
        time: when.or(event.issued_at),
        ..normalized
    })
}
