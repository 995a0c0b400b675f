//! Installations become connections: the first time that something of one is seen, or when it tells of itself.

use jiff::Timestamp;

use super::Relay;
use super::intake::{FOREIGN, REMOVED, STALE};
use crate::connections::Ownership;
use crate::delivery::JournaledDelivery;
use crate::journal::entry::{Entry, Outcome, Position};
use crate::journal::{Changed, ConnectionChange, JournalError};
use crate::platforms::ConnectionSignal;
use crate::publisher::Publish;

impl<P: Publish> Relay<P> {
    fn is_known(&self, delivery: &JournaledDelivery) -> bool {
        let installation = (delivery.connection.clone(), delivery.endpoint.clone());
        delivery.connection == delivery.endpoint
            || self.captured.contains(&installation)
            || self.directory.ownership(&delivery.connection) != Ownership::Unknown
    }

    /// Does it speak in the name of somebody else's connection?
    pub(super) fn is_foreign(&self, delivery: &JournaledDelivery) -> bool {
        match self.directory.ownership(&delivery.connection) {
            Ownership::Known { parent } => {
                delivery.connection != delivery.endpoint
                    && parent.as_ref() != Some(&delivery.endpoint)
            }
            Ownership::Unknown => false,
        }
    }

    /// An installation that was not seen before becomes a connection, and one that tells of itself changes. `false` where the
    /// entry is settled without events: it is about another app's connection, of an installation that the operator removed, or
    /// older than the state that is known.
    pub(super) async fn capture(
        &mut self,
        entry: &Entry,
        signal: Option<ConnectionSignal>,
    ) -> Result<bool, JournalError> {
        let delivery = &entry.delivery;
        if let Some(installing) = self.installing.get_mut(&delivery.connection) {
            let Some(signal) = &signal else {
                // Its installation is on its way, and becomes a connection with all that is known of it, or none.
                return Ok(true);
            };
            let is_newer = |(position, signed_at): (&Position, &Option<Timestamp>)| {
                *position < entry.position && *signed_at > signal.signed_at()
            };
            if installing.iter().any(is_newer) {
                self.settle_now(entry, Outcome::Ignored(STALE.into()));
                return Ok(false);
            }
            // An earlier delivery does not change the connection any more.
            installing.retain(|position, _| *position > entry.position);
        }
        let installation = (delivery.connection.clone(), delivery.endpoint.clone());
        let unknown = !self.is_known(delivery);
        let degraded = match &signal {
            Some(ConnectionSignal::Degraded(reason)) => Some(*reason),
            Some(ConnectionSignal::Installed { .. } | ConnectionSignal::Removed { .. }) | None => {
                None
            }
        };
        // A redriven delivery tells old news of its connection.
        if (unknown || signal.is_some()) && !entry.redriven {
            let (id, parent) = (delivery.connection.clone(), delivery.endpoint.clone());
            let platform = delivery.platform.clone();
            let seen = ConnectionChange::Seen {
                id,
                parent,
                platform,
                signal,
                position: entry.position,
            };
            match self.journal.change_connection(seen).await? {
                Changed::Yes | Changed::No => drop(self.captured.insert(installation)),
                // The app was removed meanwhile; what it sent before goes out all the same.
                Changed::NoSuchConnection => {}
                Changed::Stale => {
                    self.captured.insert(installation);
                    self.settle_now(entry, Outcome::Ignored(STALE.into()));
                    return Ok(false);
                }
                Changed::Removed => {
                    self.settle_now(entry, Outcome::Ignored(REMOVED.into()));
                    return Ok(false);
                }
                Changed::Taken => {
                    self.settle_now(entry, Outcome::DeadLettered(FOREIGN));
                    return Ok(false);
                }
            }
        }
        // The change of the connection is announced once, by an entry of its own.
        if let Some(reason) = degraded {
            self.settle_now(entry, Outcome::Ignored(reason.into()));
            return Ok(false);
        }
        Ok(true)
    }

    /// An installation waits no more. Does it still say how the connection stands?
    pub(super) fn installed(&mut self, entry: &Entry) -> bool {
        let connection = &entry.delivery.connection;
        let Some(installing) = self.installing.get_mut(connection) else {
            return false;
        };
        let was_there = installing.remove(&entry.position).is_some();
        // The last one that waited.
        if installing.is_empty() {
            self.installing.remove(connection);
        }
        was_there
    }
}
