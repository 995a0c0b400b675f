//! What each request looks up: the endpoints with their keys ready, as a snapshot that is replaced when something changed.
//!
//! A key that cannot be read or opened leaves its endpoint without that key and is reported, so that one broken connection
//! does not stop the others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rusqlite::Connection as Sqlite;
use secrecy::{ExposeSecret, SecretString};

use super::{Connection, INSTANCE, Seal, SealError, SealedSecret, Status, store};
use crate::delivery::{ConnectionId, JournaledDelivery};
use crate::platforms::api::ConnectionContext;
use crate::platforms::{
    ClaimedWebhook, InvalidKey, Platform, RegisteredWebhooks, VerificationKey, platform,
};

/// An endpoint that takes webhooks.
#[derive(Debug)]
pub struct Endpoint {
    /// The connection that the URL names.
    pub id: ConnectionId,
    keys: Vec<(VerificationKey, Option<Timestamp>)>,
    /// Is there a key that we cannot use? Then a sender whom no other key proves may be genuine all the same.
    pub lacks_keys: bool,
    /// The webhooks that the store is known to have for us.
    pub webhooks: RegisteredWebhooks,
}

impl Endpoint {
    /// The keys that count now.
    #[must_use]
    pub fn keys(&self, now: Timestamp) -> Vec<VerificationKey> {
        self.keys
            .iter()
            .filter(|(_, until)| until.is_none_or(|until| until > now))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

/// Is there such a connection, and whose is it?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none of that name.
    Unknown,
    /// There is.
    Known {
        /// Of an installation: the app connection that captured it.
        parent: Option<ConnectionId>,
    },
}

#[derive(Debug, Default)]
struct Snapshot {
    endpoints: HashMap<(&'static str, String), Arc<Endpoint>>,
    statuses: HashMap<ConnectionId, (Status, Option<ConnectionId>)>,
    /// Whose own API can be asked, and whose installations'.
    askable: HashSet<(ConnectionId, Asked)>,
}

/// Who is asked by a connection's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Itself,
    Installations,
}

/// The current snapshot. Cheap to clone and to read.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<Arc<Snapshot>>>);

/// A connection that cannot be used as it is stored.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// One of its keys cannot be used.
    #[error("connection {connection} cannot verify with one of its keys")]
    Key {
        /// The connection.
        connection: ConnectionId,
        /// The reason.
        source: KeyError,
    },
    /// Its row cannot be read: its webhooks are answered 503.
    #[error("the stored connection {connection:?} is damaged: {error}")]
    Damaged {
        /// The row's id.
        connection: String,
        /// The reason.
        error: String,
    },
}

/// Why a stored key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It is no key.
    #[error(transparent)]
    Invalid(#[from] InvalidKey),
}

impl Directory {
    /// The endpoint of a URL.
    #[must_use]
    pub fn endpoint(
        &self,
        platform: &str,
        id: &str,
    ) -> Option<(&'static dyn Platform, Arc<Endpoint>)> {
        let platform = self::platform(platform)?;
        let endpoint = self
            .snapshot()
            .endpoints
            .get(&(platform.name(), id.to_owned()))
            .cloned()?;
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
            .webhook_of(delivery)
            .is_none_or(|webhook| endpoint.webhooks.fits(&webhook.id, &webhook.topic))
    }

    /// `true` if the store of an endpoint is known to have the webhook with its topic.
    #[must_use]
    pub fn has_webhook(&self, id: &ConnectionId, webhook: &ClaimedWebhook) -> bool {
        self.snapshot().endpoints.values().any(|endpoint| {
            endpoint.id == *id && endpoint.webhooks.contains(&webhook.id, &webhook.topic)
        })
    }

    /// Is there such a connection, and whose is it?
    #[must_use]
    pub fn standing(&self, id: &ConnectionId) -> Standing {
        let snapshot = self.snapshot();
        let known = snapshot.statuses.get(id);
        known.map_or(Standing::Unknown, |(_, parent)| Standing::Known {
            parent: parent.clone(),
        })
    }

    /// Are there credentials to ask the connection's API with, whose deliveries come in by that endpoint?
    #[must_use]
    pub fn may_ask(&self, connection: &ConnectionId, endpoint: &ConnectionId) -> bool {
        let asked = if connection == endpoint {
            Asked::Itself
        } else {
            Asked::Installations
        };
        self.snapshot().askable.contains(&(endpoint.clone(), asked))
    }

    /// All connections there are.
    #[must_use]
    pub fn ids(&self) -> HashSet<ConnectionId> {
        self.snapshot().statuses.keys().cloned().collect()
    }

