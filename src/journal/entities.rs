//! Reads the last known states of entities: for comparisons, for lists, and with the history of an entity.
//!
//! `entity_states` has the table.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::entry_row::record;
use super::error::JournalError;
use super::handle::Journal;
use super::reader::Reader;
use crate::database::rows::{instant, unreadable};
use crate::delivery::{ConnectionId, DeliveryKey};
use crate::entities::{EntityKey, EntityState, EntityVersion};
use crate::event::EventId;
use crate::platforms::ContentDigest;

const STATE: &str = "form, content, sequence, updated_at, is_deleted, is_whole, verbs, is_low, status, revision, position";

impl Journal {
    /// Reads the states of entities: one result for each key, in the same order. Ends early, but not before the first one,
    /// when the states have more than `max_bytes`.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub(crate) async fn entity_states(
        &self,
        keys: Vec<EntityKey>,
        max_bytes: usize,
    ) -> Result<Vec<Option<EntityState>>, JournalError> {
        self.read(move |reader| {
            let (mut states, mut bytes) = (Vec::with_capacity(keys.len()), 0);
            for key in &keys {
                if bytes > max_bytes {
                    break;
                }
                let state = read(&reader.0, key)?;
                bytes += state.as_ref().map_or(0, |state| state.form.len());
                states.push(state);
            }
            Ok(states)
        })
        .await
    }

    /// Since when states of entities are stored.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub(crate) async fn entity_memory_since(&self) -> Result<Timestamp, JournalError> {
        self.read(|reader| {
            let since = "SELECT since FROM entity_memory";
            instant(reader.0.query_row(since, [], |row| row.get(0))?)
        })
        .await
    }
}

impl Reader {
    /// The numeric ids of the entities in a range that are not deleted, in order. The begin of the range is exclusive.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn known_ids(
        &self,
        connection: &ConnectionId,
        entity: &str,
        range: RangeInclusive<u64>,
        limit: usize,
    ) -> rusqlite::Result<Vec<u64>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM entities WHERE connection = ?1 AND entity = ?2 AND id BETWEEN ?3 AND ?4
               AND length(id) = length(?3) AND is_deleted = 0 AND id NOT GLOB '*[^0-9]*' ORDER BY id LIMIT ?5",
        )?;
        let (after, to) = range.into_inner();
        let mut ids = Vec::new();
        // Ids are texts in the index. Texts of the same number of digits sort as numbers.
        for (first, last) in ranges_by_digits(after.saturating_add(1), to) {
            let limit = i64::try_from(limit.saturating_sub(ids.len())).unwrap_or(i64::MAX);
            let (first, last) = (first.to_string(), last.to_string());
            let found = statement.query_map(
                params![connection.as_str(), entity, first, last, limit],
                |row| row.get::<_, String>(0),
            )?;
            for id in found {
                ids.extend(id?.parse::<u64>().ok());
            }
        }
        Ok(ids)
    }

    /// Lists known entities in the order in which they were first seen.
    ///
    /// # Errors
    /// SQLite's.
    pub fn entities(&self, filter: &EntityFilter) -> rusqlite::Result<EntityPage> {
        list(&self.0, filter)
    }

    /// The last known state of an entity with its newest events.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn entity_history(
        &self,
        key: &EntityKey,
    ) -> rusqlite::Result<Option<EntityHistory>> {
        let sql = format!(
            "SELECT {KNOWN} FROM entities WHERE connection = ?1 AND entity = ?2 AND id = ?3"
        );
        let found = self
            .0
            .prepare_cached(&sql)?
            .query_row(params![key.connection.as_str(), key.entity, key.id], known)
            .optional()?;
        let Some(known) = found else {
            return Ok(None);
        };
        let mut newest = self.0.prepare_cached(
            "SELECT d.key, v.idx, v.type, d.received_at, e.record FROM events v
             JOIN deliveries d ON d.position = v.delivery JOIN entries e ON e.position = v.delivery
             WHERE v.usage = (SELECT id FROM usage WHERE connection = ?1) AND v.subject = ?2
             ORDER BY v.position DESC LIMIT ?3",
        )?;
        let history = newest
            .query_map(
                params![key.connection.as_str(), key.subject(), MAX_HISTORY],
                published,
            )?
            .collect::<Result<_, _>>()?;
        Ok(Some(EntityHistory { known, history }))
    }
}

/// Splits a range into ranges of numbers with the same number of digits.
fn ranges_by_digits(first: u64, last: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut from = first;
    while from <= last {
        let largest = 10_u64
            .checked_pow(from.max(1).ilog10() + 1)
            .map_or(u64::MAX, |next| next - 1);
        let to = largest.min(last);
        ranges.push((from, to));
        if to == u64::MAX {
            break;
        }
        from = to + 1;
    }
    ranges
}

/// Reads the state of an entity.
fn read(sqlite: &Connection, key: &EntityKey) -> rusqlite::Result<Option<EntityState>> {
    let sql =
        format!("SELECT {STATE} FROM entities WHERE connection = ?1 AND entity = ?2 AND id = ?3");
    sqlite
        .prepare_cached(&sql)?
        .query_row(params![key.connection.as_str(), key.entity, key.id], state)
        .optional()
}

fn state(row: &Row<'_>) -> rusqlite::Result<EntityState> {
    let verbs: String = row.get(6)?;
    Ok(EntityState {
        form: row.get_ref(0)?.as_str()?.into(),
        content: ContentDigest::from_bytes(row.get(1)?),
        version: EntityVersion {
            sequence: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            updated_at: time(row, 3)?,
        },
        is_deleted: row.get(4)?,
        is_whole: row.get(5)?,
        is_low: row.get(7)?,
        status: row.get(8)?,
        published_verbs: verbs.split_whitespace().map(str::to_owned).collect(),
        revision: row.get::<_, i64>(9)?.cast_unsigned(),
        position: row.get(10)?,
    })
}

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(index)?.map(instant).transpose()
}

