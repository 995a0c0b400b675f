//! Compares a new event with the known state of its entity.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Number, Value};

use super::changes::{Changes, changes};
use super::form::{EntityForm, FormFacts};
use super::state::{EntityState, EntityVersion};
use super::stock::Stock;
use super::transition::{Derived, EntityTransition};
use super::transitions::transitions;
use crate::event::verbs;
use crate::platforms::ContentDigest;

/// The transitions whose verbs a platform may send itself.
const LASTING: &[EntityTransition] = &[
    EntityTransition::OrderPaid,
    EntityTransition::OrderCancelled,
    EntityTransition::OrderFulfilled,
];
/// Statuses that an order does not leave by itself. In a tie of two versions they are the newer ones.
const FINAL_ORDER_STATUSES: &[&str] = &["completed", "cancelled"];
/// The members of a deleted entity that stay known: a restored one is compared with them.
const KEPT_OF_DELETED: &[&str] = &[
    "id",
    "kind",
    "number",
    "sku",
    "currency",
    "status",
    "platform_status",
    "payment_status",
    "fulfillment_status",
    "totals",
    "price",
    "regular_price",
    "sale_price",
    "inventory",
    "created_at",
    "updated_at",
];
/// Payment statuses of an order in the order in which they are reached.
const PAYMENT_STEPS: &[&str] = &[
    "unpaid",
    "pending",
    "failed",
    "authorized",
    "partially_paid",
    "paid",
    "partially_refunded",
    "refunded",
];

/// What a new event says of its entity.
#[derive(Clone, Debug)]
pub(crate) struct Observation<'a> {
    pub(crate) entity: &'a str,
    pub(crate) verb: &'a str,
    /// The normalized entity.
    pub(crate) form: EntityForm,
    pub(crate) content: ContentDigest,
    pub(crate) version: EntityVersion,
    /// When the change happened at the store, or when the delivery arrived.
    pub(crate) time: Timestamp,
    /// The position of the delivery.
    pub(crate) position: i64,
    /// `true` if the event has the whole entity.
    pub(crate) is_whole: bool,
}

/// How events are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// Since when all changes of the store arrive. An entity that was created later had no state before.
    pub(crate) complete_since: Timestamp,
    /// The event types that the platform sends itself, by entity and verb. They are not derived.
    pub(crate) platform_types: &'a [(&'a str, &'a str)],
    /// The quantity from which on a stock is low, if the store does not send one.
    pub(crate) low_stock: Option<&'a Number>,
    /// Publish an event whose content is known.
    pub(crate) publishes_unchanged: bool,
    /// Publish an update that is older than the known state.
    pub(crate) publishes_stale: bool,
}

/// The result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Comparison {
    /// The content is known and was published. The state keeps the newer version, so that an update between the two versions
    /// is stale.
    Unchanged(EntityVersion),
    /// An update older than the known state.
    Stale,
    /// The event is published with the known state, because its verb is news but its content is old.
    StaleButNews(Box<EntityState>),
    /// The event is published.
    Changed {
        /// The difference to the known state; `None` if no state was known.
        changes: Option<Changes>,
        /// The derived events, in order.
        derived: Vec<Derived>,
        /// `true` if the event is another creation of an existing entity: it is published as an update.
        is_created_again: bool,
        next: Box<EntityState>,
    },
}

/// Compares an event with the known state of its entity.
pub(crate) fn compare(
    known: Option<&EntityState>,
    seen: &Observation<'_>,
    rules: &Rules<'_>,
) -> Comparison {
    let Some(known) = known else {
        return first_seen(seen, rules);
    };
    if seen.verb == verbs::DELETED {
        return deleted(known, seen, rules);
    }
    if known.is_deleted && returns(known, seen) {
        return changed(known, seen, rules);
    }
    if is_older(known, seen) {
        return match (seen.verb, known.published_verbs.contains(seen.verb)) {
            (verbs::UPDATED, _) if !rules.publishes_stale => Comparison::Stale,
            (verbs::UPDATED, _) => stale_but_news(known, seen),
            (verb, true) if is_published_once(verb) && !rules.publishes_unchanged => {
                Comparison::Unchanged(known.version)
            }
            _ => stale_but_news(known, seen),
        };
    }
    if is_same(known, seen) && !rules.publishes_unchanged {
        let is_published = seen.verb == verbs::UPDATED
            || is_published_once(seen.verb) && known.published_verbs.contains(seen.verb);
        if is_published {
            return Comparison::Unchanged(known.version.newest(seen.version));
        }
    }
    changed(known, seen, rules)
}

fn is_same(known: &EntityState, seen: &Observation<'_>) -> bool {
    if known.is_deleted {
        return false;
    }
    if seen.is_whole || !known.is_whole {
        return known.content == seen.content && known.is_whole == seen.is_whole;
    }
    let form = known.value();
    merged(&form, &seen.form.value()) == form
}

