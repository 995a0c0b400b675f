//! Writes the last known states of entities: one row per entity of a connection.
//!
//! A state is written in the transaction that settles its delivery. Retention does not remove states.
//!
//! ```text
//! row                    the cursor of lists
//! connection, entity, id unique
//! form                   the normalized entity, JSON
//! content                the digest of the store's payload
//! sequence, updated_at   the version, by the store's own counter and clock
//! is_deleted, is_whole
//! verbs                  the published verbs that still describe the state
//! status, is_low         for lists: the order's or product's status; the stock is low or out
//! position, seen_at      the newest delivery, and when it was settled
//! ```

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::entry::Position;
use crate::delivery::ConnectionId;
use crate::entities::NewState;

/// Writes a state, unless its connection was removed.
pub(super) fn write(
    transaction: &Transaction<'_>,
    new: &NewState,
    position: Position,
) -> rusqlite::Result<()> {
    let NewState { key, state } = new;
    let verbs: Vec<&str> = state.published_verbs.iter().map(String::as_str).collect();
    transaction
        .prepare_cached(
            "INSERT INTO entities (connection, entity, id, form, content, sequence, updated_at, is_deleted, is_whole,
                                   verbs, status, is_low, position, seen_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
             WHERE EXISTS (SELECT 1 FROM connections WHERE id = ?1)
             ON CONFLICT (connection, entity, id) DO UPDATE SET form = ?4, content = ?5, sequence = ?6, updated_at = ?7,
                 is_deleted = ?8, is_whole = ?9, verbs = ?10, status = ?11, is_low = ?12, position = ?13, seen_at = ?14",
        )?
        .execute(params![
            key.connection.as_str(),
            key.entity,
            key.id,
            state.form,
            state.content.as_bytes(),
            state.version.sequence.map(u64::cast_signed),
            state.version.updated_at.map(Timestamp::as_millisecond),
            state.is_deleted,
            state.is_whole,
            verbs.join(" "),
            state.status,
            state.is_low,
            position,
            Timestamp::now().as_millisecond(),
        ])?;
    Ok(())
}

/// Removes the states of a removed connection.
pub(super) fn remove(transaction: &Transaction<'_>, id: &ConnectionId) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM entities WHERE connection = ?1")?
        .execute([id.as_str()])?;
    Ok(())
}