/// Which entities to list. All members narrow the list down.
#[derive(Clone, Debug, Default)]
pub struct EntityFilter {
    pub entity: String,
    pub connection: Option<String>,
    /// The status in the common vocabulary, for example `open`.
    pub status: Option<String>,
    /// Changed at the store at or after this time.
    pub updated_since: Option<Timestamp>,
    /// Only products and stock items whose stock is low or out.
    pub low_stock: bool,
    /// Only those after this row; 0 for the first page.
    pub after: i64,
    pub limit: usize,
}

/// A known entity as lists and the API show it.
#[derive(Clone, Debug, Serialize)]
pub struct KnownEntity {
    /// The cursor of the row: the next page begins after it.
    #[serde(skip)]
    pub row: i64,
    pub connection: String,
    pub entity: String,
    pub id: String,
    /// `true` if the store deleted the entity.
    pub deleted: bool,
    /// `true` if the whole entity is known, not only some members.
    pub whole: bool,
    /// When the store changed it last, if the platform says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// When the newest delivery about it was settled.
    pub seen_at: Timestamp,
    /// The normalized entity.
    pub data: Value,
}

/// The last known state of an entity, and its newest published events, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct EntityHistory {
    #[serde(flatten)]
    known: KnownEntity,
    history: Vec<PublishedEvent>,
}

/// A published event without its data.
#[derive(Debug, Serialize)]
struct PublishedEvent {
    id: EventId,
    #[serde(rename = "type")]
    event_type: String,
    /// When its delivery was received.
    received_at: Timestamp,
    /// The members that differed from the state before, as JSON pointers.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
}

fn published(row: &Row<'_>) -> rusqlite::Result<PublishedEvent> {
    let index = row.get(1)?;
    let record = record(row, 4)?;
    Ok(PublishedEvent {
        id: EventId {
            delivery: DeliveryKey::from_bytes(row.get(0)?),
            index,
        },
        event_type: row.get(2)?,
        received_at: instant(row.get(3)?)?,
        changed: record.and_then(|record| record.changed(index)),
    })
}

/// Maximum number of events in a history.
const MAX_HISTORY: i64 = 100;

/// A page of known entities.
#[derive(Debug, Default)]
pub struct EntityPage {
    pub entities: Vec<KnownEntity>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<i64>,
}

/// Maximum number of rows that one page compares with the filter, so that a filter that fits few rows does not read the whole table.
const MAX_SCANNED: usize = 20_000;

const KNOWN: &str =
    "row, connection, entity, id, is_deleted, is_whole, updated_at, seen_at, form, status, is_low";

fn list(sqlite: &Connection, filter: &EntityFilter) -> rusqlite::Result<EntityPage> {
    let scope = match filter.connection {
        Some(_) => "connection = ?1 AND entity = ?2",
        None => "(?1 IS NULL) AND entity = ?2",
    };
    let sql = format!("SELECT {KNOWN} FROM entities WHERE {scope} AND row > ?3 ORDER BY row");
    let mut statement = sqlite.prepare_cached(&sql)?;
    let mut rows = statement.query(params![filter.connection, filter.entity, filter.after])?;
    let mut page = EntityPage::default();
    let mut scanned = 0;
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        if page.entities.len() == filter.limit || scanned == MAX_SCANNED {
            break;
        }
        scanned += 1;
        page.next = Some(number);
        if fits(row, filter)? {
            page.entities.push(known(row)?);
        }
    }
    if rows.next()?.is_none() && page.entities.len() < filter.limit && scanned < MAX_SCANNED {
        page.next = None;
    }
    Ok(page)
}

fn fits(row: &Row<'_>, filter: &EntityFilter) -> rusqlite::Result<bool> {
    let (status, is_low): (Option<String>, bool) = (row.get("status")?, row.get("is_low")?);
    let updated_at: Option<i64> = row.get("updated_at")?;
    let is_new = filter.updated_since.is_none_or(|since| {
        updated_at.is_some_and(|updated_at| updated_at >= since.as_millisecond())
    });
    let has_status = filter.status.is_none() || filter.status == status;
    Ok(is_new && has_status && (is_low || !filter.low_stock))
}

fn known(row: &Row<'_>) -> rusqlite::Result<KnownEntity> {
    let form = row.get_ref("form")?.as_str()?;
    let updated_at = row.get::<_, Option<i64>>("updated_at")?;
    Ok(KnownEntity {
        row: row.get("row")?,
        connection: row.get("connection")?,
        entity: row.get("entity")?,
        id: row.get("id")?,
        deleted: row.get("is_deleted")?,
        whole: row.get("is_whole")?,
        updated_at: updated_at.map(instant).transpose()?,
        seen_at: instant(row.get("seen_at")?)?,
        data: serde_json::from_str(form).map_err(unreadable)?,
    })
}

#[cfg(test)]
mod tests {
    use super::ranges_by_digits;

    #[test]
    fn range_is_split_where_the_number_of_digits_changes() {
        assert_eq!(ranges_by_digits(1, 9), [(1, 9)]);
        assert_eq!(ranges_by_digits(8, 120), [(8, 9), (10, 99), (100, 120)]);
        assert_eq!(ranges_by_digits(5, 4), []);
        let all = ranges_by_digits(1, u64::MAX);
        assert_eq!(all.len(), 20);
        assert_eq!(all.last(), Some(&(10_u64.pow(19), u64::MAX)));
    }
}
