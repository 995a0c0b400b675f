//! The request for the data that a thin delivery lacks.
//!
//! Thin are `*.deleted`, whose body has only an id, and actions, whose body has an id of the entity that the hook's name gives.

use std::fmt;

use super::normalize::entity_of;
use super::resource::Resource;
use crate::delivery::JournaledDelivery;
use crate::event::data::Entity;
use crate::event::{Authority, NormalizedEvent, verbs};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// A request for the data of an entity, or for the confirmation of its deletion. Its text is stored with the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntityRequest {
    /// `order/18`
    Entity { resource: Resource, id: String },
    /// `order/18/deleted`, or `order/18/deleted_with_body` for a delivery with more members than the id. WooCommerce never
    /// sends such a deletion.
    Deletion {
        resource: Resource,
        id: String,
        has_body: bool,
    },
}

const DELETED: &str = "deleted";
const DELETED_WITH_BODY: &str = "deleted_with_body";

impl EntityRequest {
    /// The request for a delivery; `None` if the delivery is complete.
    pub(super) fn of(
        delivery: &JournaledDelivery,
        normalized_events: &[NormalizedEvent],
    ) -> Option<Self> {
        let normalized = normalized_events
            .first()
            .filter(|normalized| normalized.authority != Authority::Full)?;
        let id = &normalized.id;
        let is_number =
            !id.is_empty() && id.len() <= 20 && id.bytes().all(|byte| byte.is_ascii_digit());
        match &normalized.entity {
            // A hook's name can be all digits; then it is no id.
            Entity::Action(action) if is_number && action.hook.as_ref() != Some(id) => {
                Some(Self::Entity {
                    resource: entity_of(action.hook.as_deref()?)?,
                    id: id.clone(),
                })
            }
            Entity::Action(_) => None,
            entity => {
                let is_deletion = is_number
                    && normalized.verb == verbs::DELETED
                    && normalized.authority == Authority::Reference;
                let resource = Resource::parse(entity.name()).filter(|_| is_deletion)?;
                Some(Self::Deletion {
                    resource,
                    id: id.clone(),
                    has_body: !is_bare_id(&delivery.body),
                })
            }
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let resource = Resource::parse(parts.next()?)?;
        let id = parts.next()?.to_owned();
        let deletion = |has_body| Self::Deletion {
            resource,
            id: id.clone(),
            has_body,
        };
        match parts.next() {
            None => Some(Self::Entity { resource, id }),
            Some(DELETED) => Some(deletion(false)),
            Some(DELETED_WITH_BODY) => Some(deletion(true)),
            Some(_) => None,
        }
    }
}

impl fmt::Display for EntityRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity { resource, id } => write!(formatter, "{}/{id}", resource.word()),
            Self::Deletion {
                resource,
                id,
                has_body,
            } => {
                let form = if *has_body {
                    DELETED_WITH_BODY
                } else {
                    DELETED
                };
                write!(formatter, "{}/{id}/{form}", resource.word())
            }
        }
    }
}

/// `true` if the body is `{"id":N}`, the only form in which WooCommerce sends a deletion.
fn is_bare_id(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let Some(document) = parse(text) else {
        return false;
    };
    let mut members = Node::root(&document).members();
    members.next().is_some_and(|(name, _)| name == "id") && members.next().is_none()
}
