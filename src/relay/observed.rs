//! An event as the comparison sees it, and the state that it leads to. Pure.

use crate::entities::{Comparison, EntityForm, EntityKey, EntityState, EntityVersion, Observation};
use crate::event::{Authority, Event, Origin, Weigh, verbs};
use crate::journal::entry::Position;
use crate::platforms::{Content, platform};

/// Maximum memory of an entity that is compared. A larger one is published without `changed`, and its state is not kept.
const MAX_COMPARED_BYTES: usize = 4 << 20;

/// What an event says of its entity; `None` if the event is not compared.
pub(super) fn observation<'a>(
    event: &'a Event,
    entity: &'a str,
    content: Content,
    position: Position,
) -> Option<Observation<'a>> {
    let normalized = &event.normalized;
    if normalized.entity.heap() > MAX_COMPARED_BYTES {
        tracing::debug!(event = %event.id, "entity too large to be compared");
        return None;
    }
    if normalized.authority == Authority::Reference && normalized.verb != verbs::DELETED {
        return None;
    }
    let form = EntityForm::of(&normalized.entity);
    Some(Observation {
        entity,
        verb: &normalized.verb,
        content: content.digest,
        version: EntityVersion {
            sequence: content.sequence,
            updated_at: form.updated_at(),
        },
        form,
        time: event.time,
        position,
        is_whole: normalized.authority == Authority::Full,
    })
}

/// A platform that sends the stock as an entity of its own has a list of it too.
const STOCK: (&str, &str) = ("inventory", verbs::UPDATED);

/// The event types that the event's platform sends itself. No webhook reports a change that was found by reading the store, but
/// the stock has a list of its own.
pub(super) fn sent_types(event: &Event) -> &'static [(&'static str, &'static str)] {
    let types = platform(&event.platform).map_or(&[][..], |platform| platform.sent_types());
    match event.origin {
        Origin::Poll | Origin::Reconcile => {
            let of_stock = types.iter().filter(|own| **own == STOCK);
            of_stock.map(std::slice::from_ref).next().unwrap_or(&[])
        }
        Origin::Webhook | Origin::Redrive => types,
    }
}

/// The entities that an event can be about. A platform may send the deletion of a variant as that of a product.
pub(super) fn possible_keys(event: &Event) -> Vec<EntityKey> {
    let Some(key) = EntityKey::of(&event.connection, &event.normalized) else {
        return Vec::new();
    };
    let is_deletion = event.normalized.verb == verbs::DELETED
        && event.normalized.authority == Authority::Reference;
    let variant = (is_deletion && key.entity == "product").then(|| EntityKey {
        entity: "variant",
        ..key.clone()
    });
    [Some(key), variant].into_iter().flatten().collect()
}

/// The state after an event; `None` if it stays as it is.
pub(super) fn next_state(
    comparison: &Comparison,
    known: Option<&EntityState>,
) -> Option<EntityState> {
    match comparison {
        Comparison::Changed { next, .. } | Comparison::StaleButNews(next) => {
            Some(EntityState::clone(next))
        }
        Comparison::Unchanged(version) => {
            known
                .filter(|known| known.version != *version)
                .map(|known| EntityState {
                    revision: known.revision + 1,
                    version: *version,
                    ..known.clone()
                })
        }
        Comparison::Stale => None,
    }
}
