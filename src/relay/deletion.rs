//! Deletions that carry an id alone: told only if the store confirms them or the journal knows the entity.
//!
//! WooCommerce announces deleted products and coupons whenever any page is trashed, because all posts share one sequence of
//! ids. So an unconfirmed deletion of an entity that no event ever told of is ignored, and one of a known entity goes out
//! marked as unconfirmed.

use bytes::Bytes;

use crate::delivery::{Completed, Completion};
use crate::event::{Authority, Event, verbs};
use crate::journal::entry::Position;
use crate::journal::{Journal, JournalError};
use crate::publisher::Publish;
use crate::relay::Relay;
use crate::relay::enrichment::Target;

/// The reason of an ignored deletion that nothing confirms.
pub(super) const UNCONFIRMED: &str = "unconfirmed_deletion";

/// What completes a deletion that is confirmed, of something that has left nothing: the delivery says all there is.
const GONE: &[u8] = br#"{"confirmed":"gone"}"#;

/// The subject of a delivery that tells nothing but a deletion.
pub(super) fn subject(events: &[Event]) -> Option<String> {
    let [event] = events else {
        return None;
    };
    let is_bare = event.normalized.verb == verbs::DELETED
        && event.normalized.authority == Authority::Reference;
    if is_bare { Some(event.subject()) } else { None }
}

/// Decides about a deletion with what the journal knows, or what is in hand and will be told first. Other completions stay
/// as they are.
pub(super) async fn judge(
    journal: &Journal,
    target: &Target,
    is_in_hand: bool,
    completion: Completion,
) -> Result<Completion, JournalError> {
    let Some(subject) = target.deletion.clone() else {
        return Ok(completion);
    };
    let is_absent = match &completion.outcome {
        Completed::Whole(_) | Completed::Untrue(_) => return Ok(completion),
        Completed::Absent => true,
        Completed::GivenUp(_) => false,
    };
    let connection = target.connection.clone();
    let is_known = is_in_hand
        || journal
            .read(move |reader| {
                for subject in names_of(&subject) {
                    if reader.is_known(&connection, &subject)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await?;
    let outcome = match (is_known, is_absent) {
        // The store has it no more, and an event told of it before.
        (true, true) => Completed::Whole(Bytes::from_static(GONE)),
        (false, false) => Completed::Untrue(UNCONFIRMED.to_owned()),
        (true, false) | (false, true) => completion.outcome,
    };
    Ok(Completion {
        outcome,
        ..completion
    })
}

/// The subjects under which an earlier event can have told of a deleted entity. A bare id does not say whether a deleted
/// product was a variant.
fn names_of(subject: &str) -> Vec<String> {
    let mut names = vec![subject.to_owned()];
    if let Some(id) = subject.strip_prefix("product/") {
        names.push(format!("variant/{id}"));
    }
    names
}

impl<P: Publish> Relay<P> {
    /// `true` if an event of the deleted entity is in hand and goes out before this entry: while the broker is away, the
    /// journal does not know of it yet.
    pub(super) fn is_in_hand(&self, target: &Target, before: Position) -> bool {
        let Some(subject) = &target.deletion else {
            return false;
        };
        let names = names_of(subject);
        self.held
            .iter()
            .filter(|(position, held)| **position < before && held.connection == target.connection)
            .flat_map(|(_, held)| &held.events)
            .any(|event| names.contains(&event.subject) && !event.event_type.ends_with(".deleted"))
    }
}
