//! A webhook endpoint with its parsed keys.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::connection::Connection;
use super::seal::{Seal, SealError};
use super::secret::SealedSecret;
use crate::delivery::ConnectionId;
use crate::platforms::{
    ConnectionKind, InvalidKey, RegisteredWebhooks, VerificationKey, WebhookPlatform,
    registered_webhooks,
};

/// A webhook endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// The connection that the URL names.
    pub id: ConnectionId,
    keys: Vec<EndpointKey>,
    /// `true` if a stored key could not be decrypted or parsed. A request that matches no other key may then be genuine.
    pub lacks_keys: bool,
    /// The gateway's webhooks at the store, as far as known.
    pub webhooks: RegisteredWebhooks,
}

#[derive(Debug)]
struct EndpointKey {
    key: VerificationKey,
    /// For a previous key: when its grace time ends.
    valid_until: Option<Timestamp>,
}

/// Why a stored key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Invalid(#[from] InvalidKey),
}

impl Endpoint {
    /// The endpoint of a connection whose row is damaged. It has no keys, so its webhooks are answered 503 and not 404.
    pub(super) fn damaged(id: ConnectionId) -> Self {
        Self {
            id,
            keys: Vec::new(),
            lacks_keys: true,
            webhooks: RegisteredWebhooks::default(),
        }
    }

    /// Decrypts and parses the keys among the secrets. Also returns the faults of the keys that cannot be used.
    pub(super) fn open(
        seal: &Seal,
        connection: &Connection,
        secrets: &[SealedSecret],
        kind: EndpointKind,
    ) -> (Self, Vec<KeyError>) {
        let mut endpoint = Self {
            id: connection.id.clone(),
            keys: Vec::new(),
            lacks_keys: false,
            webhooks: registered_webhooks(kind.platform, &connection.settings),
        };
        let mut faults = Vec::new();
        for secret in secrets.iter().filter(|secret| kind.verifies(secret)) {
            match kind.key(seal, &connection.id, secret) {
                Ok(key) => endpoint.keys.push(EndpointKey {
                    key,
                    valid_until: secret.valid_until,
                }),
                Err(fault) => {
                    endpoint.lacks_keys = true;
                    faults.push(fault);
                }
            }
        }
        (endpoint, faults)
    }

    /// The keys that are valid now.
    #[must_use]
    pub fn keys(&self, now: Timestamp) -> Vec<VerificationKey> {
        self.keys
            .iter()
            .filter(|key| key.valid_until.is_none_or(|until| until > now))
            .map(|key| key.key.clone())
            .collect()
    }
}

/// A connection kind with its platform.
#[derive(Clone, Copy)]
pub(super) struct EndpointKind {
    pub(super) platform: &'static dyn WebhookPlatform,
    pub(super) kind: &'static ConnectionKind,
}

impl EndpointKind {
    /// `true` if the secret verifies deliveries.
    fn verifies(self, secret: &SealedSecret) -> bool {
        self.kind
            .fields
            .iter()
            .any(|field| field.verifies() && field.name == secret.name)
    }

    fn key(
        self,
        seal: &Seal,
        id: &ConnectionId,
        secret: &SealedSecret,
    ) -> Result<VerificationKey, KeyError> {
        let material = secret.open(seal, id)?;
        Ok(self.platform.verification_key(material.expose_secret())?)
    }
}
