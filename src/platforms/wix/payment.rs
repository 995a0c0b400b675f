//! What was shipped of an order, and what was paid and given back for it.
//!
//! The order's transactions come without its currency, so they are never the whole story by themselves.

use super::domain::{Domain, full_if};
use super::shapes::price;
use crate::event::data::{Fulfillment, FulfillmentItem, Parcel, Payment, PaymentEntry, Refund};
use crate::event::{Amount, Authority, Draft, Entity, Money, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn fulfillments(event: &Domain<'_>) -> Option<Draft> {
    if !matches!(event.slug(), "created" | "updated" | "deleted") {
        return None;
    }
    let found = event.entity(&["currentEntity", "orderWithFulfillments"], "fulfillments");
    let told = found.unwrap_or_else(Node::nowhere);
    let id = told.get("orderId").id().or_else(|| event.entity_id())?;
    let shape = Fulfillment {
        id: id.clone(),
        order_id: Some(id.clone()),
        parcels: told.get("fulfillments").list(parcel),
    };
    Some(event.draft(
        verbs::UPDATED,
        id,
        full_if(found),
        Entity::Fulfillment(Box::new(shape)),
    ))
}

pub(super) fn parcel(parcel: Node<'_>) -> Parcel {
    Parcel {
        id: parcel.get("id").id(),
        items: parcel.get("lineItems").list_of(|item| {
            filled(FulfillmentItem {
                line_item_id: item.get("id").id(),
                quantity: item.get("quantity").number(),
            })
        }),
        status: parcel.get("status").text(),
        created_at: parcel.get("createdDate").utc(),
        ..tracking(parcel.get("trackingInfo"))
    }
}

/// The same in all of the platform's generations.
pub(super) fn tracking(tracking: Node<'_>) -> Parcel {
    Parcel {
        carrier: tracking.get("shippingProvider").text(),
        tracking_number: tracking.get("trackingNumber").text(),
        tracking_url: tracking.get("trackingLink").text(),
        ..Parcel::default()
    }
}

pub(super) fn transactions(event: &Domain<'_>) -> Option<Draft> {
    let verb = match event.slug() {
        "updated" | "details_updated" | "chargeback_approved" | "chargeback_reversed" => {
            verbs::UPDATED
        }
        "refund_completed" => verbs::REFUNDED,
        _ => return None,
    };
    let body = event.content();
    let all = event
        .entity(&["orderTransactions"], "payments")
        .unwrap_or_else(Node::nowhere);
    let id = all
        .get("orderId")
        .id()
        .or_else(|| body.get("orderId").id())
        .or_else(|| event.entity_id())?;
    let one = filled(refund(body.get("refund"))).map(|refund| vec![refund]);
    let shape = Payment {
        id: id.clone(),
        order_id: Some(id.clone()),
        currency: None,
        payments: all.get("payments").list(payment),
        refunds: all.get("refunds").list(refund).or(one),
    };
    let known = shape.payments.is_some() || shape.refunds.is_some();
    let authority = if known {
        Authority::Partial
    } else {
        Authority::Reference
    };
    Some(event.draft(verb, id, authority, Entity::Payment(Box::new(shape))))
}

pub(super) fn payment(payment: Node<'_>) -> PaymentEntry {
    let details = payment.get("regularPaymentDetails");
    PaymentEntry {
        id: payment.get("id").id(),
        amount: price(payment.get("amount"), None),
        status: details
            .get("status")
            .text()
            .or_else(|| payment.get("status").text()),
        method: details.get("paymentMethod").text(),
        provider_transaction_id: details.get("providerTransactionId").id(),
        created_at: payment.get("createdDate").utc(),
    }
}

pub(super) fn refund(refund: Node<'_>) -> Refund {
    Refund {
        id: refund.get("id").id(),
        reason: refund.get("details").get("reason").text(),
        amount: given_back(refund),
        method: None,
        created_at: refund.get("createdDate").utc(),
    }
}

/// What really went back: the platform's own sum, else that of the transfers that succeeded.
fn given_back(refund: Node<'_>) -> Option<Money> {
    let stated = price(refund.get("summary").get("refunded"), None).map(|money| money.amount);
    let succeeded = || {
        let amounts: Vec<Amount> = refund
            .get("transactions")
            .items()
            .filter(|transfer| {
                matches!(transfer.get("refundStatus").str(), None | Some("SUCCEEDED"))
            })
            .filter_map(|transfer| {
                price(transfer.get("amount"), None).map(|money| money.amount.unsigned())
            })
            .collect();
        Amount::sum(&amounts)
    };
    Some(stated.or_else(succeeded)?.unsigned().in_currency(None))
}
