//! The state of the broker as the gateway sees it, for health checks and operators.

/// The kind of a problem with the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleCode {
    /// No address answers, or the login fails.
    Unreachable,
    /// The exchange or a queue is missing or wrong, and cannot be declared.
    Topology,
    /// Events return although a configured queue should receive them.
    Unrouted,
}

impl TroubleCode {
    pub const ALL: &[Self] = &[
        TroubleCode::Unreachable,
        TroubleCode::Topology,
        TroubleCode::Unrouted,
    ];

    /// The reason code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TroubleCode::Unreachable => "broker_unreachable",
            TroubleCode::Topology => "topology_lost",
            TroubleCode::Unrouted => "events_unrouted",
        }
    }
}

/// A problem with the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub code: TroubleCode,
    /// The sentence for the operator.
    pub detail: String,
}

/// The state of the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStatus {
    /// `true` if events can be published.
    pub connected: bool,
    /// `true` if the topology was complete at least once since the start.
    pub established: bool,
    /// Maximum size of a message in bytes; `None` until the broker refused a larger one.
    pub max_message_bytes: Option<usize>,
    pub trouble: Option<Trouble>,
}
