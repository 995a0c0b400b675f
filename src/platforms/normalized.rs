//! What normalizing a delivery gives: events, nothing by design, or the reason why it is unreadable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::content::Content;
use crate::delivery::ReasonCode;
use crate::event::NormalizedEvent;
use crate::platforms::api::FindingCode;

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
        /// The content, for a delivery about entities of the store.
        content: Option<Content>,
    },
    /// The delivery gives no event, by design.
    Ignored {
        /// Reason code.
        reason: ReasonCode,
    },
    /// The payload is invalid: the delivery is dead-lettered.
    Unreadable {
        /// Reason code.
        reason: ReasonCode,
    },
}

/// A problem that [`ConnectionSignal::Degraded`] reports. No API shows whether it is solved, so only the operator ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedProblem {
    pub code: FindingCode,
    pub cause: &'static str,
    /// What the operator has to do, with `{id}` in place of the connection's id.
    pub remedy: &'static str,
}

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
    /// The connection lost permissions; with the reason code of a [`ReportedProblem`].
    Degraded(FindingCode),
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
