//! Puts a delivery into our words: which entity, which verb, how much of it.
//!
//! The topic names both, but headers are not signed, so the payload has the last word about what it is. Nothing verified is
//! lost: what has no word yet is `unrecognized`, and what is no entity at all is a dead letter.

mod completion;
mod coupon;
mod customer;
mod failure;
mod lines;
mod order;
mod payload;
mod product;

use serde_json::value::RawValue;

pub(super) use self::completion::entity_of;
use self::payload::Payload;
use crate::delivery::JournaledDelivery;
use crate::event::data::{Action, Coupon, Customer, Order, Product, Subscription, Unrecognized};
use crate::event::{Authority, Draft, Entity, verbs};
use crate::platforms::Normalized;
use crate::platforms::json::{TOO_COMPLEX, Unread, read};
use crate::platforms::lenient::Node;

/// What a topic is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Order,
    Product,
    Customer,
    Coupon,
    /// Of the extension WooCommerce Subscriptions.
    Subscription,
}

impl Resource {
    const ALL: [Self; 5] = [
        Self::Order,
        Self::Product,
        Self::Customer,
        Self::Coupon,
        Self::Subscription,
    ];

    /// The word in topics, and the wrapper of legacy payloads.
    fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Product => "product",
            Self::Customer => "customer",
            Self::Coupon => "coupon",
            Self::Subscription => "subscription",
        }
    }
}

/// The verbs of the platform that are ours as well.
const VERBS: [&str; 6] = [
    verbs::CREATED,
    verbs::UPDATED,
    verbs::DELETED,
    verbs::RESTORED,
    verbs::PUBLISHED,
    verbs::SWITCHED,
];

pub(super) fn normalize(delivery: &JournaledDelivery) -> Normalized {
    // Both readings of the same bytes; the first also refuses what no consumer could parse: lone surrogates, nesting
    // beyond 128 levels.
    let text = std::str::from_utf8(&delivery.body).unwrap_or_default();
    let unreadable = |reason| Normalized::Unreadable { reason };
    let value = match read(text) {
        Ok(value) => value,
        Err(Unread::Malformed) => return unreadable("malformed_or_too_deep"),
        Err(Unread::TooComplex) => return unreadable(TOO_COMPLEX),
    };
    let Ok(raw) = serde_json::from_str::<Box<RawValue>>(text) else {
        return unreadable("malformed_or_too_deep");
    };
    let root = Node::root(&value);
    let (resource, event) = delivery
        .topic
        .split_once('.')
        .unwrap_or((&delivery.topic, ""));
    // An error of the store is no entity, whatever the topic says; an action's own body is no error.
    if failure::is_error(root) && !root.get("id").exists() && !root.get("action").exists() {
        return failure::normalize(root, delivery, raw);
    }
    let draft = if resource == "action" && is_hook(event) {
        action(root, event)
    } else {
        let resource = Resource::ALL
            .into_iter()
            .find(|known| known.word() == resource);
        let verb = VERBS.into_iter().find(|known| *known == event);
        match (resource, verb) {
            (Some(resource), Some(verb)) => match entity(root, resource, verb) {
                Ok(draft) => draft,
                Err(Unfit::Error) => return failure::normalize(root, delivery, raw),
                Err(Unfit::Unreadable(reason)) => return Normalized::Unreadable { reason },
            },
            _ => unrecognized(root, &delivery.topic),
        }
    };
    let draft = match delivery.completed() {
        Some(told) => completion::completed(draft, told),
        None => draft,
    };
    Normalized::Events {
        drafts: vec![draft],
        raw,
        signal: None,
    }
}

/// Why a payload is not the entity that its topic names.
enum Unfit {
    /// It is an error of the REST API.
    Error,
    /// It is nothing that we know.
    Unreadable(&'static str),
}

fn entity(root: Node<'_>, resource: Resource, verb: &'static str) -> Result<Draft, Unfit> {
    if !root.is_object() {
        return Err(Unfit::Unreadable("not_an_object"));
    }
    let payload = Payload::of(root, resource);
    let Some(id) = payload.node.subject_id() else {
        return Err(if failure::is_error(root) {
            Unfit::Error
        } else {
            Unfit::Unreadable("no_id")
        });
    };
    let entity = whole(payload, resource, &id);
    // Stores add members to an id too: it is the whole entity only if something of it can be told.
    let authority = if entity == reference(resource, &id) {
        Authority::Reference
    } else {
        Authority::Full
    };
    // WooCommerce sends a deletion as `{"id":N}` only. More than that may be another delivery whose topic header was
    // replaced, because headers are not signed: the store has to confirm it.
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
    Ok(Draft {
        verb: verb.to_owned(),
        id,
        time,
        authority,
        entity,
        changed: None,
    })
}

/// An entity of which only the id is known: what remains of it when it was trashed.
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

fn whole(payload: Payload<'_>, resource: Resource, id: &str) -> Entity {
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

/// Can the hook stand in an event's type? WordPress allows any text; those of WooCommerce are like this.
fn is_hook(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A custom topic: the hook's first argument is all that it tells, and an object arrives as `[]`.
fn action(root: Node<'_>, hook: &str) -> Draft {
    let id = root
        .get("arg")
        .subject_value()
        .unwrap_or_else(|| hook.to_owned());
    Draft {
        verb: hook.to_owned(),
        id: id.clone(),
        time: None,
        authority: Authority::Reference,
        entity: Entity::Action(Box::new(Action {
            id,
            hook: Some(hook.to_owned()),
            ..Action::default()
        })),
        changed: None,
    }
}

fn unrecognized(root: Node<'_>, topic: &str) -> Draft {
    let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
    let id = root
        .subject_id()
        .or_else(|| topic.clone())
        .unwrap_or_else(|| "unknown".to_owned());
    Draft {
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
    }
}

#[cfg(test)]
mod tests;