    /// The connections whose deliveries are kept and not published.
    #[must_use]
    pub fn paused(&self) -> HashSet<ConnectionId> {
        self.snapshot()
            .statuses
            .iter()
            .filter(|(_, (status, _))| *status == Status::Paused)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// How many connections stand how.
    #[must_use]
    pub fn counts(&self) -> Vec<(Status, usize)> {
        let snapshot = self.snapshot();
        [
            Status::Connected,
            Status::Degraded,
            Status::Paused,
            Status::Disconnected,
        ]
        .map(|status| {
            (
                status,
                snapshot
                    .statuses
                    .values()
                    .filter(|(s, _)| *s == status)
                    .count(),
            )
        })
        .to_vec()
    }

    /// Reads all connections anew. Gives the keys that cannot be used.
    ///
    /// # Errors
    /// Where the file cannot be read; the snapshot stays as it was.
    pub fn refresh(
        &self,
        sqlite: &Sqlite,
        seal: &Seal,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<DirectoryError>> {
        let mut snapshot = Snapshot::default();
        let mut broken = Vec::new();
        let listed = store::list(sqlite)?;
        for (id, error) in listed.damaged {
            if let Some(endpoint) = damaged_endpoint(sqlite, &id)? {
                snapshot.endpoints.insert(endpoint.0, endpoint.1);
            }
            broken.push(DirectoryError::Damaged {
                connection: id,
                error,
            });
        }
        for connection in listed.connections {
            snapshot.statuses.insert(
                connection.id.clone(),
                (connection.status, connection.parent.clone()),
            );
            let Some((platform, kind)) = crate::platforms::connection_kind(&connection.kind) else {
                continue;
            };
            let secrets = store::secrets(sqlite, &connection.id, now)?;
            snapshot.askable.extend(
                askable(platform, &connection, &secrets)
                    .map(|asked| (connection.id.clone(), asked)),
            );
            if !kind.receives_webhooks {
                continue;
            }
            let (mut keys, mut lacks_keys) = (Vec::new(), false);
            for secret in secrets {
                if !kind
                    .fields
                    .iter()
                    .any(|field| field.verifies() && field.name == secret.name)
                {
                    continue;
                }
                match ready(platform, seal, &connection, &secret) {
                    Ok(key) => keys.push((key, secret.valid_until)),
                    Err(source) => {
                        lacks_keys = true;
                        broken.push(DirectoryError::Key {
                            connection: connection.id.clone(),
                            source,
                        });
                    }
                }
            }
            let endpoint = Endpoint {
                id: connection.id.clone(),
                keys,
                lacks_keys,
                webhooks: platform.registered_webhooks(&connection.settings),
            };
            snapshot.endpoints.insert(
                (platform.name(), connection.id.to_string()),
                Arc::new(endpoint),
            );
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(broken)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

type EndpointName = (&'static str, String);

/// The endpoint of a damaged connection: without keys, so that its webhooks are answered 503 and not 404.
fn damaged_endpoint(
    sqlite: &Sqlite,
    id: &str,
) -> rusqlite::Result<Option<(EndpointName, Arc<Endpoint>)>> {
    let name = store::platform_of(sqlite, id)?;
    let platform = name.as_deref().and_then(platform);
    let (Some(platform), Ok(id)) = (platform, ConnectionId::new(id)) else {
        return Ok(None);
    };
    let endpoint = Endpoint {
        id: id.clone(),
        keys: Vec::new(),
        lacks_keys: true,
        webhooks: RegisteredWebhooks::default(),
    };
    let name = (platform.name(), id.to_string());
    Ok(Some((name, Arc::new(endpoint))))
}

/// Whom the connection's credentials let us ask. Which are there decides; none is opened.
fn askable(
    platform: &dyn Platform,
    connection: &Connection,
    secrets: &[SealedSecret],
) -> impl Iterator<Item = Asked> {
    let own = ConnectionContext {
        id: connection.id.clone(),
        kind: connection.kind.clone(),
        settings: connection.settings.clone(),
        secrets: secrets
            .iter()
            .map(|secret| (secret.name.clone(), SecretString::default()))
            .collect(),
        delivery_url: None,
        parent: None,
        installations: Vec::new(),
    };
    let installation = ConnectionContext {
        kind: INSTANCE.to_owned(),
        settings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        parent: Some(Box::new(own.clone())),
        ..own.clone()
    };
    let both = [(own, Asked::Itself), (installation, Asked::Installations)];
    both.into_iter()
        .filter(|(subject, _)| platform.can_ask(subject))
        .map(|(_, asked)| asked)
}

fn ready(
    platform: &dyn Platform,
    seal: &Seal,
    connection: &Connection,
    secret: &SealedSecret,
) -> Result<VerificationKey, KeyError> {
    let material = secret.open(seal, &connection.id)?;
    Ok(platform.verification_key(material.expose_secret())?)
}
