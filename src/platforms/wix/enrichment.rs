//! Enriches events with the response of the platform's API.
//!
//! Number, order, verb, entity type, id and time of the events never change, because event ids and partitions depend on
//! them. An event stays unchanged if the response does not have its entity.

use bytes::Bytes;

use super::api::{FetchKind, FetchRequest, known};
use super::{app, catalog_v1, catalog_v3, checkout, order, payment, people};
use crate::event::data::{App, Customer, Fulfillment, Inventory, Payment, Product};
use crate::event::{Authority, Currency, Entity, NormalizedEvent};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;
use crate::platforms::normalized::ConnectionSignal;

/// Replaces the entities of the events by those in the response to `request`, and adds settings to an installation's signal.
/// An invalid response changes nothing.
pub(super) fn enrich(
    normalized_events: &mut [NormalizedEvent],
    signal: &mut Option<ConnectionSignal>,
    request: &FetchRequest,
    answer: &Bytes,
) {
    let Some(document) = std::str::from_utf8(answer).ok().and_then(parse) else {
        return;
    };
    let answer = Node::root(&document);
    if request.kind == FetchKind::Installation
        && let Some(ConnectionSignal::Installed { settings, .. }) = signal
    {
        settings.extend(known(answer));
    }
    for normalized in normalized_events {
        if let Some(entity) = enriched(&normalized.entity, request.kind, answer) {
            normalized.entity = entity;
            normalized.authority = Authority::Full;
        }
    }
}

/// The complete entity from the response; `None` if the response does not have this entity.
fn enriched(entity: &Entity, kind: FetchKind, answer: Node<'_>) -> Option<Entity> {
    Some(match entity {
        Entity::Product(known) => Entity::Product(Box::new(product(known, kind, answer)?)),
        Entity::Variant(known) => {
            let whole = part(answer, "product").filter(|_| kind == FetchKind::Product)?;
            let variant = catalog_v1::variant_of(whole, &known.id, known.parent_id.clone())?;
            Entity::Variant(Box::new(variant))
        }
        Entity::Collection(known) => {
            let whole = part(answer, "collection").filter(|_| kind == FetchKind::Collection)?;
            Entity::Collection(Box::new(catalog_v1::collection(whole, known.id.clone())))
        }
        Entity::Inventory(known) => Entity::Inventory(Box::new(stock(known, kind, answer)?)),
        Entity::Order(known) => {
            let whole = part(answer, "order").filter(|_| kind == FetchKind::Order)?;
            Entity::Order(Box::new(order::shape(whole, known.id.clone())))
        }
        Entity::Payment(known) => {
            if !matches!(kind, FetchKind::Currency | FetchKind::Payments) {
                return None;
            }
            Entity::Payment(Box::new(payments(known, answer)?))
        }
        Entity::Fulfillment(known) => {
            let whole = part(answer, "orderWithFulfillments")
                .filter(|_| kind == FetchKind::Fulfillments)?;
            let parcels = whole.get("fulfillments").list(payment::parcel);
            Entity::Fulfillment(Box::new(Fulfillment {
                parcels,
                ..(**known).clone()
            }))
        }
        Entity::Customer(known) => Entity::Customer(Box::new(customer(known, kind, answer)?)),
        Entity::Checkout(known) => {
            let whole =
                part(answer, "abandonedCheckout").filter(|_| kind == FetchKind::Checkout)?;
            Entity::Checkout(Box::new(checkout::shape(whole, known.id.clone())))
        }
        Entity::Site(known) => {
            let whole = part(answer, "properties").filter(|_| kind == FetchKind::Site)?;
            Entity::Site(Box::new(app::properties_of(whole, known.id.clone())))
        }
        Entity::Connection(known) if kind == FetchKind::Installation => {
            let mut health = known.clone();
            let settings = health.settings.get_or_insert_default();
            settings.extend(self::known(answer));
            Entity::Connection(health)
        }
        Entity::App(known) if kind == FetchKind::Installation => {
            let plan = app::plan_of(part(answer, "instance")?).or_else(|| known.plan.clone());
            Entity::App(Box::new(App {
                plan,
                ..(**known).clone()
            }))
        }
        Entity::Connection(_)
        | Entity::App(_)
        | Entity::Subscription(_)
        | Entity::Coupon(_)
        | Entity::Action(_)
        | Entity::Unrecognized(_) => return None,
    })
}

