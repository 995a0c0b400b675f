//! A flat event and the event that it makes. Flat events are those of the old Wix Stores API and of the platform itself.

use crate::delivery::JournaledDelivery;
use crate::event::{Authority, Entity, NormalizedEvent};
use crate::platforms::lenient::Node;

/// Maximum number of events from one delivery. A delivery with more facts becomes one event.
pub(super) const MAX_DRAFTS: usize = 1000;

/// A flat event: a payload without an event id and, mostly, without a time.
pub(super) struct Legacy<'a> {
    pub(super) delivery: &'a JournaledDelivery,
    pub(super) root: Node<'a>,
    /// The `iat` claim of the token.
    pub(super) issued_at: Option<jiff::Timestamp>,
    /// `true` if the envelope names an installation.
    pub(super) installation: bool,
}

impl Legacy<'_> {
    /// An event at the time that the payload states, or else at the time of the token.
    pub(super) fn event(
        &self,
        verb: &str,
        id: String,
        authority: Authority,
        entity: Entity,
    ) -> NormalizedEvent {
        let order = self.root.get("order");
        let stated = [
            self.root.get("updatedDate"),
            order.get("lastUpdated"),
            self.root.get("dateCreated"),
        ];
        let time = stated.into_iter().find_map(Node::utc).or(self.issued_at);
        NormalizedEvent {
            verb: verb.to_owned(),
            id,
            time,
            authority,
            entity,
            changed: None,
            anonymized: false,
        }
    }
}

/// `true` for an id that can stand in subjects, headers and indexes: printable, and at most 200 bytes long.
pub(super) fn is_id(id: &str) -> bool {
    id.len() <= 200 && !id.contains(char::is_control)
}
