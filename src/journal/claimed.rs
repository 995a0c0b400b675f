//! What a claim takes and returns: wants, exclusions, claimed entries and damaged rows.

use std::collections::HashSet;

use super::entry::{Entry, Position};
use crate::delivery::ConnectionId;

/// A connection to claim from, and how much.
#[derive(Clone, Debug)]
pub struct Want {
    /// The connection's name as the journal has it.
    pub connection: String,
    /// The first position that may be claimed.
    pub from: Position,
    /// Maximum number of entries.
    pub entries: usize,
    /// Stops after so many bytes; the first entry may be larger.
    pub bytes: usize,
    /// `true` for a paused connection: only the gateway's announcements are claimed, and only before the first delivery.
    pub is_paused: bool,
}

/// What a claim must not return.
#[derive(Clone, Debug, Default)]
pub struct Excluded {
    /// Entries that are in flight.
    pub in_flight: HashSet<Position>,
    /// Deliveries that came in by these connections are passed over.
    pub paused_endpoints: HashSet<ConnectionId>,
}

/// The result for one [`Want`].
#[derive(Debug, Default)]
pub struct Claimed {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// Where to continue; `None` if nothing claimable is left.
    pub next: Option<Position>,
    /// `true` if a redriven entry was passed over because it is in hand: it may have been redriven since.
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
    /// `false` if the file could not be read at the moment, for example because of the disk: try again later.
    pub is_final: bool,
}

/// Which connections have entries that became pending after a position.
#[derive(Debug, Default)]
pub struct PendingConnections {
    /// Each connection with the first such position.
    pub connections: Vec<(String, Position)>,
    /// How far the journal was searched.
    pub through: Position,
    /// `false` if there is more after `through`.
    pub is_complete: bool,
}
