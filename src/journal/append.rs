//! Appends a delivery within the writer's transaction: finds duplicates, reserves space, writes the rows.

use rusqlite::{Transaction, params};

use super::entry::{DeliveryState, EntryKind, Position};
use super::error::{Appended, JournalError};
use super::health::Unwritable;
use super::keys::KeyIndex;
use super::usage::{self, SPACE_FACTOR, entry_bytes};

use crate::delivery::DeliveryKey;
use crate::platforms::{DeliveryParts, VerifiedDelivery};

/// The space that new deliveries may use in one commit.
pub(super) struct FreeSpace {
    pub(super) bytes: u64,
    /// The reason if no delivery may be added.
    pub(super) unwritable: Option<Unwritable>,
    /// Bytes of the largest delivery that was refused because its connection stores too much.
    pub(super) refused: u64,
}

impl FreeSpace {
    /// Reserves the space for a delivery of a connection that stores `kept` bytes.
    ///
    /// # Errors
    /// [`JournalError::Refused`] or [`JournalError::ShareUsed`].
    fn take(&mut self, kept: u64, bytes: u64) -> Result<(), JournalError> {
        if let Some(unwritable) = &self.unwritable {
            return Err(JournalError::Refused(unwritable.clone()));
        }
        // A delivery is written twice: to the write-ahead log and to the data file.
        let free = self.bytes.saturating_sub(2 * bytes);
        if kept.saturating_add(bytes) > free.saturating_mul(SPACE_FACTOR) {
            self.refused = self.refused.max(bytes);
            return Err(JournalError::ShareUsed {
                kept,
                free: self.bytes,
            });
        }
        self.bytes = free;
        Ok(())
    }
}

/// Appends a delivery, or finds the delivery that it duplicates. The inner error refuses only this delivery.
pub(super) fn append(
    transaction: &Transaction<'_>,
    keys: &mut KeyIndex,
    free: &mut FreeSpace,
    delivery: &VerifiedDelivery,
) -> rusqlite::Result<Result<Appended, JournalError>> {
    let parts = delivery.parts();
    let key = parts.key;
    if let Some(position) = keys.find(transaction, key)? {
        transaction
            .prepare_cached("UPDATE entries SET duplicates = duplicates + 1 WHERE position = ?1")?
            .execute([position])?;
        return Ok(Ok(Appended::Duplicate(key)));
    }
    let headers = serde_json::to_string(&parts.headers).unwrap_or_else(|_| "[]".to_owned());
    let bytes = entry_bytes(parts.body.len(), headers.len());
    let usage = usage::of(transaction, parts.connection.as_str())?;
    if let Err(refused) = free.take(usage.bytes, bytes) {
        return Ok(Err(refused));
    }
    insert(transaction, key, parts, &headers)?;
    let position = transaction.last_insert_rowid();
    keys.add(key, position);
    open_entry(transaction, position, usage.id, bytes)?;
    Ok(Ok(Appended::New(key)))
}

/// Writes a delivery under a key.
fn insert(
    transaction: &Transaction<'_>,
    key: DeliveryKey,
    parts: &DeliveryParts,
    headers: &str,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            key.as_bytes(),
            EntryKind::Delivery.code(),
            parts.platform,
            parts.endpoint.as_str(),
            parts.connection.as_str(),
            parts.topic,
            parts.received_at.as_millisecond(),
            headers,
            &parts.body[..],
        ])?;
    Ok(())
}

/// Writes the pending entry of a delivery that was just written.
pub(super) fn open_entry(
    transaction: &Transaction<'_>,
    position: Position,
    usage: i64,
    bytes: u64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO entries (position, state, usage, bytes) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            position,
            DeliveryState::Pending.code(),
            usage,
            bytes as i64
        ])?;
    Ok(())
}
