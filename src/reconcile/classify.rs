//! Compares a row of a store with the last known state of its entity. Pure.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use serde_json::Value;

use crate::delivery::{ConnectionId, DeliveryKey, Enriched, Enrichment, JournaledDelivery};
use crate::entities::{EntityForm, EntityKey, EntityState, EntityVersion};
use crate::event::Authority;
use crate::journal::entry::{Entry, EntryKind, Position};
use crate::journal::{FoundChange, Gap};
use crate::platforms::api::{ChangeKind, StoreRow};
use crate::platforms::{Content, ContentDigest, Normalized, StoreApi};

const SECONDS_PER_DAY: i64 = 86_400;

/// A row in the form of the delivery that would have reported it.
pub(super) struct ReadEntity {
    pub(super) key: EntityKey,
    row: StoreRow,
    form: EntityForm,
    content: Content,
    /// `false` if the list leaves out a part of the entity. The relay then fetches the whole entity, as for a thin webhook.
    is_whole: bool,
}

impl ReadEntity {
    pub(super) fn updated_at(&self) -> Option<Timestamp> {
        self.form.updated_at()
    }

    /// Whether the entity was created, and changed, after a time.
    fn is_after(&self, after: Timestamp) -> [bool; 2] {
        let times = [self.form.created_at(), self.form.updated_at()];
        times.map(|time| time.is_some_and(|time| time > after))
    }

    /// `false` if the store does not say when the entity was created or changed.
    fn has_time(&self) -> bool {
        self.form.created_at().is_some() || self.form.updated_at().is_some()
    }

    /// `true` if the store changed the row after the known state.
    pub(super) fn is_newer_than(&self, known: &EntityState) -> bool {
        let known = known.version.updated_at;
        known.is_some() && self.updated_at() > known
    }
}

/// Where a row comes from.
#[derive(Clone, Copy)]
pub(super) struct RowSource<'a> {
    pub(super) api: &'a dyn StoreApi,
    pub(super) connection: &'a ConnectionId,
    /// The name of the entity that was read.
    pub(super) entity: &'static str,
    pub(super) read_at: Timestamp,
    /// `true` if the store sends no webhooks.
    pub(super) is_polled: bool,
}

