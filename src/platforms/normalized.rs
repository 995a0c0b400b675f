//! What normalizing a delivery gives: events, nothing by design, or the reason why it is unreadable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::event::NormalizedEvent;

/// The result of normalizing a delivery.
#[derive(Debug)]
pub enum Normalized {
    /// The delivery gives events.
    Events {
        /// The events, in order.
        normalized_events: Vec<NormalizedEvent>,
        /// The platform's payload, byte for byte.
        raw: Box<RawValue>,
        /// A change of the connection itself.
        signal: Option<ConnectionSignal>,
    },
    /// The delivery gives no event, by design.
    Ignored {
        /// Reason code.
        reason: &'static str,
    },
    /// The payload is invalid: the delivery is dead-lettered.
    Unreadable {
        /// Reason code.
        reason: &'static str,
    },
}

/// Reason code of a delivery that contains a signed error in place of an entity. The user that owns the store's webhook
/// may no longer read the entity, so the connection is degraded. No API shows whether this has been repaired.
pub const OWNER_LOST_RIGHTS: &str = "webhook_owner_lost_rights";

/// A change of the connection that a delivery reports.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionSignal {
    /// The app was installed.
    Installed {
        /// The new settings of the connection, without secrets.
        settings: BTreeMap<String, String>,
        /// When the platform signed the delivery, if the signature covers a time.
        signed_at: Option<Timestamp>,
    },
    /// The app was removed.
    Removed {
        /// When the platform signed the delivery, if the signature covers a time.
        signed_at: Option<Timestamp>,
    },
    /// The connection lost permissions; with a reason code.
    Degraded(&'static str),
}

impl ConnectionSignal {
    /// When the delivery that installed or removed the connection was signed, if known.
    #[must_use]
    pub fn signed_at(&self) -> Option<Timestamp> {
        match self {
            ConnectionSignal::Installed { signed_at, .. }
            | ConnectionSignal::Removed { signed_at } => *signed_at,
            ConnectionSignal::Degraded(_) => None,
        }
    }
}
