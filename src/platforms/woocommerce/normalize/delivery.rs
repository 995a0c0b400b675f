//! Converts a delivery into an event: entity, verb and members.
//!
//! The topic names entity and verb, but headers are not signed, so the payload decides. A verified delivery is never dropped:
//! an unknown topic gives `unrecognized`, and an unreadable payload becomes a dead letter.

use serde_json::value::RawValue;

use super::body_fault::BodyFault;
use super::document::document;
use super::payload::EntityPayload;
use super::{coupon, customer, enrichment, failure, fit, order, product};
use crate::delivery::{JournaledDelivery, ReasonCode};
use crate::event::data::{Action, Coupon, Customer, Order, Product, Subscription, Unrecognized};
use crate::event::{Authority, Entity, NormalizedEvent, is_event_type, verbs};
use crate::platforms::content::Content;
use crate::platforms::json::{Unread, parse, read};
use crate::platforms::lenient::Node;
use crate::platforms::normalized::Normalized;
use crate::platforms::woocommerce::resource::Resource;

/// The verbs of the platform that are the same in the gateway's vocabulary.
const VERBS: [&str; 6] = [
    verbs::CREATED,
    verbs::UPDATED,
    verbs::DELETED,
    verbs::RESTORED,
    verbs::PUBLISHED,
    verbs::SWITCHED,
];

/// Members that change although the entity did not: dates of change, links to the API, and the URL of a payment form, which
/// has a nonce.
const VOLATILE: &[&str] = &[
    "date_modified",
    "date_modified_gmt",
    "updated_at",
    "_links",
    "payment_url",
    // WooCommerce shuffles them for each response.
    "related_ids",
];

pub(in crate::platforms::woocommerce) fn normalize(delivery: &JournaledDelivery) -> Normalized {
    let text = document(&delivery.body);
    let unreadable = |reason| Normalized::Unreadable { reason };
    // The text is read twice. This reading also refuses nesting beyond 128 levels, which no consumer could parse.
    let value = match read(&text) {
        Ok(value) => value,
        Err(Unread::Malformed) => return unreadable(BodyFault::of(&text).code()),
        Err(Unread::TooComplex) => return unreadable(ReasonCode::TooComplex),
    };
    let Ok(raw) = serde_json::from_str::<Box<RawValue>>(&text) else {
        return unreadable(BodyFault::of(&text).code());
    };
    let root = Node::root(&value);
    let (resource, event) = delivery
        .topic
        .split_once('.')
        .unwrap_or((&delivery.topic, ""));
    if !fit::fits(root, resource) {
        return unreadable(ReasonCode::TopicMismatch);
    }
    // An error of the store is not an entity, whatever the topic says. The body of an action is not an error.
    if failure::is_error(root) && !root.get("id").exists() && !root.get("action").exists() {
        return failure::normalize(root, delivery, raw);
    }
    let normalized = if resource == "action" && !event.trim().is_empty() {
        action(root, event)
    } else {
        let resource = Resource::ALL
            .into_iter()
            .find(|known| known.word() == resource);
        let verb = VERBS.into_iter().find(|known| *known == event);
        match (resource, verb) {
            (Some(resource), Some(verb)) if is_event_type(resource.word(), verb) => {
                match entity(root, resource, verb) {
                    Ok(normalized) => normalized,
                    Err(Unfit::Error) => return failure::normalize(root, delivery, raw),
                    Err(Unfit::Unreadable(reason)) => return Normalized::Unreadable { reason },
                }
            }
            _ => unrecognized(root, &delivery.topic),
        }
    };
    let (normalized, content) = match delivery.response() {
        Some(response) => {
            let content = parse(&document(response)).map(|entity| Content::of(&entity, VOLATILE));
            (enrichment::enriched(normalized, response), content)
        }
        None => (normalized, Some(Content::of(&value, VOLATILE))),
    };
    Normalized::Events {
        normalized_events: vec![normalized],
        raw,
        signal: None,
        content,
    }
}

/// Why a payload is not the entity that its topic names.
enum Unfit {
    /// It is an error of the REST API.
    Error,
    /// Its shape is unknown.
    Unreadable(ReasonCode),
}

