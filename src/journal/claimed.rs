//! The input and the result of a claim: wants, exclusions, claimed entries and damaged rows.

use std::collections::HashSet;

use super::entry::{Entry, Position};
use crate::delivery::ConnectionId;

/// A connection to claim from, and how much.
#[derive(Clone, Debug)]
pub struct Want {
    /// The connection's name as stored.
    pub connection: String,
    /// The first position that may be claimed.
    pub from: Position,
    /// Maximum number of entries.
    pub entries: usize,
    /// Bytes after which the claim stops. The first entry may be larger.
    pub bytes: usize,
    /// `true` for a paused connection: only the gateway's announcements are claimed, and only before the first delivery.
    pub is_paused: bool,
}

/// What a claim must not return.
#[derive(Clone, Debug, Default)]
pub struct Excluded {
    /// Entries that are in flight.
    pub in_flight: HashSet<Position>,
    /// Deliveries to these endpoints are skipped.
    pub paused_endpoints: HashSet<ConnectionId>,
}

/// The result for one [`Want`].
#[derive(Debug, Default)]
pub struct Claimed {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// Where the next claim begins; `None` if there are no more entries to claim.
    pub next: Option<Position>,
    /// `true` if a redriven entry was skipped because it is in flight: it may have been redriven since.
    pub passed_over: bool,
    /// Rows that cannot be read.
    pub damaged: Vec<Damaged>,
}

/// A pending entry that cannot be read.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Its position.
    pub position: Position,
    /// The error, without any content of the row.
    pub error: String,
    /// `false` if the row may be readable later, for example after a fault of the disk.
    pub is_final: bool,
}

/// The connections with entries that became pending after a position.
#[derive(Debug, Default)]
pub struct PendingConnections {
    /// Each connection with the first such position.
    pub connections: Vec<(String, Position)>,
    /// The position up to which the journal was searched.
    pub through: Position,
    /// `false` if there are more entries after `through`.
    pub is_complete: bool,
}
