//! A connection as it is stored and listed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::state::{Condition, LifecycleState, Status};
use crate::delivery::{ConnectionId, webhook_path};
use crate::event::data::ConnectionHealth;
use crate::platforms::{ConnectionKind, connection_kind};

/// The kind of an installation, as stored and listed: a connection that an app's deliveries created.
pub const INSTALLATION_KIND: &str = "instance";

/// An installed store or app.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connection {
    pub id: ConnectionId,
    /// The platform's name.
    pub platform: String,
    /// The name of the [`ConnectionKind`], or [`INSTALLATION_KIND`].
    pub kind: String,
    /// For an installation: the app's connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ConnectionId>,
    pub status: Status,
    /// The reason code of the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a paused connection: the condition that the pause hides.
    #[serde(skip)]
    pub before_pause: Option<BeforePause>,
    /// What is known about the store, without secrets.
    pub settings: BTreeMap<String, String>,
    pub created_at: Timestamp,
    /// When the status or its reason last changed.
    pub changed_at: Timestamp,
}

/// The condition that a pause hides, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeforePause {
    pub status: Status,
    pub reason: Option<String>,
}

impl BeforePause {
    /// Parses the stored form: the status, and after a space the reason.
    pub(super) fn parse(text: &str) -> Self {
        let (status, reason) = match text.split_once(' ') {
            Some((status, reason)) => (status, Some(reason.to_owned())),
            None => (text, None),
        };
        Self {
            status: Status::parse(status),
            reason,
        }
    }

    /// The form that [`BeforePause::parse`] reads.
    pub(super) fn stored(condition: Condition<'_>) -> String {
        match condition.reason() {
            Some(reason) => format!("{} {reason}", condition.status().as_str()),
            None => condition.status().as_str().to_owned(),
        }
    }
}

impl Connection {
    /// A new connection without settings, with the status `connected`.
    #[must_use]
    pub fn new(id: ConnectionId, platform: &str, kind: &str, now: Timestamp) -> Self {
        Self {
            id,
            platform: platform.to_owned(),
            kind: kind.to_owned(),
            parent: None,
            status: Status::Connected,
            reason: None,
            before_pause: None,
            settings: BTreeMap::new(),
            created_at: now,
            changed_at: now,
        }
    }

    #[must_use]
    pub fn state(&self) -> LifecycleState<'_> {
        LifecycleState {
            condition: self.condition(),
            is_paused: self.status == Status::Paused,
        }
    }

    /// The condition; for a paused connection the one that the pause hides.
    #[must_use]
    pub fn condition(&self) -> Condition<'_> {
        match (self.status, &self.before_pause) {
            (Status::Paused, Some(before)) => {
                Condition::new(before.status, before.reason.as_deref())
            }
            (Status::Paused, None) => Condition::Connected,
            (status, _) => Condition::new(status, self.reason.as_deref()),
        }
    }

    /// The connection, unpaused, in this condition.
    #[must_use]
    pub fn in_condition(&self, condition: Condition<'_>) -> Self {
        Self {
            status: condition.status(),
            reason: condition.reason().map(str::to_owned),
            before_pause: None,
            ..self.clone()
        }
    }

    /// The description of the kind; `None` for an installation.
    #[must_use]
    pub fn described_kind(&self) -> Option<&'static ConnectionKind> {
        connection_kind(&self.kind).map(|(_, kind)| kind)
    }

    /// `true` if deliveries of the connection arrive: by its own endpoint, or by its app's endpoint.
    #[must_use]
    pub fn receives_deliveries(&self) -> bool {
        self.kind == INSTALLATION_KIND
            || self
                .described_kind()
                .is_some_and(|kind| kind.receives_webhooks)
    }

    /// The path of the connection's webhook endpoint.
    #[must_use]
    pub fn webhook_path(&self) -> String {
        webhook_path(&self.platform, &self.id)
    }

    /// The URL of the connection's webhook endpoint. `public_url` is the gateway's address without a slash at the end.
    #[must_use]
    pub fn webhook_url(&self, public_url: &str) -> String {
        format!("{public_url}{}", self.webhook_path())
    }

    /// The data of a `connection.*` event.
    #[must_use]
    pub fn health(&self) -> ConnectionHealth {
        let settings = if self.settings.is_empty() {
            None
        } else {
            Some(self.settings.clone())
        };
        ConnectionHealth {
            id: self.id.to_string(),
            status: Some(self.status.as_str().to_owned()),
            reason: self.reason.clone(),
            parent_id: self.parent.as_ref().map(ToString::to_string),
            settings,
        }
    }
}
