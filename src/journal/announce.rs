//! Applies changes of connections. A change and the entry that announces it are written in one transaction.
//!
//! A running `serve` applies changes through its writer, and commands apply them directly. The relay claims the announcement
//! as every other entry. `connections::lifecycle` decides the states.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, Transaction, TransactionBehavior};

use super::connection_change::{Changed, ConnectionChange};
use super::entity_states;
use super::entry::Position;
use super::found_changes;
use super::seen::Seen;
use super::tombstones::{self, Tombstone};
use super::transition::{NewConnection, add, announce_transition, change_state};
use crate::connections::lifecycle::{LifecycleEvent, transition};
use crate::connections::store::{self, RotationTimes};
use crate::connections::{Assessment, SealedSecret};
use crate::delivery::ConnectionId;

/// Applies a change without the writer of a running gateway, for commands.
pub(crate) fn change_directly(
    sqlite: &mut Sqlite,
    change: &ConnectionChange,
) -> rusqlite::Result<Changed> {
    let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = apply(&transaction, change, Timestamp::now())?;
    transaction.commit()?;
    Ok(changed)
}

/// Applies a change, and writes its announcement if consumers must know of it.
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
            let replaced = Replaced {
                settings: &BTreeMap::new(),
                secrets: std::slice::from_ref(secret),
                previous_until: now.saturating_add(*grace).unwrap_or(now),
            };
            replaced.apply(transaction, id, now)
        }
        ConnectionChange::Replace {
            id,
            settings,
            secrets,
        } => {
            let replaced = Replaced {
                settings,
                secrets,
                previous_until: now,
            };
            replaced.apply(transaction, id, now)
        }
        ConnectionChange::Remove(id) => remove(transaction, id, now),
        ConnectionChange::Examined {
            id,
            settings,
            assessment,
            began,
        } => {
            let examination = Examination {
                id,
                settings,
                assessment: *assessment,
                began: *began,
            };
            examination.apply(transaction, now)
        }
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

/// Removes a connection with its installations, and announces each removal.
fn remove(
    transaction: &Transaction<'_>,
    id: &ConnectionId,
    now: Timestamp,
) -> rusqlite::Result<Changed> {
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
        entity_states::remove(transaction, &connection.id)?;
        found_changes::remove(transaction, &connection.id)?;
        if let Some(transition) = transition(Some(connection.state()), LifecycleEvent::Removed) {
            announce_transition(transaction, connection, transition, now)?;
        }
    }
    Ok(Changed::Yes)
}

/// New settings and secrets of a connection.
struct Replaced<'a> {
    settings: &'a BTreeMap<String, String>,
    secrets: &'a [SealedSecret],
    /// How long the previous secrets stay valid.
    previous_until: Timestamp,
}

impl Replaced<'_> {
    fn apply(
        &self,
        transaction: &Transaction<'_>,
        id: &ConnectionId,
        now: Timestamp,
    ) -> rusqlite::Result<Changed> {
        if store::get(transaction, id)?.is_none() {
            return Ok(Changed::NoSuchConnection);
        }
        let times = RotationTimes {
            now,
            previous_until: self.previous_until,
        };
        for secret in self.secrets {
            store::rotate(transaction, id, secret, times)?;
        }
        store::set_settings(transaction, id, self.settings)?;
        Ok(Changed::Yes)
    }
}

/// A finished check: the fields of [`ConnectionChange::Examined`].
struct Examination<'a> {
    id: &'a ConnectionId,
    settings: &'a BTreeMap<String, String>,
    assessment: Assessment,
    began: Timestamp,
}

impl Examination<'_> {
    fn apply(&self, transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<Changed> {
        let learned = store::set_settings(transaction, self.id, self.settings)?;
        let Some(connection) = store::get(transaction, self.id)? else {
            return Ok(Changed::NoSuchConnection);
        };
        // A change by the store or by the operator during the check is newer than the result of the check.
        let moved = if connection.changed_at > self.began {
            Changed::No
        } else {
            let event = LifecycleEvent::Assessed(self.assessment);
            change_state(transaction, self.id, event, now)?
        };
        Ok(if learned { Changed::Yes } else { moved })
    }
}

fn newest_position(transaction: &Transaction<'_>) -> rusqlite::Result<Position> {
    transaction.query_row(
        "SELECT COALESCE(max(position), 0) FROM deliveries",
        [],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests;
