//! Verified events of unknown types: `unrecognized.received`.
//!
//! The subject is the id of the entity that the event is about. So the events of one entity stay in order, and events of
//! other entities do not wait for them. A domain event names its entity. A flat event of an unknown type has the id in a
//! member whose name is unknown, so this module guesses the member. The subject of an event without an id is its event type.

use jiff::Timestamp;

use super::legacy::{Legacy, is_id};
use super::shapes::instant;
use crate::event::data::Unrecognized;
use crate::event::{Authority, Entity, NormalizedEvent, verbs};
use crate::platforms::json::Json;
use crate::platforms::lenient::Node;

/// Members with the id of the sender or the site, in lower case without `_`. All events of an installation share these ids.
const SHARED: [&str; 8] = [
    "appid",
    "instanceid",
    "origininstanceid",
    "siteid",
    "metasiteid",
    "accountid",
    "tenantid",
    "requestid",
];

/// Members that may have the time of an event, the most exact first.
const TIMES: [&str; 10] = [
    "eventTime",
    "timestamp",
    "timeStamp",
    "eventTimestamp",
    "operationTimeStamp",
    "occurredAt",
    "updatedDate",
    "createdDate",
    "lastUpdated",
    "dateCreated",
];

/// Id and type of the entity that an event is about.
#[derive(Debug, Default, PartialEq)]
struct About {
    id: Option<String>,
    entity_type: Option<String>,
}

pub(super) fn normalized(event: &Legacy<'_>) -> NormalizedEvent {
    let topic = event.delivery.topic.as_str();
    let About { id, entity_type } = about(event.root, topic);
    let topic = (!topic.is_empty()).then(|| topic.to_owned());
    let id = id
        .or_else(|| topic.clone())
        .unwrap_or_else(|| "untitled".to_owned());
    let entity = Entity::Unrecognized(Box::new(Unrecognized {
        id: id.clone(),
        topic,
        entity_type,
    }));
    NormalizedEvent {
        time: time(event.root).or(event.issued_at),
        ..event.event(verbs::RECEIVED, id, Authority::Partial, entity)
    }
}

fn time(root: Node<'_>) -> Option<Timestamp> {
    TIMES.into_iter().find_map(|name| instant(root.get(name)))
}

fn about(root: Node<'_>, topic: &str) -> About {
    let entity_type = root
        .first(&["entityFqdn", "entityType"])
        .text()
        .filter(|name| is_id(name));
    let named = valid_id(root.get("entityId"));
    // The member `id` of a domain event is the id of the event, so it is not used.
    if named.is_some() || root.get("entityFqdn").exists() {
        return About {
            id: named,
            entity_type,
        };
    }
    let guessed = guess(root, topic, entity_type.as_deref());
    About {
        entity_type: entity_type.or(guessed.entity_type),
        id: guessed.id,
    }
}

/// Guesses the entity of a flat event. The first of these ids is used: the member that is named like the event or its entity
/// type (`bookingId` in `BookingConfirmed`), the member `id`, the first member that ends in `Id`, the `id` of the first object.
fn guess(root: Node<'_>, topic: &str, entity_type: Option<&str>) -> About {
    let Some(Json::Object(members)) = root.value() else {
        return About::default();
    };
    let event = topic.rsplit('.').next().unwrap_or_default().to_lowercase();
    let entity = entity_type.unwrap_or_default().to_lowercase();
    let mut first: Option<About> = None;
    for (name, _) in members {
        let Some(stem) = stem(name) else { continue };
        let Some(id) = valid_id(root.get(name)) else {
            continue;
        };
        let lower = stem.to_lowercase();
        let about = About {
            id: Some(id),
            entity_type: Some(stem.to_owned()),
        };
        if event.contains(&lower) || entity.ends_with(&lower) {
            return about;
        }
        first = first.or(Some(about));
    }
    let own = || {
        Some(About {
            id: Some(valid_id(root.get("id"))?),
            entity_type: None,
        })
    };
    let inside = || {
        members.iter().find_map(|(name, _)| {
            Some(About {
                id: Some(valid_id(root.get(name).get("id"))?),
                entity_type: Some(name.to_string()).filter(|name| is_id(name)),
            })
        })
    };
    own().or(first).or_else(inside).unwrap_or_default()
}