/// The member `name` of the response; `None` if it is not an object.
fn part<'a>(answer: Node<'a>, name: &str) -> Option<Node<'a>> {
    Some(answer.get(name)).filter(|entity| entity.is_object())
}

fn product(known: &Product, kind: FetchKind, answer: Node<'_>) -> Option<Product> {
    match kind {
        FetchKind::Product => {
            let whole = part(answer, "product")?;
            Some(catalog_v1::product(whole, known.id.clone()))
        }
        FetchKind::ProductV3 => {
            let whole = part(answer, "product").filter(|whole| catalog_v3::has_variants(*whole))?;
            Some(catalog_v3::product(whole, known.id.clone()))
        }
        FetchKind::SiteCurrency => {
            let properties = part(answer, "properties")?;
            let currency = properties.get("paymentCurrency").currency()?;
            Some(catalog_v3::in_currency(known.clone(), currency))
        }
        _ => None,
    }
}

fn stock(known: &Inventory, kind: FetchKind, answer: Node<'_>) -> Option<Inventory> {
    let whole = part(answer, "inventoryItem")?;
    match kind {
        FetchKind::Inventory => Some(catalog_v1::stock_of(whole, known)),
        FetchKind::InventoryItem => Some(Inventory {
            reason: known.reason.clone(),
            ..catalog_v3::stock_item(whole, known.id.clone())
        }),
        _ => None,
    }
}

fn customer(known: &Customer, kind: FetchKind, answer: Node<'_>) -> Option<Customer> {
    match kind {
        FetchKind::Contact => Some(Customer {
            merged_ids: known.merged_ids.clone(),
            ..people::contact(part(answer, "contact")?, known.id.clone())
        }),
        FetchKind::Member => Some(people::member(part(answer, "member")?, known.id.clone())),
        _ => None,
    }
}

/// The payments, refunds and chargebacks of an order in the order's currency. Lists that the response does not have come from
/// the event. `None` if the response has no currency.
fn payments(known: &Payment, answer: Node<'_>) -> Option<Payment> {
    let currency = answer
        .get("order")
        .get("currency")
        .currency()
        .map(str::to_owned)?;
    let all = answer.get("orderTransactions");
    let mut payment = Payment {
        currency: Some(currency.clone()),
        payments: all
            .get("payments")
            .list(payment::payment)
            .or_else(|| known.payments.clone()),
        refunds: payment::all_refunds(
            all.get("refunds")
                .list(|refund| payment::refund(refund, all.get("payments"))),
            known.refunds.as_deref(),
        ),
        chargebacks: known
            .chargebacks
            .clone()
            .or_else(|| payment::chargebacks(Node::nowhere(), all.get("payments"), "")),
        ..known.clone()
    };
    let paid = payment
        .payments
        .iter_mut()
        .flatten()
        .map(|payment| &mut payment.amount);
    let refunded = payment
        .refunds
        .iter_mut()
        .flatten()
        .map(|refund| &mut refund.amount);
    let charged_back = payment
        .chargebacks
        .iter_mut()
        .flatten()
        .flat_map(|chargeback| [&mut chargeback.amount, &mut chargeback.reversed_amount]);
    for money in paid.chain(refunded).chain(charged_back).flatten() {
        money.currency = Currency::parse(&currency);
    }
    Some(payment)
}

#[cfg(test)]
#[path = "enrichment_tests.rs"]
mod tests;
