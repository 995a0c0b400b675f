//! The state of a connection: its condition, and whether the operator paused it. `lifecycle` has the transitions.

use serde::Serialize;

/// Reason of a connection that the operator paused or removed.
pub(super) const OPERATOR: &str = "operator";

/// The visible status of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No problem is known.
    Connected,
    /// A part does not work: see the reason.
    Degraded,
    /// The operator paused the connection: its deliveries are stored and not published.
    Paused,
    /// The store removed the gateway's access.
    Disconnected,
}

impl Status {
    pub const ALL: [Status; 4] = [
        Status::Connected,
        Status::Degraded,
        Status::Paused,
        Status::Disconnected,
    ];

    /// The name in the data file, in events and in lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Connected => "connected",
            Status::Degraded => "degraded",
            Status::Paused => "paused",
            Status::Disconnected => "disconnected",
        }
    }

    /// Parses a stored status. An unknown one was stored by a newer version and counts as degraded.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "connected" => Status::Connected,
            "paused" => Status::Paused,
            "disconnected" => Status::Disconnected,
            _ => Status::Degraded,
        }
    }
}

/// The condition of a connection, independent of a pause, with the reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    Connected,
    Degraded(Option<&'a str>),
    Disconnected(Option<&'a str>),
}

impl<'a> Condition<'a> {
    /// The condition for a stored status and reason. [`Status::Paused`] is no condition and counts as connected.
    pub(super) fn new(status: Status, reason: Option<&'a str>) -> Self {
        match status {
            Status::Connected | Status::Paused => Condition::Connected,
            Status::Degraded => Condition::Degraded(reason),
            Status::Disconnected => Condition::Disconnected(reason),
        }
    }

    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Condition::Connected => Status::Connected,
            Condition::Degraded(_) => Status::Degraded,
            Condition::Disconnected(_) => Status::Disconnected,
        }
    }

    #[must_use]
    pub fn reason(self) -> Option<&'a str> {
        match self {
            Condition::Connected => None,
            Condition::Degraded(reason) | Condition::Disconnected(reason) => reason,
        }
    }

    /// `true` if the connection is degraded for this reason.
    #[must_use]
    pub fn is_degraded_by(self, code: &str) -> bool {
        matches!(self, Condition::Degraded(Some(reason)) if reason == code)
    }
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifecycleState<'a> {
    pub condition: Condition<'a>,
    pub is_paused: bool,
}

impl<'a> LifecycleState<'a> {
    #[must_use]
    pub fn status(self) -> Status {
        if self.is_paused {
            Status::Paused
        } else {
            self.condition.status()
        }
    }

    /// The reason code of the visible status.
    #[must_use]
    pub fn reason(self) -> Option<&'a str> {
        if self.is_paused {
            Some(OPERATOR)
        } else {
            self.condition.reason()
        }
    }
}
