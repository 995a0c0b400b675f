//! The snapshot of all connections that the receiver and the relay read: endpoints with parsed keys, states and ownership.
//!
//! The snapshot is replaced as a whole when a connection changes. A damaged connection does not affect the others: a key
//! that cannot be used is reported, and its endpoint works without that key.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rusqlite::Connection as Sqlite;

use super::connection::{Connection, INSTALLATION_KIND};
use super::endpoint::{Endpoint, EndpointKind, KeyError};
use super::polling::Polling;
use super::seal::Seal;
use super::secret::SealedSecret;
use super::state::Status;
use super::store;
use crate::delivery::{ConnectionId, JournaledDelivery};
use crate::platforms::api::ConfiguredFields;
use crate::platforms::{ClaimedWebhook, WebhookPlatform, connection_kind, platform, store_api};

/// Whether a connection exists, and which app it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// No such connection exists.
    Unknown,
    /// The connection exists.
    Known {
        /// For an installation: the app's connection.
        parent: Option<ConnectionId>,
    },
}

#[derive(Debug, Default)]
struct Snapshot {
    endpoints: HashMap<EndpointName, Arc<Endpoint>>,
    connections: HashMap<ConnectionId, KnownConnection>,
    capabilities: HashSet<Capability>,
}

/// The name of an endpoint in its URL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EndpointName {
    platform: &'static str,
    id: String,
}

#[derive(Debug)]
struct KnownConnection {
    platform: String,
    status: Status,
    parent: Option<ConnectionId>,
    connected_at: Timestamp,
    polling: Option<Polling>,
}

/// A store whose entities can be read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadableStore {
    pub id: ConnectionId,
    pub is_degraded: bool,
    /// `None` if the store's webhooks are followed.
    pub polling: Option<Polling>,
}

/// Credentials of `connection` for requests to an API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Capability {
    connection: ConnectionId,
    target: ApiTarget,
}

/// The store whose API a connection's credentials open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ApiTarget {
    Itself,
    Installations,
}

/// The current snapshot. Cheap to clone and to read.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<Arc<Snapshot>>>);

/// A stored connection that cannot be used completely.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("connection {connection} cannot verify deliveries with one of its keys")]
    Key {
        connection: ConnectionId,
        source: KeyError,
    },
    /// The row cannot be read. The connection's webhooks are answered 503.
    #[error("the stored connection {connection:?} is damaged: {error}")]
    Damaged {
        /// The id as stored; it may be invalid.
        connection: String,
        error: String,
    },
}

impl Directory {
    /// The endpoint that a URL names.
    #[must_use]
    pub fn endpoint(
        &self,
        platform: &str,
        id: &str,
    ) -> Option<(&'static dyn WebhookPlatform, Arc<Endpoint>)> {
        let platform = self::platform(platform)?;
        let name = EndpointName {
            platform: platform.name(),
            id: id.to_owned(),
        };
        let endpoint = self.snapshot().endpoints.get(&name).cloned()?;
        Some((platform, endpoint))
    }

    /// `false` if the delivery names a webhook that its store is known not to have with that topic.
    #[must_use]
    pub fn is_registered(&self, delivery: &JournaledDelivery) -> bool {
        let endpoint = self.endpoint(&delivery.platform, delivery.endpoint.as_str());
        let Some((platform, endpoint)) = endpoint else {
            return true;
        };
        platform
            .stored_webhook(delivery)
            .is_none_or(|webhook| endpoint.webhooks.fits(&webhook.id, &webhook.topic))
    }

    /// `true` if the store of an endpoint is known to have the webhook with its topic.
    #[must_use]
    pub fn has_webhook(&self, id: &ConnectionId, webhook: &ClaimedWebhook) -> bool {
        self.snapshot().endpoints.values().any(|endpoint| {
            endpoint.id == *id && endpoint.webhooks.contains(&webhook.id, &webhook.topic)
        })
    }

    #[must_use]
    pub fn ownership(&self, id: &ConnectionId) -> Ownership {
        match self.snapshot().connections.get(id) {
            Some(known) => Ownership::Known {
                parent: known.parent.clone(),
            },
            None => Ownership::Unknown,
        }
    }

    /// When the connection was added; `None` for an unknown connection.
    #[must_use]
    pub fn connected_at(&self, id: &ConnectionId) -> Option<Timestamp> {
        let snapshot = self.snapshot();
        snapshot.connections.get(id).map(|known| known.connected_at)
    }

    /// `true` if the credentials of `endpoint` allow requests to the API of `connection`, whose deliveries arrive there.
    #[must_use]
    pub fn can_request(&self, connection: &ConnectionId, endpoint: &ConnectionId) -> bool {
        let target = if connection == endpoint {
            ApiTarget::Itself
        } else {
            ApiTarget::Installations
        };
        self.snapshot().capabilities.contains(&Capability {
            connection: endpoint.clone(),
            target,
        })
    }

    /// The ids of all connections.
    #[must_use]
    pub fn ids(&self) -> HashSet<ConnectionId> {
        self.snapshot().connections.keys().cloned().collect()
    }

