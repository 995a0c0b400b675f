//! Enriches events with the answer of the platform's API.
//!
//! Number, order, verb, entity type, id and time of the events never change, because event ids and partitions depend on
//! them. A member that the answer does not have stays as it was.

use bytes::Bytes;

use super::api::{FetchKind, FetchRequest, known};
use super::{app, catalog_v1, catalog_v3, checkout, order, payment, people};
use crate::event::data::{App, Customer, Fulfillment, Inventory, Payment};
use crate::event::{Authority, Currency, Entity, NormalizedEvent};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;
use crate::platforms::normalized::ConnectionSignal;

/// Reads the answer to `request` into the events, and into the signal about the connection.
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

/// The entity from the answer; `None` if the answer is not about this entity.
fn enriched(entity: &Entity, kind: FetchKind, answer: Node<'_>) -> Option<Entity> {
    let inside = |name: &str| Some(answer.get(name)).filter(|entity| entity.is_object());
    match kind {
        FetchKind::Product => {
            let product = inside("product")?;
            if let Entity::Variant(known) = entity {
                let variant = catalog_v1::variant_of(product, &known.id, known.parent_id.clone())?;
                return Some(Entity::Variant(Box::new(variant)));
            }
            let Entity::Product(known) = entity else {
                return None;
            };
            Some(Entity::Product(Box::new(catalog_v1::product(
                product,
                known.id.clone(),
            ))))
        }
        FetchKind::ProductV3 => {
            let Entity::Product(known) = entity else {
                return None;
            };
            let product = inside("product").filter(|product| catalog_v3::has_variants(*product))?;
            Some(Entity::Product(Box::new(catalog_v3::product(
                product,
                known.id.clone(),
            ))))
        }
        FetchKind::SiteCurrency => {
            let Entity::Product(known) = entity else {
                return None;
            };
            let currency = inside("properties")?.get("paymentCurrency").currency()?;
            let product = catalog_v3::in_currency((**known).clone(), currency);
            Some(Entity::Product(Box::new(product)))
        }
        FetchKind::Collection => {
            let Entity::Collection(known) = entity else {
                return None;
            };
            Some(Entity::Collection(Box::new(catalog_v1::collection(
                inside("collection")?,
                known.id.clone(),
            ))))
        }
        FetchKind::Inventory => {
            let Entity::Inventory(known) = entity else {
                return None;
            };
            Some(Entity::Inventory(Box::new(catalog_v1::stock_of(
                inside("inventoryItem")?,
                known,
            ))))
        }
        FetchKind::InventoryItem => {
            let Entity::Inventory(known) = entity else {
                return None;
            };
            let item = catalog_v3::stock_item(inside("inventoryItem")?, known.id.clone());
            Some(Entity::Inventory(Box::new(Inventory {
                reason: known.reason.clone(),
                ..item
            })))
        }
        FetchKind::Order => {
            let Entity::Order(known) = entity else {
                return None;
            };
            Some(Entity::Order(Box::new(order::shape(
                inside("order")?,
                known.id.clone(),
            ))))
        }
        FetchKind::Currency | FetchKind::Payments => {
            let Entity::Payment(known) = entity else {
                return None;
            };
            Some(Entity::Payment(Box::new(payments(known, answer)?)))
        }
        FetchKind::Fulfillments => {
            let Entity::Fulfillment(known) = entity else {
                return None;
            };
            let parcels = inside("orderWithFulfillments")?
                .get("fulfillments")
                .list(payment::parcel);
            Some(Entity::Fulfillment(Box::new(Fulfillment {
                parcels,
                ..(**known).clone()
            })))
        }
        FetchKind::Contact => {
            let Entity::Customer(known) = entity else {
                return None;
            };
            let contact = people::contact(inside("contact")?, known.id.clone());
            Some(Entity::Customer(Box::new(Customer {
                merged_ids: known.merged_ids.clone(),
                ..contact
            })))
        }
        FetchKind::Member => {
            let Entity::Customer(known) = entity else {
                return None;
            };
            Some(Entity::Customer(Box::new(people::member(
                inside("member")?,
                known.id.clone(),
            ))))
        }
        FetchKind::Checkout => {
            let Entity::Checkout(known) = entity else {
                return None;
            };
            Some(Entity::Checkout(Box::new(checkout::shape(
                inside("abandonedCheckout")?,
                known.id.clone(),
            ))))
        }
        FetchKind::Site => {
            let Entity::Site(known) = entity else {
                return None;
            };
            Some(Entity::Site(Box::new(app::properties_of(
                inside("properties")?,
                known.id.clone(),
            ))))
        }
        FetchKind::Installation => {
            if let Entity::Connection(known) = entity {
                let mut health = known.clone();
                health
                    .settings
                    .get_or_insert_default()
                    .extend(self::known(answer));
                return Some(Entity::Connection(health));
            }
            let Entity::App(known) = entity else {
                return None;
            };
            let plan = app::plan_of(inside("instance")?).or_else(|| known.plan.clone());
            Some(Entity::App(Box::new(App {
                plan,
                ..(**known).clone()
            })))
        }
    }
}

/// An order's payments and refunds in its currency, from the answer or else from the event.
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