impl RowSource<'_> {
    /// Reads a row. The error is the change to store for a row that cannot be read.
    pub(super) fn read(self, row: StoreRow) -> Result<ReadEntity, Box<FoundChange>> {
        let topic = self.api.topic_of_change(row.resource, ChangeKind::Updated);
        let delivery = self.delivery(&row, topic.clone());
        // A panic of the normalizer must not end the read.
        let normalized = catch_unwind(AssertUnwindSafe(|| self.api.normalize(&delivery)));
        let found = match normalized {
            Ok(Normalized::Events {
                normalized_events,
                content,
                ..
            }) => normalized_events.into_iter().next().zip(content),
            Ok(Normalized::Ignored { .. } | Normalized::Unreadable { .. }) | Err(_) => None,
        };
        let entity = found.and_then(|(event, content)| {
            let key = EntityKey::of(self.connection, &event)?;
            Some((key, event, content))
        });
        match entity {
            Some((key, event, content)) => Ok(ReadEntity {
                key,
                row,
                form: EntityForm::of(&event.entity),
                content,
                is_whole: event.authority == Authority::Full,
            }),
            None => Err(Box::new(FoundChange {
                entity: self.entity.to_owned(),
                id: String::new(),
                gap: Gap::Unreadable,
                topic,
                version: [
                    row.body.as_slice(),
                    row.details.as_deref().unwrap_or_default(),
                ]
                .concat(),
                body: row.body,
                details: row.details,
            })),
        }
    }

    /// A row as the webhook that would have reported it.
    fn delivery(self, row: &StoreRow, topic: String) -> JournaledDelivery {
        let enriched = row.details.as_ref().map(|details| Enriched {
            enrichment: Enrichment::Complete(details.clone().into()),
            fetched_at: self.read_at,
        });
        JournaledDelivery {
            platform: self.api.name().to_owned(),
            endpoint: self.connection.clone(),
            connection: self.connection.clone(),
            topic,
            received_at: self.read_at,
            headers: Vec::new(),
            body: row.body.clone().into(),
            enriched,
        }
    }

    /// The entry of an entity of the past, for the events of an exchange; `None` if the entity is older than the past that
    /// begins at `after`. The same content has the same event ids each time.
    pub(super) fn past_entry(
        self,
        read: ReadEntity,
        after: Timestamp,
        (exchange, newest): (&str, Position),
    ) -> Option<Entry> {
        if !self.is_past(&read, after) {
            return None;
        }
        let [is_new, _] = read.is_after(after);
        let change = if is_new {
            ChangeKind::Created
        } else {
            ChangeKind::Updated
        };
        let topic = self.api.topic_of_change(read.row.resource, change);
        Some(Entry {
            position: newest,
            key: DeliveryKey::of(&[
                b"backfill",
                exchange.as_bytes(),
                self.connection.as_str().as_bytes(),
                read.key.entity.as_bytes(),
                read.key.id.as_bytes(),
                topic.as_bytes(),
                &identity(None, &read.content.digest, read.updated_at()),
            ]),
            kind: EntryKind::Polled,
            redriven: false,
            attempts: 0,
            delivery: self.delivery(&read.row, topic),
            record: None,
        })
    }

    /// `true` if the entity belongs to the past that begins at `after`.
    pub(super) fn is_past(self, read: &ReadEntity, after: Timestamp) -> bool {
        let [is_new, is_changed] = read.is_after(after);
        is_new || is_changed || !read.has_time()
    }

    /// The change that the store failed to report; `None` if the known state is as new. `after` is the begin of the window.
    pub(super) fn change(
        self,
        read: ReadEntity,
        known: Option<&EntityState>,
        after: Timestamp,
    ) -> Option<FoundChange> {
        let version = EntityVersion {
            sequence: None,
            updated_at: read.updated_at(),
        };
        let (gap, change) = match known {
            None if read.row.is_in_trash => return None,
            None => {
                let [is_new, is_changed] = read.is_after(after);
                // A list without a window has entities from before the store was connected. Without a time, their age is
                // unknown: a polled store has no other report of them.
                let is_news = is_new || is_changed || (!read.has_time() && self.is_polled);
                if !is_news {
                    return None;
                }
                let change = if is_new {
                    ChangeKind::Created
                } else {
                    ChangeKind::Updated
                };
                (Gap::Missing, change)
            }
            Some(known) if read.row.is_in_trash => {
                if known.is_deleted {
                    return None;
                }
                return Some(self.deletion(&read.key, known));
            }
            Some(known) if known.is_deleted => {
                let is_newer = version.compare(&known.version) == Some(Ordering::Greater);
                is_newer.then_some((Gap::Late, ChangeKind::Restored))?
            }
            Some(known) => {
                let age = version.compare(&known.version);
                let content = read.content.digest;
                let is_part = read.row.whole.is_some();
                let is_same = known.content == content
                    || read.form.is_same(&known.form)
                    || is_part && read.form.is_part_of(&known.form);
                // A part of an entity differs from the whole also if nothing changed.
                let is_not_newer = !read.is_whole && age != Some(Ordering::Greater);
                if is_same || is_not_newer || age == Some(Ordering::Less) {
                    return None;
                }
                (Gap::Late, ChangeKind::Updated)
            }
        };
        Some(FoundChange {
            entity: read.key.entity.to_owned(),
            id: read.key.id,
            gap,
            topic: self.api.topic_of_change(read.row.resource, change),
            version: identity(known, &read.content.digest, version.updated_at),
            body: read.row.body,
            details: read.row.details,
        })
    }

    /// A deletion in the form in which the platform reports it. The relay confirms it at the store. If the store denies it there,
    /// the same deletion can be found again on another day.
    pub(super) fn deletion(self, key: &EntityKey, known: &EntityState) -> FoundChange {
        FoundChange {
            entity: key.entity.to_owned(),
            id: key.id.clone(),
            gap: Gap::Deleted,
            topic: self.api.topic_of_change(self.entity, ChangeKind::Deleted),
            body: format!(r#"{{"id":{}}}"#, id_json(&key.id)).into_bytes(),
            details: None,
            version: [
                identity(Some(known), &known.content, known.version.updated_at),
                (self.read_at.as_second() / SECONDS_PER_DAY)
                    .to_be_bytes()
                    .to_vec(),
            ]
            .concat(),
        }
    }
}

/// An id as JSON: a number if it consists of digits, else a text.
fn id_json(id: &str) -> String {
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        id.to_owned()
    } else {
        Value::from(id).to_string()
    }
}

/// Identifies a change: the known state before it, and the content and time after it. So the same change of a store is found
/// once while its delivery is pending, and again if the store returns to an earlier content.
fn identity(
    known: Option<&EntityState>,
    content: &ContentDigest,
    updated_at: Option<Timestamp>,
) -> Vec<u8> {
    let mut identity = content.as_bytes().to_vec();
    let revision = known.map_or(0, |known| known.revision);
    identity.extend(revision.to_be_bytes());
    let milliseconds = updated_at.map(Timestamp::as_millisecond);
    identity.extend(milliseconds.unwrap_or_default().to_be_bytes());
    identity
}