/// Without versions, the order of arrival decides.
fn is_older(known: &EntityState, seen: &Observation<'_>) -> bool {
    match seen.version.compare(&known.version) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => {
            known.is_deleted
                || known.content != seen.content
                    && goes_back(&FormFacts::of(&known.form), &seen.form.facts)
        }
        Some(Ordering::Greater) => false,
        None => seen.position < known.position,
    }
}

/// `true` if a deleted entity exists again. Stores give a new entity an id of its own, so a creation counts only if it is newer
/// than the deletion. The time of a deletion is often the time of its arrival, so it does not decide about a restored entity.
fn returns(known: &EntityState, seen: &Observation<'_>) -> bool {
    let order = match (seen.version.sequence, known.version.sequence) {
        (Some(own), Some(other)) => Some(own.cmp(&other)),
        _ if seen.verb == verbs::RESTORED => None,
        _ => seen.version.compare(&known.version),
    };
    match (seen.verb, order) {
        (verbs::CREATED | verbs::RESTORED, Some(order)) => order == Ordering::Greater,
        (verbs::RESTORED, None) => seen.position > known.position,
        _ => false,
    }
}

/// `true` if an order of the same second is a step back: out of a final status, or to an earlier step of payment.
fn goes_back(known: &FormFacts, new: &FormFacts) -> bool {
    let is_final = |facts: &FormFacts| {
        let status = facts.status.as_deref();
        status.is_some_and(|status| FINAL_ORDER_STATUSES.contains(&status))
    };
    let step = |facts: &FormFacts| {
        let status = facts.payment_status.as_deref()?;
        PAYMENT_STEPS.iter().position(|step| *step == status)
    };
    is_final(known) && !is_final(new)
        || step(new)
            .zip(step(known))
            .is_some_and(|(new, known)| new < known)
}

fn first_seen(seen: &Observation<'_>, rules: &Rules<'_>) -> Comparison {
    let facts = &seen.form.facts;
    let is_new = facts
        .created_at
        .is_some_and(|time| time >= rules.complete_since);
    let derived = if is_new && seen.is_whole && seen.verb != verbs::DELETED {
        derive(None, facts, seen, rules)
    } else {
        Vec::new()
    };
    let mut next = EntityState {
        revision: 1,
        position: seen.position,
        form: seen.form.text.clone(),
        status: facts.status.clone(),
        content: seen.content,
        version: seen.version,
        is_deleted: false,
        is_low: Stock::of(seen.entity, facts, rules.low_stock).is_low(),
        is_whole: seen.is_whole,
        published_verbs: published(&BTreeSet::new(), facts, seen.verb, &derived),
    };
    if seen.verb == verbs::DELETED {
        next = after_deletion(next, &seen.form.value(), seen);
    }
    Comparison::Changed {
        is_created_again: false,
        changes: None,
        derived,
        next: Box::new(next),
    }
}

/// A deletion is published once, whatever the content says: many platforms send only the id.
fn deleted(known: &EntityState, seen: &Observation<'_>, rules: &Rules<'_>) -> Comparison {
    let is_older = match seen.version.compare(&known.version) {
        Some(order) => order == Ordering::Less,
        None => seen.position < known.position,
    };
    if known.is_deleted && !rules.publishes_unchanged {
        return Comparison::Unchanged(known.version.newest(seen.version));
    }
    if is_older {
        return Comparison::StaleButNews(Box::new(next_of(known, known.position)));
    }
    let known_form = known.value();
    let mut next = next_of(known, known.position.max(seen.position));
    next.version = known.version.newest(seen.version);
    let found = seen.is_whole.then(|| {
        next.content = seen.content;
        changes(&known_form, &seen.form.value())
    });
    Comparison::Changed {
        is_created_again: false,
        changes: found,
        derived: Vec::new(),
        // The trash is a status of its own. A restored entity is compared with its status before.
        next: Box::new(after_deletion(next, &known_form, seen)),
    }
}

/// The state of a deleted entity. `form` is its last known form. Only the members that later events are compared with stay,
/// because the others may be about a person.
fn after_deletion(state: EntityState, form: &Value, seen: &Observation<'_>) -> EntityState {
    let kept = Value::Object(match form {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| KEPT_OF_DELETED.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        _ => serde_json::Map::new(),
    });
    let kept = EntityForm::from_text(kept.to_string().into());
    EntityState {
        status: kept.facts.status,
        form: kept.text,
        is_deleted: true,
        is_low: false,
        is_whole: false,
        version: EntityVersion {
            // Updates from before the deletion may arrive after it. They are older than the deletion.
            updated_at: state.version.updated_at.max(Some(seen.time)),
            ..state.version
        },
        published_verbs: after_deletion_published(&state.published_verbs),
        ..state
    }
}

