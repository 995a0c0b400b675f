//! Handles a delivery of an installation: adds the installation, or applies what the delivery reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Transaction;

use super::connection_change::Changed;
use super::entry::Position;
use super::tombstones;
use super::transition::{NewConnection, add, change_state};
use crate::connections::lifecycle::LifecycleEvent;
use crate::connections::signed_change::{SignedChange, SignedOrder};
use crate::connections::store;
use crate::connections::{Connection, INSTALLATION_KIND};
use crate::delivery::ConnectionId;
use crate::platforms::ConnectionSignal;

/// A delivery of an installation: the fields of `ConnectionChange::Seen`.
pub(super) struct Seen<'a> {
    pub(super) id: &'a ConnectionId,
    pub(super) parent: &'a ConnectionId,
    pub(super) platform: &'a str,
    pub(super) signal: Option<&'a ConnectionSignal>,
    pub(super) position: Position,
}

impl Seen<'_> {
    pub(super) fn apply(
        &self,
        transaction: &Transaction<'_>,
        now: Timestamp,
    ) -> rusqlite::Result<Changed> {
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

    fn event(&self) -> LifecycleEvent {
        match self.signal {
            None => LifecycleEvent::FirstDelivery,
            Some(ConnectionSignal::Installed { .. }) => LifecycleEvent::Installed,
            Some(ConnectionSignal::Removed { .. }) => LifecycleEvent::Uninstalled,
            Some(ConnectionSignal::Degraded(reason)) => LifecycleEvent::Degraded(*reason),
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

    /// Adds the installation, unless the operator removed it. Then only a newer installation by the site adds it.
    fn add_unless_removed(
        &self,
        transaction: &Transaction<'_>,
        now: Timestamp,
    ) -> rusqlite::Result<Changed> {
        let Some(tombstone) = tombstones::find(transaction, self.id, self.parent)? else {
            return self.add(transaction, now);
        };
        if self.position <= tombstone.last_position {
            // The delivery was received before the removal.
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
