//! Domain events: an entity type, a slug, and the entity in one of four wrappers. The member of a wrapper that has the entity
//! has an old and a current name.
//!
//! Only the slug determines the verb, because some updates and deletions arrive in the wrapper of an action.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::delivery::ReasonCode;
use crate::event::{Authority, Entity, NormalizedEvent};
use crate::platforms::json::{Json, Unread, read};
use crate::platforms::lenient::Node;

/// The wrappers, each with the current and the old name of its member that has the entity.
const WRAPPERS: [(&str, [&str; 2]); 4] = [
    ("createdEvent", ["entity", "entityAsJson"]),
    ("updatedEvent", ["currentEntity", "currentEntityAsJson"]),
    ("deletedEvent", ["deletedEntity", "deletedEntityAsJson"]),
    ("actionEvent", ["body", "bodyAsJson"]),
];

pub(super) struct Domain<'a> {
    root: Node<'a>,
    fqdn: &'a str,
    slug: String,
    content: Option<Cow<'a, Json<'a>>>,
    action: bool,
    time: Option<Timestamp>,
}

impl<'a> Domain<'a> {
    /// `None` for a flat event. If the payload has no slug, the event type (`topic`) gives it.
    pub(super) fn read(root: Node<'a>, topic: &str, issued_at: Option<Timestamp>) -> Option<Self> {
        let fqdn = root.get("entityFqdn").str()?;
        let from_topic = || {
            topic
                .strip_prefix(fqdn)
                .and_then(|rest| rest.strip_prefix('_'))
        };
        let slug = root
            .get("slug")
            .str()
            .or_else(from_topic)
            .unwrap_or_default()
            .to_owned();
        let found = WRAPPERS
            .iter()
            .find_map(|(wrapper, names)| Some((*wrapper, inside(root.get(wrapper), names)?)));
        let action = found
            .as_ref()
            .is_some_and(|(wrapper, _)| *wrapper == "actionEvent");
        let time = root.get("eventTime").utc().or(issued_at);
        Some(Self {
            root,
            fqdn,
            slug,
            content: found.map(|(_, content)| content),
            action,
            time,
        })
    }

    /// The reason code of an entity that is encoded as a string and unreadable; `None` if all entities are readable.
    pub(super) fn broken(root: Node<'_>) -> Option<ReasonCode> {
        if !root.get("entityFqdn").exists() {
            return None;
        }
        let places = WRAPPERS
            .iter()
            .flat_map(|(wrapper, names)| names.map(|name| root.get(wrapper).get(name)));
        places
            .filter(|node| node.str().is_some())
            .find_map(|node| match unwrapped(node) {
                Ok(Some(_)) => None,
                Ok(None) | Err(Unread::Malformed) => Some(ReasonCode::EntityUnreadable),
                Err(Unread::TooComplex) => Some(ReasonCode::TooComplex),
            })
    }

    /// The full name of the entity type, for example `wix.ecom.v1.order`.
    pub(super) fn fqdn(&self) -> &str {
        self.fqdn
    }

    /// The kind of change, for example `created`. Empty if payload and event type have none.
    pub(super) fn slug(&self) -> &str {
        &self.slug
    }

    /// The content of the wrapper: the entity, or the body of an action.
    pub(super) fn content(&self) -> Node<'_> {
        self.content
            .as_deref()
            .map_or_else(Node::nowhere, Node::root)
    }

    /// The entity, if it has members. In an action the entity is the member of the body with one of the `names`, or the body
    /// itself if the body has the member `mark`.
    pub(super) fn entity(&self, names: &[&str], mark: &str) -> Option<Node<'_>> {
        let content = self.content();
        let named = content.first(names);
        if self.action && named.has_members() {
            return Some(named);
        }
        (content.has_members() && (!self.action || content.get(mark).exists())).then_some(content)
    }

    pub(super) fn entity_id(&self) -> Option<String> {
        self.root.get("entityId").id()
    }

    /// `true` if the entity was restored from the trash.
    pub(super) fn is_restored(&self) -> bool {
        let created = self.root.get("createdEvent");
        created.get("restoreInfo").exists()
            || created.get("triggeredByUndelete").flag() == Some(true)
    }

    /// A normalized event with the time of this event, and with the paths of the changed members if the platform sent them.
    pub(super) fn event(
        &self,
        verb: &str,
        id: String,
        authority: Authority,
        entity: Entity,
    ) -> NormalizedEvent {
        let modified = self.root.get("updatedEvent").get("modifiedFields");
        let changed: Vec<String> = modified
            .members()
            .map(|(path, _)| path.to_owned())
            .collect();
        let changed = (!changed.is_empty()).then_some(changed);
        NormalizedEvent {
            verb: verb.to_owned(),
            id,
            time: self.time,
            authority,
            entity,
            changed,
            anonymized: false,
        }
    }
}

/// The first object with members under one of the `names` in a wrapper, or else the first empty object.
fn inside<'a>(wrapper: Node<'a>, names: &[&str]) -> Option<Cow<'a, Json<'a>>> {
    let mut objects: Vec<_> = names
        .iter()
        .filter_map(|name| unwrapped(wrapper.get(name)).ok().flatten())
        .collect();
    let best = objects
        .iter()
        .position(|object| Node::root(object).has_members())
        .unwrap_or(0);
    (best < objects.len()).then(|| objects.swap_remove(best))
}

/// Reads an object, or an object that is encoded once or twice as a string. `None` for any other value.
fn unwrapped<'a>(node: Node<'a>) -> Result<Option<Cow<'a, Json<'a>>>, Unread> {
    Ok(match node.value() {
        Some(Json::Text(text)) => match read(text)? {
            Json::Text(text) => {
                let inner = read(&text)?;
                inner.is_object().then(|| Cow::Owned(inner.into_owned()))
            }
            value => value.is_object().then_some(Cow::Owned(value)),
        },
        Some(value) => value.is_object().then_some(Cow::Borrowed(value)),
        None => None,
    })
}

/// `Full` if there is an entity, or else `Reference`.
pub(super) fn full_if(entity: Option<Node<'_>>) -> Authority {
    if entity.is_some() {
        Authority::Full
    } else {
        Authority::Reference
    }
}
