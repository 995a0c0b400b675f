//! Fulfillments, payments, refunds and chargebacks of an order.
//!
//! The transactions of an order come without the order's currency, so their authority is never `full` before enrichment.

use super::domain::{Domain, full_if};
use super::shapes::{price, quantity, word};
use crate::event::data::{
    Chargeback, ChargebackStatus, Fulfillment, FulfillmentItem, Parcel, Payment, PaymentEntry,
    Refund,
};
use crate::event::{Amount, Authority, Entity, Money, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn fulfillments(event: &Domain<'_>) -> Option<NormalizedEvent> {
    if !matches!(event.slug(), "created" | "updated" | "deleted") {
        return None;
    }
    let found = event.entity(&["currentEntity", "orderWithFulfillments"], "fulfillments");
    let source = found.unwrap_or_else(Node::nowhere);
    let id = source.get("orderId").id().or_else(|| event.entity_id())?;
    let shape = Fulfillment {
        id: id.clone(),
        order_id: Some(id.clone()),
        parcels: source.get("fulfillments").list(parcel),
    };
    Some(event.event(
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
                quantity: quantity(item),
            })
        }),
        status: parcel.get("status").text(),
        created_at: parcel.get("createdDate").utc(),
        ..tracking(parcel.get("trackingInfo"))
    }
}

/// The carrier and the tracking number of a parcel. The members are the same in the old and the new API.
pub(super) fn tracking(tracking: Node<'_>) -> Parcel {
    Parcel {
        carrier: tracking.get("shippingProvider").text(),
        tracking_number: tracking.get("trackingNumber").text(),
        tracking_url: tracking.get("trackingLink").text(),
        ..Parcel::default()
    }
}

pub(super) fn transactions(event: &Domain<'_>) -> Option<NormalizedEvent> {
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
    let payments = all.get("payments");
    let refund = |source| refund(source, payments);
    let mut refunds = all.get("refunds").list(refund);
    // The list of refunds may be older than the event's own refund.
    if let Some(newest) = filled(refund(body.get("refund"))) {
        let has_amount = has_known_amount(body.get("refund"));
        add_refund(refunds.get_or_insert_default(), newest, has_amount);
    }
    let shape = Payment {
        id: id.clone(),
        order_id: Some(id.clone()),
        currency: None,
        payments: payments.list(payment),
        refunds,
        chargebacks: chargebacks(body, payments, event.slug()),
    };
    let known = shape.payments.is_some() || shape.refunds.is_some() || shape.chargebacks.is_some();
    let authority = if known {
        Authority::Partial
    } else {
        Authority::Reference
    };
    Some(event.event(verb, id, authority, Entity::Payment(Box::new(shape))))
}

pub(super) fn payment(payment: Node<'_>) -> PaymentEntry {
    let regular = payment.get("regularPaymentDetails");
    let gift_card = gift_card(payment);
    let membership = payment.get("membershipPaymentDetails");
    let is_voided = [gift_card, membership]
        .into_iter()
        .any(|details| details.get("voided").flag() == Some(true));
    PaymentEntry {
        id: payment.get("id").id(),
        amount: price(payment.get("amount"), None),
        // The platform does not change the status of a payment that is voided.
        status: if is_voided {
            Some("VOIDED".to_owned())
        } else {
            payment
                .get("status")
                .text()
                .or_else(|| regular.get("status").text())
                .or_else(|| membership.get("status").text())
        },
        method: method(payment),
        provider_transaction_id: regular
            .get("providerTransactionId")
            .id()
            .or_else(|| gift_card.get("giftCardPaymentId").id())
            .or_else(|| membership.get("externalTransactionId").id()),
        created_at: payment.get("createdDate").utc(),
    }
}

/// Adds a refund to a list that may have an older state of the same refund. The newer state replaces the older one. Members
/// that only the older state has remain. `has_amount` is `true` if the newer state has an amount, even an unreadable one; the
/// older amount is then dropped.
fn add_refund(refunds: &mut Vec<Refund>, newest: Refund, has_amount: bool) {
    let older = refunds
        .iter_mut()
        .find(|older| newest.id.is_some() && older.id == newest.id);
    match older {
        Some(older) => {
            let amount = if has_amount {
                newest.amount
            } else {
                older.amount.take()
            };
            *older = Refund {
                id: newest.id,
                reason: newest.reason.or(older.reason.take()),
                amount,
                method: newest.method.or(older.method.take()),
                created_at: newest.created_at.or(older.created_at),
            };
        }
        None => refunds.push(newest),
    }
}

/// `true` if the refund has an amount, readable or not.
fn has_known_amount(refund: Node<'_>) -> bool {
    refund.get("summary").get("refunded").exists() || refund.get("transactions").exists()
}

/// The fetched refunds, then the refunds of the event that are not among them. Without fetched refunds: those of the event.
pub(super) fn all_refunds(
    listed: Option<Vec<Refund>>,
    known: Option<&[Refund]>,
) -> Option<Vec<Refund>> {
    let Some(mut refunds) = listed else {
        return known.map(<[Refund]>::to_vec);
    };
    for refund in known.unwrap_or_default() {
        if refund.id.is_some() && refunds.iter().all(|listed| listed.id != refund.id) {
            refunds.push(refund.clone());
        }
    }
    Some(refunds)
}

