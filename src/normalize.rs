//! Makes the events of a journal entry. Pure, so that the relay, the admin API and the commands all show the same event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::delivery::{Enriched, Enrichment, Reason, ReasonCode};
use crate::event::data::ConnectionHealth;
use crate::event::{
    Authority, Difference, Entity, Event, NormalizedEvent, Sequence, fit, limit_copies,
};
use crate::journal::entry::{Entry, EntryKind, Position};
use crate::journal::{LogPage, LogRow};
use crate::platforms::{ConnectionSignal, Content, Normalized, platform};

/// The result of normalizing an entry.
pub enum Assembled {
    Events {
        /// The events, in order.
        events: Vec<Event>,
        /// A change of the connection that the entry reports.
        signal: Option<ConnectionSignal>,
        /// The content, to be compared with the known state. `None` for events without an entity of the store, and for
        /// events that were compared before.
        content: Option<Content>,
    },
    /// No event, by design; with a reason code.
    Ignored(Reason),
    /// The entry cannot be read; with a reason code.
    Unreadable(ReasonCode),
}

/// Makes an entry's events.
#[must_use]
pub fn assemble(entry: &Entry) -> Assembled {
    match entry
        .delivery
        .enriched
        .as_ref()
        .map(|enriched| &enriched.enrichment)
    {
        Some(Enrichment::Contradicted(reason)) => return Assembled::Ignored(reason.clone()),
        Some(Enrichment::NotFound) => return Assembled::Ignored(ReasonCode::NotThere.into()),
        Some(Enrichment::Complete(_) | Enrichment::Unavailable(_)) | None => {}
    }
    match normalized(entry) {
        Normalized::Ignored { reason } => Assembled::Ignored(reason.into()),
        Normalized::Unreadable { reason } => Assembled::Unreadable(reason),
        Normalized::Events {
            normalized_events, ..
        } if normalized_events.len() > usize::from(u16::MAX) => {
            Assembled::Unreadable(ReasonCode::TooManyEvents)
        }
        Normalized::Events {
            normalized_events,
            raw,
            signal,
            content,
        } => {
            let raw: Arc<RawValue> = raw.into();
            let mut events: Vec<Event> = (0..=u16::MAX)
                .zip(normalized_events)
                .map(|(index, normalized)| event(entry, index, normalized, Arc::clone(&raw)))
                .collect();
            limit_copies(&mut events);
            match &entry.record {
                None => Assembled::Events {
                    events,
                    signal,
                    content,
                },
                Some(record) => Assembled::Events {
                    events: record.apply(events, entry.position),
                    signal,
                    content: None,
                },
            }
        }
    }
}

fn normalized(entry: &Entry) -> Normalized {
    match entry.kind {
        EntryKind::Announcement => announcement(entry),
        EntryKind::Delivery | EntryKind::Found | EntryKind::Polled => {
            let Some(platform) = platform(&entry.delivery.platform) else {
                return Normalized::Unreadable {
                    reason: ReasonCode::UnknownPlatform,
                };
            };
            // A panic of the normalizer must not end the relay.
            let result = catch_unwind(AssertUnwindSafe(|| platform.normalize(&entry.delivery)));
            result.unwrap_or(Normalized::Unreadable {
                reason: ReasonCode::NormalizerFailed,
            })
        }
    }
}

/// Makes an entry's events as they are published: none is larger than `limit` bytes of JSON.
#[must_use]
pub fn assemble_within(entry: &Entry, limit: usize) -> Assembled {
    let mut assembled = assemble(entry);
    if let Assembled::Events { events, .. } = &mut assembled
        && let Some(error) = events.iter_mut().find_map(|event| fit(event, limit).err())
    {
        tracing::warn!(delivery = %entry.key, %error, "event too large to be published");
        return Assembled::Unreadable(ReasonCode::EventTooLarge);
    }
    assembled
}

/// A published event, rebuilt from its row in the event log.
fn as_published(mut event: Event, omits_raw: bool) -> Event {
    event.omits_raw |= omits_raw;
    event
}