    #[must_use]
    pub fn paused(&self) -> HashSet<ConnectionId> {
        self.snapshot()
            .connections
            .iter()
            .filter(|(_, known)| known.status == Status::Paused)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The stores whose entities can be read now.
    #[must_use]
    pub fn readable(&self) -> Vec<ReadableStore> {
        let snapshot = self.snapshot();
        let may_request = |id: &ConnectionId, known: &KnownConnection| {
            let of = |connection: &ConnectionId, target| Capability {
                connection: connection.clone(),
                target,
            };
            let needed = match &known.parent {
                Some(parent) => of(parent, ApiTarget::Installations),
                None => of(id, ApiTarget::Itself),
            };
            snapshot.capabilities.contains(&needed)
        };
        let is_readable = |id: &ConnectionId, known: &KnownConnection| {
            let has_lists =
                store_api(&known.platform).is_some_and(|api| !api.readable_lists().is_empty());
            let is_active = matches!(known.status, Status::Connected | Status::Degraded);
            has_lists && is_active && may_request(id, known)
        };
        let readable = snapshot
            .connections
            .iter()
            .filter(|(id, known)| is_readable(id, known));
        let store = |(id, known): (&ConnectionId, &KnownConnection)| ReadableStore {
            id: id.clone(),
            is_degraded: known.status == Status::Degraded,
            polling: known.polling,
        };
        readable.map(store).collect()
    }

    /// The number of connections with each status.
    #[must_use]
    pub fn counts(&self) -> Vec<(Status, usize)> {
        let snapshot = self.snapshot();
        let count = |status| {
            let connections = snapshot.connections.values();
            connections.filter(|known| known.status == status).count()
        };
        Status::ALL.map(|status| (status, count(status))).to_vec()
    }

    /// Reads all connections, and replaces the snapshot. Returns the faults of single connections.
    ///
    /// # Errors
    /// If the file cannot be read. The snapshot stays as it was.
    pub fn refresh(
        &self,
        sqlite: &Sqlite,
        seal: &Seal,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<DirectoryError>> {
        let mut snapshot = Snapshot::default();
        let mut faults = Vec::new();
        let listed = store::list(sqlite)?;
        for damaged in listed.damaged {
            snapshot.add_damaged(sqlite, &damaged.id)?;
            faults.push(DirectoryError::Damaged {
                connection: damaged.id,
                error: damaged.error,
            });
        }
        for connection in listed.connections {
            let secrets = store::secrets(sqlite, &connection.id, now)?;
            for source in snapshot.add(seal, &connection, &secrets) {
                faults.push(DirectoryError::Key {
                    connection: connection.id.clone(),
                    source,
                });
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(faults)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Snapshot {
    /// Adds a connection, and returns the faults of its keys.
    fn add(
        &mut self,
        seal: &Seal,
        connection: &Connection,
        secrets: &[SealedSecret],
    ) -> Vec<KeyError> {
        let known = KnownConnection {
            platform: connection.platform.clone(),
            status: connection.status,
            parent: connection.parent.clone(),
            connected_at: connection.created_at,
            polling: Polling::of(connection),
        };
        self.connections.insert(connection.id.clone(), known);
        let Some((platform, kind)) = connection_kind(&connection.kind) else {
            return Vec::new();
        };
        self.capabilities
            .extend(capabilities(platform, connection, secrets));
        if !kind.receives_webhooks {
            return Vec::new();
        }
        let kind = EndpointKind { platform, kind };
        let (endpoint, faults) = Endpoint::open(seal, connection, secrets, kind);
        self.add_endpoint(platform, endpoint);
        faults
    }

    /// Adds the endpoint of a damaged connection, if its platform and id can be read.
    fn add_damaged(&mut self, sqlite: &Sqlite, id: &str) -> rusqlite::Result<()> {
        let name = store::platform_of(sqlite, id)?;
        let platform = name.as_deref().and_then(platform);
        if let (Some(platform), Ok(id)) = (platform, ConnectionId::new(id)) {
            self.add_endpoint(platform, Endpoint::damaged(id));
        }
        Ok(())
    }

    fn add_endpoint(&mut self, platform: &'static dyn WebhookPlatform, endpoint: Endpoint) {
        let name = EndpointName {
            platform: platform.name(),
            id: endpoint.id.to_string(),
        };
        self.endpoints.insert(name, Arc::new(endpoint));
    }
}

/// What the connection's credentials allow. Nothing is decrypted.
fn capabilities(
    platform: &dyn WebhookPlatform,
    connection: &Connection,
    secrets: &[SealedSecret],
) -> Vec<Capability> {
    let own = ConfiguredFields {
        kind: connection.kind.clone(),
        names: connection
            .settings
            .keys()
            .chain(secrets.iter().map(|secret| &secret.name))
            .cloned()
            .collect(),
        parent: None,
    };
    let installation = ConfiguredFields {
        kind: INSTALLATION_KIND.to_owned(),
        names: BTreeSet::new(),
        parent: Some(Box::new(own.clone())),
    };
    let mut capabilities = Vec::new();
    for (fields, target) in [
        (own, ApiTarget::Itself),
        (installation, ApiTarget::Installations),
    ] {
        if platform.api().is_some_and(|api| api.can_request(&fields)) {
            capabilities.push(Capability {
                connection: connection.id.clone(),
                target,
            });
        }
    }
    capabilities
}
