//! Deletions that carry only an id: published only if the store confirms them, or if the journal knows the entity.
//!
//! WooCommerce announces deleted products and coupons whenever any page is trashed, because all posts share one sequence of
//! ids. So an unconfirmed deletion is ignored if no event was ever published about the entity. If the entity is known, the
//! deletion is published and marked as unconfirmed.

use bytes::Bytes;

use super::fetch::FetchTarget;
use crate::delivery::{Enriched, Enrichment, ReasonCode};
use crate::event::{Authority, Event, verbs};
use crate::journal::{Journal, JournalError};

/// The response for a confirmed deletion of an entity of which the store has nothing left.
const CONFIRMED_RESPONSE: &[u8] = br#"{"confirmed":"gone"}"#;

/// The subject of a delivery whose only event is a deletion without other members.
pub(super) fn subject(events: &[Event]) -> Option<String> {
    let [event] = events else {
        return None;
    };
    let is_bare = event.normalized.verb == verbs::DELETED
        && event.normalized.authority == Authority::Reference;
    is_bare.then(|| event.subject())
}

/// Decides about a deletion. `is_in_flight` is `true` if the relay publishes an event of the entity before the deletion.
/// The results for other deliveries stay as they are.
pub(super) async fn decide(
    journal: &Journal,
    target: &FetchTarget,
    is_in_flight: bool,
    enriched: Enriched,
) -> Result<Enriched, JournalError> {
    let Some(subject) = target.deletion.clone() else {
        return Ok(enriched);
    };
    let is_absent = match &enriched.enrichment {
        Enrichment::Complete(_) | Enrichment::Contradicted(_) => return Ok(enriched),
        Enrichment::NotFound => true,
        Enrichment::Unavailable(_) => false,
    };
    let connection = target.connection.clone();
    let is_known = is_in_flight
        || journal
            .read(move |reader| {
                for subject in possible_subjects(&subject) {
                    if reader.is_known(&connection, &subject)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await?;
    let enrichment = match (is_known, is_absent) {
        (true, true) => Enrichment::Complete(Bytes::from_static(CONFIRMED_RESPONSE)),
        (false, false) => Enrichment::Contradicted(ReasonCode::UnconfirmedDeletion.into()),
        (true, false) | (false, true) => enriched.enrichment,
    };
    Ok(Enriched {
        enrichment,
        ..enriched
    })
}

/// The subjects that earlier events of a deleted entity can have. The id alone does not say whether a deleted product was a
/// variant.
pub(super) fn possible_subjects(subject: &str) -> Vec<String> {
    let mut subjects = vec![subject.to_owned()];
    if let Some(id) = subject.strip_prefix("product/") {
        subjects.push(format!("variant/{id}"));
    }
    subjects
}
