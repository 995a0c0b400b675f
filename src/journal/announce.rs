//! Changes of connections, each in one commit with the event that tells consumers of it.
//!
//! The gateway's own entries: their body is the `connection` shape, their topic the event's type. A running `serve` makes
//! them through its writer, the commands directly; either way the relay finds them like any other entry.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection as Sqlite, Transaction, TransactionBehavior, params};

use super::append::open_entry;
use super::entry::{EntryKind, Position};
use super::keys;
use super::tombstones::{self, Tombstone};
use super::usage::{self, entry_bytes};
use crate::connections::lifecycle::{Announcement, LifecycleEvent, Transition, transition};
use crate::connections::signed_change::{SignedChange, SignedOrder};
use crate::connections::store::{self, RotationTimes};
use crate::connections::{Assessment, Connection, INSTALLATION_KIND, SealedSecret};
use crate::delivery::{ConnectionId, DeliveryKey};
use crate::platforms::ConnectionSignal;

/// A change of a connection.
#[derive(Clone, Debug)]
pub enum ConnectionChange {
    /// An operator adds it.
    Add(Connection, Vec<SealedSecret>),
    /// An operator wants its deliveries kept and not published.
    Pause(ConnectionId),
    /// An operator wants them published again.
    Resume(ConnectionId),
    /// An operator gives it a new secret; the one before stays valid for that long.
    Rotate(ConnectionId, SealedSecret, SignedDuration),
    /// An operator removes it, with its installations.
    Remove(ConnectionId),
    /// It was looked at.
    Examined {
        /// The connection.
        id: ConnectionId,
        /// What was learned of it and is no secret.
        settings: BTreeMap<String, String>,
        /// What was made out.
        assessment: Assessment,
        /// When the check began: what changed since is known better.
        began: Timestamp,
    },
    /// A delivery of an installation that an app connection serves.
    Seen {
        /// The installation.
        id: ConnectionId,
        /// The app connection.
        parent: ConnectionId,
        /// The platform's name.
        platform: String,
        /// What the delivery says of it. Its own events tell consumers then, so nothing is announced.
        signal: Option<ConnectionSignal>,
        /// The delivery's position in the journal.
        position: Position,
    },
}

/// Did it change anything?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Yes.
    Yes,
    /// It stood like that already.
    No,
    /// The delivery was signed before the newest installation or removal that is known.
    Stale,
    /// The operator removed the installation, and its site has not installed the app since.
    Removed,
    /// There is no such connection.
    NoSuchConnection,
    /// The id is taken.
    Taken,
}

/// Makes a change outside a running gateway's writer: for the commands.
pub(crate) fn change_directly(
    sqlite: &mut Sqlite,
    change: &ConnectionChange,
) -> rusqlite::Result<Changed> {
    let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = apply(&transaction, change, Timestamp::now())?;
    transaction.commit()?;
    Ok(changed)
}

/// Makes a change and, where consumers are to know of it, writes the entry.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    change: &ConnectionChange,
    now: Timestamp,
) -> rusqlite::Result<Changed> {
    match change {
        ConnectionChange::Add(connection, secrets) => {
            let new = NewConnection {
                connection,
                secrets,
            };
            add(transaction, new, LifecycleEvent::Added, now)
        }
        ConnectionChange::Pause(id) => change_state(transaction, id, LifecycleEvent::Paused, now),
        ConnectionChange::Resume(id) => change_state(transaction, id, LifecycleEvent::Resumed, now),
        ConnectionChange::Rotate(id, secret, grace) => {
            if store::get(transaction, id)?.is_none() {
                return Ok(Changed::NoSuchConnection);
            }
            let times = RotationTimes {
                now,
                previous_until: now.saturating_add(*grace).unwrap_or(now),
            };
            store::rotate(transaction, id, secret, times)?;
            Ok(Changed::Yes)
        }
        ConnectionChange::Remove(id) => {
            let Some(connection) = store::get(transaction, id)? else {
                return Ok(Changed::NoSuchConnection);
            };
            let mut gone = store::installations(transaction, id)?;
            if let Some(parent) = &connection.parent {
                let tombstone = Tombstone {
                    removed_at: now,
                    last_position: newest_position(transaction)?,
                };
                tombstones::add(transaction, id, parent, tombstone)?;
            }
            tombstones::remove_of_app(transaction, id)?;
            gone.push(connection);
            store::remove(transaction, id)?;
            for connection in &gone {
                if let Some(transition) =
                    transition(Some(connection.state()), LifecycleEvent::Removed)
                {
                    announce_transition(transaction, connection, transition, now)?;
                }
            }
            Ok(Changed::Yes)
        }
        ConnectionChange::Examined {
            id,
            settings,
            assessment,
            began,
        } => examined(transaction, id, settings, *assessment, *began, now),
        ConnectionChange::Seen {
            id,
            parent,
            platform,
            signal,
            position,
        } => {
            let seen = Seen {
                id,
                parent,
                platform,
                signal: signal.as_ref(),
                position: *position,
            };
            seen.apply(transaction, now)
        }
    }
}

/// A connection to add.
#[derive(Clone, Copy)]
struct NewConnection<'a> {
    connection: &'a Connection,
    secrets: &'a [SealedSecret],
}

