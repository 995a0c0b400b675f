//! Installations of apps become connections: when the first delivery of one arrives, or when one reports itself.

use jiff::Timestamp;

use super::state::{Installation, Relay};
use crate::connections::Ownership;
use crate::delivery::{ConnectionId, JournaledDelivery, Reason, ReasonCode};
use crate::journal::entry::{Entry, Outcome, Position};
use crate::journal::{Changed, ConnectionChange, JournalError};
use crate::platforms::ConnectionSignal;
use crate::publisher::Publish;

impl<P: Publish> Relay<P> {
    fn is_known(&self, delivery: &JournaledDelivery) -> bool {
        delivery.connection == delivery.endpoint
            || self.is_connected(&delivery.connection, &delivery.endpoint)
    }

    /// `true` if the connection exists, although the directory may not have it yet.
    pub(super) fn is_connected(&self, connection: &ConnectionId, endpoint: &ConnectionId) -> bool {
        let installation = Installation {
            connection: connection.clone(),
            app: endpoint.clone(),
        };
        self.enrichment.captured.contains(&installation)
            || self.directory.ownership(connection) != Ownership::Unknown
    }

    /// `true` if the delivery names a connection that does not belong to its endpoint.
    pub(super) fn is_foreign(&self, delivery: &JournaledDelivery) -> bool {
        match self.directory.ownership(&delivery.connection) {
            Ownership::Known { parent } => {
                delivery.connection != delivery.endpoint
                    && parent.as_ref() != Some(&delivery.endpoint)
            }
            Ownership::Unknown => false,
        }
    }

    /// Stores a new installation as a connection, or the change that an installation reports. `false` if the entry is settled
    /// without events: it is about a connection of another app, about an installation that the operator removed, or older
    /// than the known state.
    pub(super) async fn capture(
        &mut self,
        entry: &Entry,
        signal: Option<ConnectionSignal>,
    ) -> Result<bool, JournalError> {
        let delivery = &entry.delivery;
        if self
            .enrichment
            .installing
            .contains_key(&delivery.connection)
        {
            let Some(signal) = &signal else {
                // The installation is still being fetched, and becomes a connection with all its settings or not at all.
                return Ok(true);
            };
            if self.is_superseded(entry, signal) {
                self.settle_without_publishing(entry, Outcome::Ignored(ReasonCode::Stale.into()));
                return Ok(false);
            }
        }
        let degraded = match &signal {
            Some(ConnectionSignal::Degraded(reason)) => Some(*reason),
            Some(ConnectionSignal::Installed { .. } | ConnectionSignal::Removed { .. }) | None => {
                None
            }
        };
        // A redriven delivery describes an old state of its connection.
        if (!self.is_known(delivery) || signal.is_some())
            && !entry.redriven
            && let Some(outcome) = self.store_seen(entry, signal).await?
        {
            self.settle_without_publishing(entry, outcome);
            return Ok(false);
        }
        // The change of the connection is announced once, by an entry of its own.
        if let Some(reason) = degraded {
            self.settle_without_publishing(
                entry,
                Outcome::Ignored(Reason::from_text(reason.to_string())),
            );
            return Ok(false);
        }
        Ok(true)
    }

    /// `true` if an earlier entry, which still waits, reports a newer change of the same installation. Otherwise the earlier
    /// entries no longer change the connection.
    fn is_superseded(&mut self, entry: &Entry, signal: &ConnectionSignal) -> bool {
        let connection = &entry.delivery.connection;
        let Some(installing) = self.enrichment.installing.get_mut(connection) else {
            return false;
        };
        let is_newer = |(position, signed_at): (&Position, &Option<Timestamp>)| {
            *position < entry.position && *signed_at > signal.signed_at()
        };
        if installing.iter().any(is_newer) {
            return true;
        }
        installing.retain(|position, _| *position > entry.position);
        false
    }

    /// Stores what the delivery says about its connection. Returns the outcome of an entry that must not be published.
    async fn store_seen(
        &mut self,
        entry: &Entry,
        signal: Option<ConnectionSignal>,
    ) -> Result<Option<Outcome>, JournalError> {
        let delivery = &entry.delivery;
        let seen = ConnectionChange::Seen {
            id: delivery.connection.clone(),
            parent: delivery.endpoint.clone(),
            platform: delivery.platform.clone(),
            signal,
            position: entry.position,
        };
        Ok(match self.journal.change_connection(seen).await? {
            Changed::Yes | Changed::No => {
                self.enrichment.captured.insert(installation(delivery));
                None
            }
            // The app was removed in the meantime. Deliveries from before are still published.
            Changed::NoSuchConnection => None,
            Changed::Stale => {
                self.enrichment.captured.insert(installation(delivery));
                Some(Outcome::Ignored(ReasonCode::Stale.into()))
            }
            Changed::Removed => Some(Outcome::Ignored(ReasonCode::ConnectionRemoved.into())),
            Changed::Taken => Some(Outcome::DeadLettered(ReasonCode::ConnectionOfAnother)),
        })
    }

    /// An installation waits no longer for its confirmation. `true` if its entry still decides about the connection.
    pub(super) fn end_installation(&mut self, entry: &Entry) -> bool {
        let connection = &entry.delivery.connection;
        let Some(installing) = self.enrichment.installing.get_mut(connection) else {
            return false;
        };
        let was_waiting = installing.remove(&entry.position).is_some();
        if installing.is_empty() {
            self.enrichment.installing.remove(connection);
        }
        was_waiting
    }
}

fn installation(delivery: &JournaledDelivery) -> Installation {
    Installation {
        connection: delivery.connection.clone(),
        app: delivery.endpoint.clone(),
    }
}
