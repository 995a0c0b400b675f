//! Flat events: the events of the old Wix Stores API, and the platform's events about apps and sites.

use crate::delivery::JournaledDelivery;
use crate::event::{Authority, Entity, NormalizedEvent};
use crate::platforms::lenient::Node;

/// Maximum number of normalized events per delivery. A delivery with more changed variants becomes one event of the product.
pub(super) const MAX_DRAFTS: usize = 1000;

/// A flat event. Its payload has no event id, and most payloads have no time.
pub(super) struct Legacy<'a> {
    pub(super) delivery: &'a JournaledDelivery,
    pub(super) root: Node<'a>,
    /// The `iat` claim of the token.
    pub(super) issued_at: Option<jiff::Timestamp>,
    /// `true` if the envelope names the installation whose connection the delivery has.
    pub(super) installation: bool,
}

impl Legacy<'_> {
    /// A normalized event. Its time is the time in the payload, or else the `iat` of the token.
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

/// `true` for an id that is valid in subjects, headers and indexes: at most 200 bytes, and no control characters.
pub(super) fn is_id(id: &str) -> bool {
    id.len() <= 200 && !id.contains(char::is_control)
}
