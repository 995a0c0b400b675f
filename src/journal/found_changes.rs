//! Stores the changes that were found by reading a store, and how far the store has been read.
//!
//! A page of found changes and the position of the read are stored in one commit. So a read continues after a crash with
//! the page that was not stored, and a change is never stored twice.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};
use serde::Serialize;

use super::append::open_entry;
use super::completions;
use super::entry::EntryKind;
use super::keys;
use super::usage::{self, entry_bytes};
use crate::delivery::{ConnectionId, DeliveryKey, Enriched, Enrichment};

/// How a store's entity differs from its last known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// The entity was never seen.
    Missing,
    /// The entity is newer than its known state.
    Late,
    /// The store deleted the entity.
    Deleted,
    /// The store's row cannot be read.
    Unreadable,
}

impl Gap {
    const ALL: [Gap; 4] = [Gap::Missing, Gap::Late, Gap::Deleted, Gap::Unreadable];

    /// The gap with a name that [`Gap::as_str`] returns.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gap| gap.as_str() == name)
    }

    /// The name in reports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Gap::Missing => "missing",
            Gap::Late => "late",
            Gap::Deleted => "deleted",
            Gap::Unreadable => "unreadable",
        }
    }
}

/// The gap of a change that no webhook should have reported.
pub(super) const POLLED: &str = "polled";
/// A gap is reported for this time.
const REPORTED_FOR: SignedDuration = SignedDuration::from_hours(24 * 400);
/// A polled change is remembered for this time. By then the state of its entity is known.
const POLLED_FOR: SignedDuration = SignedDuration::from_hours(48);

/// A change that was found by reading a store.
#[derive(Clone, Debug)]
pub struct FoundChange {
    /// The name of the entity.
    pub entity: String,
    /// The entity's id at the platform.
    pub id: String,
    pub gap: Gap,
    /// The topic of the webhook that the store failed to send.
    pub topic: String,
    pub body: Vec<u8>,
    /// The response that completes a thin webhook, if the list had it.
    pub details: Option<Vec<u8>>,
    /// The known state before the change, and the content and time after it. The same change is stored once.
    pub version: Vec<u8>,
}

/// How far an entity of a store has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreRead {
    /// The name of the entity.
    pub entity: String,
    /// Changes up to this time have been read.
    pub watermark: Timestamp,
    /// The end of the window of an unfinished read.
    pub until: Option<Timestamp>,
    /// Where the next page of an unfinished read begins.
    pub cursor: Option<String>,
    /// When a read was last finished.
    pub finished_at: Option<Timestamp>,
    /// Reason code of the last failure, if the last read failed.
    pub failure: Option<String>,
}

/// A page of found changes with the position of the read after it.
#[derive(Clone, Debug)]
pub struct FoundPage {
    pub platform: String,
    pub connection: ConnectionId,
    /// [`EntryKind::Found`] for changes that the store should have reported, else [`EntryKind::Polled`].
    pub kind: EntryKind,
    pub changes: Vec<FoundChange>,
    /// `None` for a read whose progress is not stored.
    pub read: Option<StoreRead>,
}

/// Stores a page. `None` if the connection does not exist any more.
pub(super) fn store_page(
    transaction: &Transaction<'_>,
    page: &FoundPage,
    now: Timestamp,
) -> rusqlite::Result<Option<usize>> {
    let exists: bool = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM connections WHERE id = ?1)")?
        .query_row([page.connection.as_str()], |row| row.get(0))?;
    if !exists {
        return Ok(None);
    }
    let mut added = 0;
    for change in &page.changes {
        added += usize::from(store_change(transaction, page, change, now)?);
    }
    if added > 0 {
        forget_old(transaction, &page.connection, now)?;
    }
    let Some(read) = &page.read else {
        return Ok(Some(added));
    };
    let StoreRead {
        entity,
        watermark,
        until,
        cursor,
        finished_at,
        failure,
    } = read;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO store_reads (connection, entity, watermark, until, cursor, finished_at, failure)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            page.connection.as_str(),
            entity,
            watermark.as_millisecond(),
            until.map(Timestamp::as_millisecond),
            cursor,
            finished_at.map(Timestamp::as_millisecond),
            failure,
        ])?;
    Ok(Some(added))
}

/// Removes the changes that are neither reported nor compared any more.
fn forget_old(
    transaction: &Transaction<'_>,
    connection: &ConnectionId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let connection = connection.as_str();
    let before = |age: SignedDuration| (now - age).as_millisecond();
    transaction
        .prepare_cached("DELETE FROM found_changes WHERE connection = ?1 AND found_at < ?2")?
        .execute(params![connection, before(REPORTED_FOR)])?;
    transaction
        .prepare_cached(
            "DELETE FROM found_changes WHERE connection = ?1 AND found_at < ?2 AND gap = ?3",
        )?
        .execute(params![connection, before(POLLED_FOR), POLLED])?;
    Ok(())
}

/// Stores a found change as a delivery. `false` if it was stored before.
fn store_change(
    transaction: &Transaction<'_>,
    page: &FoundPage,
    change: &FoundChange,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let connection = page.connection.as_str();
    let key = DeliveryKey::of(&[
        b"found",
        connection.as_bytes(),
        change.entity.as_bytes(),
        change.id.as_bytes(),
        change.topic.as_bytes(),
        &change.version,
    ]);
    let gap = if page.kind == EntryKind::Found {
        change.gap.as_str()
    } else {
        POLLED
    };
    let is_new = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO found_changes (key, connection, entity, id, gap, found_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            key.as_bytes(),
            connection,
            change.entity,
            change.id,
            gap,
            now.as_millisecond()
        ])?;
    if is_new == 0 {
        return Ok(false);
    }
    // The same change can be found again when it is not known any more, while its first delivery is still stored.
    let found_at = now.as_nanosecond().to_be_bytes();
    let delivery = DeliveryKey::of(&[b"found at", key.as_bytes(), &found_at]);
    store_delivery(transaction, (page, change, &delivery), now)?;
    Ok(true)
}

fn store_delivery(
    transaction: &Transaction<'_>,
    (page, change, key): (&FoundPage, &FoundChange, &DeliveryKey),
    now: Timestamp,
) -> rusqlite::Result<()> {
    let connection = page.connection.as_str();
    transaction
        .prepare_cached(
            "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, '[]', ?7)",
        )?
        .execute(params![
            key.as_bytes(),
            page.kind.code(),
            page.platform,
            connection,
            change.topic,
            now.as_millisecond(),
            change.body,
        ])?;
    let position = transaction.last_insert_rowid();
    keys::index_directly(transaction, *key, position)?;
    let usage = usage::of(transaction, connection)?;
    open_entry(
        transaction,
        position,
        usage.id,
        entry_bytes(change.body.len(), 0),
    )?;
    if let Some(details) = &change.details {
        let enriched = Enriched {
            enrichment: Enrichment::Complete(details.clone().into()),
            fetched_at: now,
        };
        completions::store(transaction, &[position], &enriched)?;
    }
    Ok(())
}

/// Removes what was stored about the reads of a removed connection.
pub(super) fn remove(transaction: &Transaction<'_>, id: &ConnectionId) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM store_reads WHERE connection = ?1",
        [id.as_str()],
    )?;
    transaction.execute(
        "DELETE FROM found_changes WHERE connection = ?1",
        [id.as_str()],
    )?;
    Ok(())
}