/// Adds a connection in the state that the event gives it, and announces it if the transition says so.
fn add(
    transaction: &Transaction<'_>,
    new: NewConnection<'_>,
    event: LifecycleEvent<'_>,
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
fn change_state(
    transaction: &Transaction<'_>,
    id: &ConnectionId,
    event: LifecycleEvent<'_>,
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

fn announce_transition(
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

fn examined(
    transaction: &Transaction<'_>,
    id: &ConnectionId,
    settings: &BTreeMap<String, String>,
    assessment: Assessment,
    began: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Changed> {
    let learned = store::set_settings(transaction, id, settings)?;
    let Some(connection) = store::get(transaction, id)? else {
        return Ok(Changed::NoSuchConnection);
    };
    // A change by the store or the operator during the check is newer than its result.
    let moved = if connection.changed_at > began {
        Changed::No
    } else {
        change_state(transaction, id, LifecycleEvent::Assessed(assessment), now)?
    };
    Ok(if learned { Changed::Yes } else { moved })
}

/// A delivery of an installation: the fields of [`ConnectionChange::Seen`].
struct Seen<'a> {
    id: &'a ConnectionId,
    parent: &'a ConnectionId,
    platform: &'a str,
    signal: Option<&'a ConnectionSignal>,
    position: Position,
}

impl Seen<'_> {
    fn apply(&self, transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<Changed> {
        let (id, parent) = (self.id, self.parent);
        match (store::get(transaction, id)?, self.signal) {
            // A delivery of one app never changes a connection of another one.
            (Some(known), _) if known.id != *parent && known.parent.as_ref() != Some(parent) => {
                Ok(Changed::Taken)
            }
            (None, _) if id == parent || store::get(transaction, parent)?.is_none() => {
                Ok(Changed::NoSuchConnection)
            }
            (None, _) => self.add_unless_removed(transaction, now),
            (Some(_), None) => Ok(Changed::No),
            (Some(_), Some(signal)) => self.signalled(transaction, signal, now),
        }
    }

    fn event(&self) -> LifecycleEvent<'_> {
        match self.signal {
            None => LifecycleEvent::FirstDelivery,
            Some(ConnectionSignal::Installed { .. }) => LifecycleEvent::Installed,
            Some(ConnectionSignal::Removed { .. }) => LifecycleEvent::Uninstalled,
            Some(ConnectionSignal::Degraded(reason)) => LifecycleEvent::Degraded(reason),
        }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        match self.signal {
            Some(ConnectionSignal::Installed { settings, .. }) => settings.clone(),
            Some(ConnectionSignal::Removed { .. } | ConnectionSignal::Degraded(_)) | None => {
                BTreeMap::new()
            }
        }
    }

    fn signed(&self) -> Option<SignedChange> {
        let at = self.signal?.signed_at()?;
        let position = self.position;
        Some(SignedChange { at, position })
    }

    /// Adds the installation, unless the operator removed it: then a newer installation by its site is needed.
    fn add_unless_removed(
        &self,
        transaction: &Transaction<'_>,
        now: Timestamp,
    ) -> rusqlite::Result<Changed> {
        let Some(tombstone) = tombstones::find(transaction, self.id, self.parent)? else {
            return self.add(transaction, now);
        };
        if self.position <= tombstone.last_position {
            // It arrived before the removal.
            return Ok(Changed::NoSuchConnection);
        }
        let installed_at = match self.signal {
            Some(ConnectionSignal::Installed { signed_at, .. }) => *signed_at,
            Some(ConnectionSignal::Removed { .. } | ConnectionSignal::Degraded(_)) | None => None,
        };
        if !tombstone.is_ended_by(installed_at) {
            return Ok(Changed::Removed);
        }
        tombstones::remove(transaction, self.id, self.parent)?;
        self.add(transaction, now)
    }

    fn add(&self, transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<Changed> {
        let connection = Connection {
            parent: Some(self.parent.clone()),
            settings: self.settings(),
            ..Connection::new(self.id.clone(), self.platform, INSTALLATION_KIND, now)
        };
        let new = NewConnection {
            connection: &connection,
            secrets: &[],
        };
        let changed = add(transaction, new, self.event(), now)?;
        if let Some(signed) = self.signed() {
            store::set_newest_signed(transaction, self.id, signed)?;
        }
        Ok(changed)
    }

    /// Applies a signal to a known connection. An installation and a removal count only if they are current.
    fn signalled(
        &self,
        transaction: &Transaction<'_>,
        signal: &ConnectionSignal,
        now: Timestamp,
    ) -> rusqlite::Result<Changed> {
        // Unlike an installation, this signal has no time of its own.
        if let ConnectionSignal::Degraded(_) = signal {
            return change_state(transaction, self.id, self.event(), now);
        }
        if let Some(newest) = store::newest_signed(transaction, self.id)? {
            match newest.order_of(signal.signed_at(), self.position) {
                SignedOrder::Current => {}
                SignedOrder::Stale => return Ok(Changed::Stale),
                SignedOrder::Repeated => return Ok(Changed::No),
            }
        }
        if let Some(signed) = self.signed() {
            store::set_newest_signed(transaction, self.id, signed)?;
        }
        let settings = self.settings();
        if !settings.is_empty() {
            store::set_settings(transaction, self.id, &settings)?;
        }
        change_state(transaction, self.id, self.event(), now)
    }
}

fn newest_position(transaction: &Transaction<'_>) -> rusqlite::Result<Position> {
    transaction.query_row(
        "SELECT COALESCE(max(position), 0) FROM deliveries",
        [],
        |row| row.get(0),
    )
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

#[cfg(test)]
mod tests;