/// The events of a page of the log, with their cursors. A delivery with several events is normalized once. Only the events of
/// one delivery are in memory at a time.
pub fn assemble_page(page: &LogPage) -> impl Iterator<Item = (Position, Event)> {
    let mut assembled: Option<(Position, Vec<Event>)> = None;
    page.rows.iter().filter_map(move |row| {
        let position = row.entry.position;
        if assembled.as_ref().is_none_or(|(last, _)| *last != position) {
            // The events of the delivery before are dropped first.
            assembled = None;
            let all = match assemble(&row.entry) {
                Assembled::Events { events, .. } => events,
                Assembled::Ignored(_) | Assembled::Unreadable(_) => Vec::new(),
            };
            assembled = Some((position, all));
        }
        let (_, all) = assembled.as_ref()?;
        let event = all.iter().find(|event| event.id.index == row.index)?;
        Some((row.cursor, as_published(event.clone(), row.omits_raw)))
    })
}

/// The event of an entry at an index, if it exists.
#[must_use]
pub fn assemble_one(entry: &Entry, index: u16) -> Option<Event> {
    match assemble(entry) {
        Assembled::Events { events, .. } => {
            events.into_iter().find(|event| event.id.index == index)
        }
        Assembled::Ignored(_) | Assembled::Unreadable(_) => None,
    }
}

/// The event of a row of the log as it was published, if it exists.
#[must_use]
pub fn assemble_row(row: &LogRow) -> Option<Event> {
    assemble_one(&row.entry, row.index).map(|event| as_published(event, row.omits_raw))
}

fn event(entry: &Entry, index: u16, normalized: NormalizedEvent, raw: Arc<RawValue>) -> Event {
    Event {
        id: entry.event_id(index),
        platform: entry.delivery.platform.clone(),
        connection: entry.delivery.connection.clone(),
        sequence: Sequence::new(entry.position, index),
        time: normalized.time.unwrap_or(entry.delivery.received_at),
        origin: entry.origin(),
        enriched: enriched(entry, &normalized),
        difference: Difference::default(),
        normalized,
        raw,
        omits_raw: false,
    }
}

/// The result of the enrichment, for the events that it is about.
fn enriched(entry: &Entry, normalized: &NormalizedEvent) -> Option<Enriched> {
    let enriched = entry.delivery.enriched.as_ref()?;
    let is_concerned = match &enriched.enrichment {
        Enrichment::Complete(_) => normalized.authority == Authority::Full,
        Enrichment::Unavailable(_) => normalized.authority != Authority::Full,
        Enrichment::Contradicted(_) | Enrichment::NotFound => false,
    };
    is_concerned.then(|| enriched.clone())
}

/// An announcement. `journal::transition` wrote the body.
fn announcement(entry: &Entry) -> Normalized {
    let unreadable = Normalized::Unreadable {
        reason: ReasonCode::AnnouncementUnreadable,
    };
    let delivery = &entry.delivery;
    let Ok(text) = std::str::from_utf8(&delivery.body) else {
        return unreadable;
    };
    let (Ok(raw), Ok(body)) = (
        RawValue::from_string(text.to_owned()),
        serde_json::from_str::<Value>(text),
    ) else {
        return unreadable;
    };
    let Some(verb) = delivery.topic.strip_prefix("connection.") else {
        return unreadable;
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let health = ConnectionHealth {
        id: delivery.connection.to_string(),
        status: text("status"),
        reason: text("reason"),
        parent_id: text("parent_id"),
        settings: body
            .get("settings")
            .and_then(|settings| serde_json::from_value(settings.clone()).ok()),
    };
    let normalized = NormalizedEvent {
        verb: verb.to_owned(),
        id: delivery.connection.to_string(),
        time: None,
        authority: Authority::Full,
        entity: Entity::Connection(Box::new(health)),
        changed: None,
        anonymized: false,
    };
    Normalized::Events {
        normalized_events: vec![normalized],
        raw,
        signal: None,
        content: None,
    }
}
