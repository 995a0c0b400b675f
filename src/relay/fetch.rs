//! A request to a store's API for the data of thin deliveries.

use std::time::Instant;

use crate::delivery::ConnectionId;
use crate::journal::entry::Position;

/// A request, and the store that it goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FetchTarget {
    /// The store's connection.
    pub(super) connection: ConnectionId,
    /// The connection whose endpoint received the deliveries. For an app, this connection has the credentials.
    pub(super) endpoint: ConnectionId,
    pub(super) platform: String,
    /// The platform's request in its stored form. Only the platform reads it.
    pub(super) request: String,
    /// The subject of a deletion that the store has to confirm.
    pub(super) deletion: Option<String>,
}

/// A request that is due.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fetch {
    pub(super) target: FetchTarget,
    /// The entries that the response enriches.
    pub(super) positions: Vec<Position>,
    /// When the first of these entries began to wait.
    pub(super) since: Instant,
    /// Failed attempts so far.
    pub(super) failures: u32,
    /// Attempts so far whose response contradicted the delivery.
    pub(super) contradictions: u32,
}
