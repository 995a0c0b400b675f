//! Makes drafts whole with what the store told when it was asked for the rest.
//!
//! Number, order, verb, entity and id of the drafts stay, and so do their times: event ids and partitions hang on them. What
//! the answer does not hold stays as it was.

use bytes::Bytes;

use super::api::{Lacking, What, known};
use super::{app, catalog_v1, catalog_v3, checkout, order, payment, people};
use crate::event::data::{App, Customer, Fulfillment, Inventory, Payment};
use crate::event::{Authority, Currency, Draft, Entity};
use crate::platforms::ConnectionSignal;
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// Reads what was told for `lacking` into the drafts, and into what the delivery says about the connection.
pub(super) fn complete(
    drafts: &mut [Draft],
    signal: &mut Option<ConnectionSignal>,
    lacking: &Lacking,
    told: &Bytes,
) {
    let Some(document) = std::str::from_utf8(told).ok().and_then(parse) else {
        return;
    };
    let told = Node::root(&document);
    if lacking.what == What::Installation
        && let Some(ConnectionSignal::Installed { settings, .. }) = signal
    {
        settings.extend(known(told));
    }
    for draft in drafts {
        if let Some(entity) = whole(&draft.entity, lacking.what, told) {
            draft.entity = entity;
            draft.authority = Authority::Full;
        }
    }
}

/// The entity as the store tells it; `None` where the store does not tell of this one.
fn whole(entity: &Entity, what: What, told: Node<'_>) -> Option<Entity> {
    let inside = |name: &str| Some(told.get(name)).filter(|entity| entity.is_object());
    match what {
        What::Product => {
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
        What::ProductV3 => {
            let Entity::Product(known) = entity else {
                return None;
            };
            let product = inside("product").filter(|product| catalog_v3::has_variants(*product))?;
            Some(Entity::Product(Box::new(catalog_v3::product(
                product,
                known.id.clone(),
            ))))
        }
        What::SiteCurrency => {
            let Entity::Product(known) = entity else {
                return None;
            };
            let currency = inside("properties")?.get("paymentCurrency").currency()?;
            let product = catalog_v3::in_currency((**known).clone(), currency);
            Some(Entity::Product(Box::new(product)))
        }
        What::Collection => {
            let Entity::Collection(known) = entity else {
                return None;
            };
            Some(Entity::Collection(Box::new(catalog_v1::collection(
                inside("collection")?,
                known.id.clone(),
            ))))
        }
        What::Inventory => {
            let Entity::Inventory(known) = entity else {
                return None;
            };
            Some(Entity::Inventory(Box::new(catalog_v1::stock_of(
                inside("inventoryItem")?,
                known,
            ))))
        }
        What::InventoryItem => {
            let Entity::Inventory(known) = entity else {
                return None;
            };
            let item = catalog_v3::stock_item(inside("inventoryItem")?, known.id.clone());
            Some(Entity::Inventory(Box::new(Inventory {
                reason: known.reason.clone(),
                ..item
            })))
        }
        What::Order => {
            let Entity::Order(known) = entity else {
                return None;
            };
            Some(Entity::Order(Box::new(order::shape(
                inside("order")?,
                known.id.clone(),
            ))))
        }
        What::Currency | What::Payments => {
            let Entity::Payment(known) = entity else {
                return None;
            };
            Some(Entity::Payment(Box::new(payments(known, told)?)))
        }
        What::Fulfilments => {
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
        What::Contact => {
            let Entity::Customer(known) = entity else {
                return None;
            };
            let contact = people::contact(inside("contact")?, known.id.clone());
            Some(Entity::Customer(Box::new(Customer {
                merged_ids: known.merged_ids.clone(),
                ..contact
            })))
        }
        What::Member => {
            let Entity::Customer(known) = entity else {
                return None;
            };
            Some(Entity::Customer(Box::new(people::member(
                inside("member")?,
                known.id.clone(),
            ))))
        }
        What::Checkout => {
            let Entity::Checkout(known) = entity else {
                return None;
            };
            Some(Entity::Checkout(Box::new(checkout::shape(
                inside("abandonedCheckout")?,
                known.id.clone(),
            ))))
        }
        What::Site => {
            let Entity::Site(known) = entity else {
                return None;
            };
            Some(Entity::Site(Box::new(app::properties_of(
                inside("properties")?,
                known.id.clone(),
            ))))
        }
        What::Installation => {
            if let Entity::Connection(known) = entity {
                let mut health = known.clone();
                health
                    .settings
                    .get_or_insert_default()
                    .extend(self::known(told));
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

/// An order's payments and refunds in its currency: those that the event told, or else those that the store tells.
fn payments(known: &Payment, told: Node<'_>) -> Option<Payment> {
    let currency = told
        .get("order")
        .get("currency")
        .currency()
        .map(str::to_owned)?;
    let all = told.get("orderTransactions");
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
#[path = "completion_tests.rs"]
mod tests;