/// The entity type in the name of a member: `booking` for `bookingId`. `None` for other members and for [`SHARED`] ids.
fn stem(name: &str) -> Option<&str> {
    if SHARED.contains(&name.to_ascii_lowercase().replace('_', "").as_str()) {
        return None;
    }
    let stem = ["Id", "ID", "_id", "Guid"]
        .into_iter()
        .find_map(|end| name.strip_suffix(end))?;
    let stem = stem.trim_end_matches('_');
    (!stem.is_empty() && is_id(stem)).then_some(stem)
}

fn valid_id(node: Node<'_>) -> Option<String> {
    node.id().filter(|id| is_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::json::parse;

    fn found(topic: &str, payload: &str) -> (Option<String>, Option<String>) {
        let document = parse(payload).expect("the text should be JSON");
        let About { id, entity_type } = about(Node::root(&document), topic);
        (id, entity_type)
    }

    #[test]
    fn entity_of_a_flat_event_is_guessed_from_its_members() {
        for (topic, payload, id, entity_type) in [
            (
                "BookingConfirmed",
                r#"{"contactId":"c","bookingId":"b"}"#,
                "b",
                "booking",
            ),
            (
                "com.x.v1.Changed",
                r#"{"appId":"a","ticketId":7}"#,
                "7",
                "ticket",
            ),
            (
                "com.x.v1.Changed",
                r#"{"ticket_id":"t","id":""}"#,
                "t",
                "ticket",
            ),
            (
                "Changed",
                r#"{"entityType":"seat","rowId":"r","seatId":"s"}"#,
                "s",
                "seat",
            ),
            (
                "Changed",
                r#"{"entityType":"seat","entityId":"s","rowId":"r"}"#,
                "s",
                "seat",
            ),
            ("Changed", r#"{"a":1,"event":{"id":"e"}}"#, "e", "event"),
        ] {
            let expected = (Some(id.to_owned()), Some(entity_type.to_owned()));
            assert_eq!(found(topic, payload), expected, "{payload}");
        }
        let own = r#"{"ownerId":"o","id":"i"}"#;
        assert_eq!(found("Changed", own), (Some("i".to_owned()), None));
        for none in [r#"{"appId":"a","instanceId":"i"}"#, r#"{"Id":"x"}"#, "[]"] {
            assert_eq!(found("Changed", none), (None, None), "{none}");
        }
    }

    #[test]
    fn id_of_a_domain_event_is_not_used_as_the_entity_id() {
        let payload = r#"{"id":"e","entityFqdn":"wix.x.v1.seat","slug":"sold","seatId":"s"}"#;
        let expected = (None, Some("wix.x.v1.seat".to_owned()));
        assert_eq!(found("wix.x.v1.seat_sold", payload), expected);
    }

    #[test]
    fn time_is_read_from_a_text_or_a_number() {
        let read = |payload: &str| {
            let document = parse(payload).expect("the text should be JSON");
            time(Node::root(&document)).map(|time| time.to_string())
        };
        let expected = Some("2026-05-04T10:00:00Z".to_owned());
        for payload in [
            r#"{"timestamp":"2026-05-04T10:00:00Z"}"#,
            r#"{"timestamp":1777888800}"#,
            r#"{"timestamp":1777888800000}"#,
            r#"{"timestamp":"1777888800000","createdDate":"2020-01-01T00:00:00Z"}"#,
            r#"{"timestamp":"soon","eventTime":null,"createdDate":"2026-05-04T12:00:00+02:00"}"#,
        ] {
            assert_eq!(read(payload), expected, "{payload}");
        }
        for payload in [r#"{"timestamp":0}"#, r#"{"timestamp":-5}"#, "{}"] {
            assert_eq!(read(payload), None, "{payload}");
        }
    }
}
