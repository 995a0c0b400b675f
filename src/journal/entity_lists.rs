//! Lists the known entities, and shows one with its newest events.
//!
//! `entity_states` has the table.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::entry_row::record;
use super::reader::Reader;
use crate::database::rows::{instant, unreadable};
use crate::delivery::DeliveryKey;
use crate::entities::EntityKey;
use crate::event::EventId;

impl Reader {
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
