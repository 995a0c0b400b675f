//! A domain event: an entity's name, a slug, and the entity in one of four wrappers that were spelled in several ways over
//! the years.
//!
//! The slug says what happened. The wrapper does not: some updates come as actions, some deletions too.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::event::{Authority, Draft, Entity};
use crate::platforms::json::{Json, parse};
use crate::platforms::lenient::Node;

/// The wrappers, each with the names under which it holds the entity.
const WRAPPERS: [(&str, [&str; 2]); 4] = [
    ("createdEvent", ["entity", "entityAsJson"]),
    ("updatedEvent", ["currentEntity", "currentEntityAsJson"]),
    ("deletedEvent", ["deletedEntity", "deletedEntityAsJson"]),
    ("actionEvent", ["body", "bodyAsJson"]),
];

/// A domain event.
pub(super) struct Domain<'a> {
    root: Node<'a>,
    fqdn: &'a str,
    slug: String,
    content: Option<Cow<'a, Json<'a>>>,
    action: bool,
    time: Option<Timestamp>,
}

impl<'a> Domain<'a> {
    /// `None` for events of the older sort.
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

    /// Is there an entity in a string that cannot be read?
    pub(super) fn is_broken(root: Node<'_>) -> bool {
        let broken = |node: Node<'_>| node.str().is_some() && unwrapped(node).is_none();
        root.get("entityFqdn").exists()
            && WRAPPERS.iter().any(|(wrapper, names)| {
                names.iter().any(|name| broken(root.get(wrapper).get(name)))
            })
    }

    /// The entity's full name.
    pub(super) fn fqdn(&self) -> &str {
        self.fqdn
    }

    /// What happened.
    pub(super) fn slug(&self) -> &str {
        &self.slug
    }

    /// What the wrapper holds: the entity, or of an action its body.
    pub(super) fn content(&self) -> Node<'_> {
        self.content
            .as_deref()
            .map_or_else(Node::nowhere, Node::root)
    }

    /// The entity. Of an action it stands under a name, or is the body itself where that has the member `mark`.
    pub(super) fn entity(&self, names: &[&str], mark: &str) -> Option<Node<'_>> {
        let content = self.content();
        let named = content.first(names);
        if self.action && named.has_members() {
            return Some(named);
        }
        (content.has_members() && (!self.action || content.get(mark).exists())).then_some(content)
    }

    /// The id of what the event is about.
    pub(super) fn entity_id(&self) -> Option<String> {
        self.root.get("entityId").id()
    }

    /// Was it brought back from the bin?
    pub(super) fn is_restored(&self) -> bool {
        let created = self.root.get("createdEvent");
        created.get("restoreInfo").exists()
            || created.get("triggeredByUndelete").flag() == Some(true)
    }

    /// A draft at the event's time, with what changed where the event says.
    pub(super) fn draft(
        &self,
        verb: &str,
        id: String,
        authority: Authority,
        entity: Entity,
    ) -> Draft {
        let modified = self.root.get("updatedEvent").get("modifiedFields");
        let changed: Vec<String> = modified
            .members()
            .map(|(path, _)| path.to_owned())
            .collect();
        let changed = (!changed.is_empty()).then_some(changed);
        Draft {
            verb: verb.to_owned(),
            id,
            time: self.time,
            authority,
            entity,
            changed,
        }
    }
}

/// What a wrapper holds: the first of the names that has something in it, else one that is there and empty.
fn inside<'a>(wrapper: Node<'a>, names: &[&str]) -> Option<Cow<'a, Json<'a>>> {
    let mut objects: Vec<_> = names
        .iter()
        .filter_map(|name| unwrapped(wrapper.get(name)))
        .collect();
    let best = objects
        .iter()
        .position(|object| Node::root(object).has_members())
        .unwrap_or(0);
    (best < objects.len()).then(|| objects.swap_remove(best))
}

/// An object, or one that is written in a string, or in a string in a string.
fn unwrapped<'a>(node: Node<'a>) -> Option<Cow<'a, Json<'a>>> {
    match node.value()? {
        Json::Text(text) => match parse(text)? {
            Json::Text(text) => parse(&text)
                .filter(Json::is_object)
                .map(|object| Cow::Owned(object.into_owned())),
            value => value.is_object().then_some(Cow::Owned(value)),
        },
        value => value.is_object().then_some(Cow::Borrowed(value)),
    }
}

/// The whole entity, or only its id.
pub(super) fn full_if(entity: Option<Node<'_>>) -> Authority {
    if entity.is_some() {
        Authority::Full
    } else {
        Authority::Reference
    }
}
