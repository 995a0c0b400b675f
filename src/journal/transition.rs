//! Writes a transition of a connection and its announcement in one transaction.
//!
//! `connections::lifecycle` decides the transitions. The announcement is an entry of its own: its body has the
//! `connection` shape, its topic is the event type.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::append::open_entry;
use super::connection_change::Changed;
use super::entry::EntryKind;
use super::keys;
use super::usage::{self, entry_bytes};
use crate::connections::lifecycle::{Announcement, LifecycleEvent, Transition, transition};
use crate::connections::store;
use crate::connections::{Connection, SealedSecret};
use crate::delivery::{ConnectionId, DeliveryKey};

/// A connection to add.
#[derive(Clone, Copy)]
pub(super) struct NewConnection<'a> {
    pub(super) connection: &'a Connection,
    pub(super) secrets: &'a [SealedSecret],
}

/// Adds a connection in the state that the event gives it, and announces it if the transition says so.
pub(super) fn add(
    transaction: &Transaction<'_>,
    new: NewConnection<'_>,
    event: LifecycleEvent,
    now: Timestamp,
) -> rusqlite::Result<Changed> {
    let Some(transition) = transition(None, event) else {
        return Ok(Changed::No);
    };
    let connection = new.connection.in_condition(transition.state.condition);
    if !store::add(transaction, &connection, new.secrets)? {
        return Ok(Changed::Taken);
    }
    announce_transition(transaction, &connection, transition, now)?;
    Ok(Changed::Yes)
}

/// Applies an event to the state of a connection.
pub(super) fn change_state(
    transaction: &Transaction<'_>,
    id: &ConnectionId,
    event: LifecycleEvent,
    now: Timestamp,
) -> rusqlite::Result<Changed> {
    let Some(connection) = store::get(transaction, id)? else {
        return Ok(Changed::NoSuchConnection);
    };
    let Some(transition) = transition(Some(connection.state()), event) else {
        return Ok(Changed::No);
    };
    store::set_state(transaction, id, transition.state, now)?;
    announce_transition(transaction, &connection, transition, now)?;
    Ok(Changed::Yes)
}

pub(super) fn announce_transition(
    transaction: &Transaction<'_>,
    connection: &Connection,
    transition: Transition<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(announcement) = transition.announcement else {
        return Ok(());
    };
    let connection = connection.in_condition(transition.state.condition);
    announce(transaction, &connection, announcement, now)
}

fn announce(
    transaction: &Transaction<'_>,
    connection: &Connection,
    announcement: Announcement,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let verb = announcement.verb();
    let body = serde_json::to_string(&connection.health()).unwrap_or_default();
    let at = now.as_nanosecond().to_be_bytes();
    let key = DeliveryKey::of(&[
        b"announcement",
        connection.id.as_str().as_bytes(),
        verb.as_bytes(),
        &at,
    ]);
    transaction
        .prepare_cached(
            "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, '[]', ?7)",
        )?
        .execute(params![
            key.as_bytes(),
            EntryKind::Announcement.code(),
            connection.platform,
            connection.id.as_str(),
            format!("connection.{verb}"),
            now.as_millisecond(),
            body.as_bytes(),
        ])?;
    let position = transaction.last_insert_rowid();
    keys::index_directly(transaction, key, position)?;
    let bytes = entry_bytes(body.len(), 0);
    let usage = usage::of(transaction, connection.id.as_str())?;
    open_entry(transaction, position, usage.id, bytes)
}