fn gift_card(payment: Node<'_>) -> Node<'_> {
    payment.first(&["giftcardPaymentDetails", "giftCardPaymentDetails"])
}

/// The payment method. `paymentMethodName` replaced `paymentMethod`, which the platform removed in July 2026. A name that the
/// merchant defined is preferred to the platform's name.
fn method(payment: Node<'_>) -> Option<String> {
    let regular = payment.get("regularPaymentDetails");
    let name = regular.get("paymentMethodName");
    let given = name.get("userDefinedName");
    let named = given
        .first(&["custom", "predefined"])
        .text()
        .or_else(|| given.text())
        .or_else(|| {
            name.first(&["buyerLanguageName", "siteLanguageName"])
                .text()
        })
        .or_else(|| name.text())
        .or_else(|| regular.get("paymentMethod").text());
    if named.is_some() {
        named
    } else if gift_card(payment).is_object() {
        Some("giftCard".to_owned())
    } else if payment.get("membershipPaymentDetails").is_object() {
        Some("membership".to_owned())
    } else {
        None
    }
}

/// Normalizes a refund. The method is that of the refunded payments, which are searched in `payments`.
pub(super) fn refund(refund: Node<'_>, payments: Node<'_>) -> Refund {
    Refund {
        id: refund.get("id").id(),
        reason: refund.get("details").get("reason").text(),
        amount: refunded_amount(refund),
        method: refund_methods(refund, payments),
        created_at: refund.get("createdDate").utc(),
    }
}

/// Maximum length in bytes of a text that is copied to several entries: a payment method to refunds, a payment id to
/// chargebacks. The platform's values are shorter.
pub(super) const MAX_COPIED_BYTES: usize = 64;

/// The distinct methods of the refunded payments, separated by commas.
fn refund_methods(refund: Node<'_>, payments: Node<'_>) -> Option<String> {
    /// Maximum number of list entries that are searched. The platform allows 50 transactions in a refund and 100 payments in
    /// an order.
    const MAX_SEARCHED: usize = 100;
    const MAX_METHODS: usize = 5;
    let mut methods: Vec<String> = Vec::new();
    for transaction in refund.get("transactions").items().take(MAX_SEARCHED) {
        let id = transaction.get("paymentId").id();
        let paid = payments
            .items()
            .take(MAX_SEARCHED)
            .find(|payment| id.is_some() && payment.get("id").id() == id);
        let is_new = |method: &String| {
            method.len() <= MAX_COPIED_BYTES
                && methods.len() < MAX_METHODS
                && !methods.contains(method)
        };
        let found = paid.and_then(method).filter(is_new);
        methods.extend(found);
    }
    (!methods.is_empty()).then(|| methods.join(", "))
}

/// The chargebacks of an order: first the event's own chargeback, then those of the payments. `slug` gives the status of the
/// event's chargeback if the payload has none.
pub(super) fn chargebacks(
    body: Node<'_>,
    payments: Node<'_>,
    slug: &str,
) -> Option<Vec<Chargeback>> {
    let source = body.get("chargeback");
    let mut all: Vec<Chargeback> = filled(Chargeback {
        payment_id: body.get("paymentId").id(),
        ..chargeback(source)
    })
    .map(|chargeback| Chargeback {
        status: match (chargeback.status, slug) {
            (None | Some(ChargebackStatus::Unknown), "chargeback_approved") => {
                Some(ChargebackStatus::Approved)
            }
            (None | Some(ChargebackStatus::Unknown), "chargeback_reversed") => {
                Some(ChargebackStatus::Reversed)
            }
            (status, _) => status,
        },
        ..chargeback
    })
    .into_iter()
    .collect();
    for payment in payments.items() {
        let details = payment.get("regularPaymentDetails");
        let payment_id = payment.get("id").id();
        let payment_id = payment_id.filter(|id| id.len() <= MAX_COPIED_BYTES);
        for source in details.get("chargebacks").items() {
            let listed = Chargeback {
                payment_id: payment_id.clone(),
                ..chargeback(source)
            };
            match all.first_mut() {
                // The event's own chargeback is newer than the same chargeback in the list.
                Some(first) if first.id.is_some() && first.id == listed.id => {
                    first.payment_id = first.payment_id.take().or(listed.payment_id);
                    first.created_at = first.created_at.or(listed.created_at);
                }
                Some(_) | None => all.push(listed),
            }
        }
    }
    (!all.is_empty()).then_some(all)
}

fn chargeback(source: Node<'_>) -> Chargeback {
    Chargeback {
        id: source.get("id").id(),
        payment_id: None,
        amount: price(source.get("amount"), None),
        reversed_amount: price(source.get("reversalAmount"), None),
        status: word(source.get("status"), |word| match word {
            "APPROVED" => ChargebackStatus::Approved,
            "REVERSED" => ChargebackStatus::Reversed,
            _ => ChargebackStatus::Unknown,
        }),
        created_at: source.get("createdDate").utc(),
    }
}

/// The refunded amount without a sign: the platform's sum, or else the sum of the successful transactions.
fn refunded_amount(refund: Node<'_>) -> Option<Money> {
    let stated = price(refund.get("summary").get("refunded"), None).map(|money| money.amount);
    // A transaction whose amount or status cannot be read leaves the sum unknown.
    let succeeded = || {
        let amounts: Option<Vec<Amount>> = refund
            .get("transactions")
            .items()
            .filter_map(|transfer| {
                let status = transfer.get("refundStatus");
                let amount =
                    || price(transfer.get("amount"), None).map(|money| money.amount.unsigned());
                match status.str() {
                    Some("SUCCEEDED") => Some(amount()),
                    Some(_) => None,
                    None if status.exists() => Some(None),
                    None => Some(amount()),
                }
            })
            .collect();
        Amount::sum(&amounts?)
    };
    Some(stated.or_else(succeeded)?.unsigned().in_currency(None))
}
