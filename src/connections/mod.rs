//! Connections: installed stores and apps with their keys.
//!
//! `store` holds the tables, [`seal`] the secrets at rest, [`Directory`] what the receiver looks up for each request.
//! Nothing here asks a store anything.

mod accepted;
mod assessment;
mod directory;
mod rejections;
pub mod seal;
pub(crate) mod store;
mod unreadable;

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

pub use accepted::Accepted;
pub use assessment::{Assessment, Move};
pub use directory::{Directory, DirectoryError, Endpoint, Standing};
pub use rejections::{RefusedWebhook, RejectionCount, Rejections, UnregisteredWebhook};
pub use seal::{Seal, SealError};
pub use unreadable::{InvalidRun, UnreadableBodies, UnreadableDelivery, UnreadableRun};

use crate::delivery::ConnectionId;
use crate::event::data::ConnectionHealth;
use crate::platforms::{ConnectionKind, connection_kind};

/// An installed store or app.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// The platform's name.
    pub platform: String,
    /// The sort: a [`ConnectionKind`]'s name, or `instance` for one that an app connection captured.
    pub kind: String,
    /// Of an instance: the app connection that captured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ConnectionId>,
    /// How it stands.
    pub status: Status,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a paused one: how it stood before, and will stand again.
    #[serde(skip)]
    pub before_pause: Option<BeforePause>,
    /// What is known of it and no secret.
    pub settings: BTreeMap<String, String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub changed_at: Timestamp,
}

/// The kind of a connection that an app connection captured.
pub const INSTANCE: &str = "instance";

impl Connection {
    /// One that was added just now and is well.
    #[must_use]
    pub fn new(
        id: ConnectionId,
        platform: &str,
        kind: &str,
        settings: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            platform: platform.to_owned(),
            kind: kind.to_owned(),
            parent: None,
            status: Status::Connected,
            reason: None,
            before_pause: None,
            settings,
            created_at: now,
            changed_at: now,
        }
    }

    /// How it stands and why, whether it is paused or not.
    #[must_use]
    pub fn standing(&self) -> (Status, Option<&str>) {
        match (self.status, &self.before_pause) {
            (Status::Paused, Some(before)) => (before.status, before.reason.as_deref()),
            (Status::Paused, None) => (Status::Connected, None),
            (status, _) => (status, self.reason.as_deref()),
        }
    }

    /// The description of its kind; none for instances.
    #[must_use]
    pub fn described_kind(&self) -> Option<&'static ConnectionKind> {
        connection_kind(&self.kind).map(|(_, kind)| kind)
    }

    /// As the `connection.*` events tell it.
    #[must_use]
    pub fn health(&self) -> ConnectionHealth {
        ConnectionHealth {
            id: self.id.to_string(),
            status: Some(self.status.as_str().to_owned()),
            reason: self.reason.clone(),
            parent_id: self.parent.as_ref().map(ToString::to_string),
            settings: (!self.settings.is_empty()).then(|| self.settings.clone()),
        }
    }
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is well, as far as we know.
    Connected,
    /// Something is wrong: see the reason.
    Degraded,
    /// The operator wants its deliveries kept and not published.
    Paused,
    /// The store removed us.
    Disconnected,
}

impl Status {
    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Connected => "connected",
            Status::Degraded => "degraded",
            Status::Paused => "paused",
            Status::Disconnected => "disconnected",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "connected" => Status::Connected,
            "paused" => Status::Paused,
            "disconnected" => Status::Disconnected,
            // A word of a newer version is something to look at.
            _ => Status::Degraded,
        }
    }
}

/// How a paused connection stood before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeforePause {
    /// How.
    pub status: Status,
    /// Why.
    pub reason: Option<String>,
}

impl BeforePause {
    /// As it is stored: the status, and after a space the reason.
    fn parse(text: &str) -> Self {
        let (status, reason) = text
            .split_once(' ')
            .map_or((text, None), |(status, reason)| (status, Some(reason)));
        Self {
            status: Status::parse(status),
            reason: reason.map(str::to_owned),
        }
    }
}

/// A secret as the store keeps it.
#[derive(Clone, Debug)]
pub struct SealedSecret {
    /// The field's name.
    pub name: String,
    /// Sealed for this connection and name.
    pub sealed: Vec<u8>,
    /// Of a previous one: until when it counts.
    pub valid_until: Option<Timestamp>,
}

impl SealedSecret {
    /// Seals a connection's secret.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn new(
        seal: &Seal,
        id: &ConnectionId,
        name: &str,
        secret: &SecretString,
    ) -> Result<Self, SealError> {
        let sealed = seal.seal(&purpose(id, name), secret.expose_secret())?;
        Ok(Self {
            name: name.to_owned(),
            sealed,
            valid_until: None,
        })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn open(&self, seal: &Seal, id: &ConnectionId) -> Result<SecretString, SealError> {
        let secret = seal.open(&purpose(id, &self.name), &self.sealed);
        if secret.is_ok() || !id.is_uuid() {
            return secret;
        }
        // Ids in the form of a UUID were kept in the case in which they were given, and tools print either case.
        let upper = id.as_str().to_ascii_uppercase();
        seal.open(&format!("{upper}/{}", self.name), &self.sealed)
            .or(secret)
    }
}

fn purpose(id: &ConnectionId, name: &str) -> String {
    format!("{id}/{name}")
}

/// Makes a webhook secret of 48 characters that every store keeps as it is: other characters are rewritten by some shops'
/// admin forms.
///
/// # Errors
/// [`SealError::Random`].
pub fn generate_secret() -> Result<SecretString, SealError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut bytes = [0_u8; 48];
    getrandom::fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 63)]))
        .collect::<String>()
        .into())
}