fn entity(
    root: Node<'_>,
    resource: Resource,
    verb: &'static str,
) -> Result<NormalizedEvent, Unfit> {
    if !root.is_object() {
        return Err(Unfit::Unreadable(ReasonCode::NotAnObject));
    }
    let payload = EntityPayload::of(root, resource);
    let Some(id) = payload.node.subject_id() else {
        return Err(if failure::is_error(root) {
            Unfit::Error
        } else {
            Unfit::Unreadable(ReasonCode::NoId)
        });
    };
    let entity = whole(payload, resource, &id);
    // Stores may add members to a body with an id only. The body is a whole entity only if it has a known member.
    let authority = if entity == reference(resource, &id) {
        Authority::Reference
    } else {
        Authority::Full
    };
    // WooCommerce sends a deletion only as `{"id":N}`. A longer body may be another delivery whose topic header was replaced,
    // because headers are not signed. So the store must confirm it.
    let (entity, authority) = if verb == verbs::DELETED {
        (reference(resource, &id), Authority::Reference)
    } else {
        (entity, authority)
    };
    let time = match verb {
        verbs::CREATED => payload.created_at(),
        verbs::DELETED => None,
        _ => payload.updated_at(),
    };
    Ok(NormalizedEvent {
        verb: verb.to_owned(),
        id,
        time,
        authority,
        entity,
        changed: None,
        anonymized: false,
    })
}

/// An entity with its id only.
fn reference(resource: Resource, id: &str) -> Entity {
    let id = id.to_owned();
    match resource {
        Resource::Order => Entity::Order(Box::new(Order {
            id,
            ..Order::default()
        })),
        Resource::Product => Entity::Product(Box::new(Product {
            id,
            ..Product::default()
        })),
        Resource::Customer => Entity::Customer(Box::new(Customer {
            id,
            ..Customer::default()
        })),
        Resource::Coupon => Entity::Coupon(Box::new(Coupon {
            id,
            ..Coupon::default()
        })),
        Resource::Subscription => Entity::Subscription(Box::new(Subscription {
            id,
            ..Subscription::default()
        })),
    }
}

fn whole(payload: EntityPayload<'_>, resource: Resource, id: &str) -> Entity {
    match resource {
        Resource::Order => Entity::Order(Box::new(order::order(payload, id))),
        Resource::Product if product::is_variant(payload) => {
            Entity::Variant(Box::new(product::product(payload, id)))
        }
        Resource::Product => Entity::Product(Box::new(product::product(payload, id))),
        Resource::Customer => Entity::Customer(Box::new(customer::customer(payload, id))),
        Resource::Coupon => Entity::Coupon(Box::new(coupon::coupon(payload, id))),
        Resource::Subscription => Entity::Subscription(Box::new(order::subscription(payload, id))),
    }
}

/// Maximum length of an event's verb. A routing key has at most 255 bytes.
const MAX_VERB_BYTES: usize = 128;

/// The name of a hook as the verb of an event and a part of the routing key: in lower case, with `_` in place of all characters
/// except letters, digits and `_`. `acf/save_post` becomes `acf_save_post`. `data.action.hook` has the unchanged name, because
/// WordPress allows any text as a name.
fn verb_of(hook: &str) -> String {
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    hook.chars().take(MAX_VERB_BYTES).map(word).collect()
}

/// The action of a custom topic. The body has only the hook's first argument; an object arrives as `[]`.
fn action(root: Node<'_>, hook: &str) -> NormalizedEvent {
    let id = root
        .get("arg")
        .subject_value()
        .unwrap_or_else(|| hook.to_owned());
    NormalizedEvent {
        verb: verb_of(hook),
        id: id.clone(),
        time: None,
        authority: Authority::Reference,
        entity: Entity::Action(Box::new(Action {
            id,
            hook: Some(hook.to_owned()),
            ..Action::default()
        })),
        changed: None,
        anonymized: false,
    }
}

fn unrecognized(root: Node<'_>, topic: &str) -> NormalizedEvent {
    let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
    let id = root
        .subject_id()
        .or_else(|| topic.clone())
        .unwrap_or_else(|| "unknown".to_owned());
    NormalizedEvent {
        verb: verbs::RECEIVED.to_owned(),
        id: id.clone(),
        time: None,
        authority: Authority::Partial,
        entity: Entity::Unrecognized(Box::new(Unrecognized {
            id,
            topic,
            entity_type: None,
        })),
        changed: None,
        anonymized: false,
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