/// The state that follows a known one, so far without a difference.
fn next_of(known: &EntityState, position: i64) -> EntityState {
    EntityState {
        revision: known.revision + 1,
        position,
        ..known.clone()
    }
}

fn stale_but_news(known: &EntityState, seen: &Observation<'_>) -> Comparison {
    let mut next = next_of(known, known.position);
    next.published_verbs.insert(seen.verb.to_owned());
    Comparison::StaleButNews(Box::new(next))
}

fn changed(known: &EntityState, seen: &Observation<'_>, rules: &Rules<'_>) -> Comparison {
    let form = if seen.is_whole {
        seen.form.clone()
    } else {
        let merged = merged(&known.value(), &seen.form.value());
        EntityForm::from_text(merged.to_string().into())
    };
    let (changes, derived) = if form.text == known.form {
        (Changes::default(), Vec::new())
    } else {
        let mut derived = derive(Some(&FormFacts::of(&known.form)), &form.facts, seen, rules);
        derived.retain(|derived| {
            let verb = derived.transition.verb();
            !is_published_once(verb) || !known.published_verbs.contains(verb)
        });
        (changes(&known.value(), &form.value()), derived)
    };
    let next = Box::new(EntityState {
        revision: known.revision + 1,
        position: known.position.max(seen.position),
        content: seen.content,
        version: if known.is_deleted {
            seen.version
        } else {
            known.version.newest(seen.version)
        },
        is_deleted: false,
        is_low: Stock::of(seen.entity, &form.facts, rules.low_stock).is_low(),
        is_whole: known.is_whole || seen.is_whole,
        published_verbs: published(&known.published_verbs, &form.facts, seen.verb, &derived),
        status: form.facts.status,
        form: form.text,
    });
    let is_created_again = seen.verb == verbs::CREATED
        && !known.is_deleted
        && known.published_verbs.contains(verbs::CREATED)
        && !rules.publishes_unchanged;
    Comparison::Changed {
        is_created_again,
        // Of a deleted entity, not all members are known.
        changes: (!known.is_deleted).then_some(changes),
        derived,
        next,
    }
}

fn derive(
    known: Option<&FormFacts>,
    new: &FormFacts,
    seen: &Observation<'_>,
    rules: &Rules<'_>,
) -> Vec<Derived> {
    let all = transitions(seen.entity, known, new, rules.low_stock);
    let is_reported = |transition: EntityTransition| {
        let own = (transition.entity(), transition.verb());
        // A platform that sends the stock as an entity of its own has it in its products too.
        let is_stock_of_product = own.0 == "inventory" && seen.entity != "inventory";
        rules.platform_types.contains(&own)
            || own == (seen.entity, seen.verb)
            || is_stock_of_product
                && rules
                    .platform_types
                    .contains(&("inventory", verbs::UPDATED))
    };
    all.into_iter()
        .filter(|derived| !is_reported(derived.transition))
        .collect()
}

/// The known members with those that a partial event replaces.
fn merged(known: &Value, part: &Value) -> Value {
    let (Value::Object(known), Value::Object(part)) = (known, part) else {
        return part.clone();
    };
    let mut form = known.clone();
    for (name, value) in part {
        form.insert(name.clone(), value.clone());
    }
    Value::Object(form)
}

/// `true` for a verb that describes the state: it is published once for it. Another verb, such as `refunded`, may be published
/// for each change.
fn is_published_once(verb: &str) -> bool {
    verb == verbs::CREATED || LASTING.iter().any(|transition| transition.verb() == verb)
}

/// The verb of a deletion, and the lasting verbs before it: a restored entity does not publish them again.
fn after_deletion_published(earlier: &BTreeSet<String>) -> BTreeSet<String> {
    let is_lasting = |verb: &&str| LASTING.iter().any(|transition| transition.verb() == *verb);
    let lasting = earlier.iter().map(String::as_str).filter(is_lasting);
    lasting.chain([verbs::DELETED]).map(str::to_owned).collect()
}

/// The verbs that are published with this event, and the earlier ones that still hold.
fn published(
    earlier: &BTreeSet<String>,
    facts: &FormFacts,
    verb: &str,
    derived: &[Derived],
) -> BTreeSet<String> {
    let holds = |verb: &str| {
        LASTING
            .iter()
            .any(|transition| transition.verb() == verb && transition.still_holds(facts))
            || verb == verbs::CREATED
    };
    let new = derived.iter().map(|derived| derived.transition.verb());
    let lasting = earlier
        .iter()
        .map(String::as_str)
        .filter(|verb| holds(verb));
    lasting
        .chain(new)
        .chain([verb])
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
