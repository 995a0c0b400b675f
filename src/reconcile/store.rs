//! A store to read, with what its reads need.

use std::time::Duration;

use tokio::time::Instant;

use super::past::TargetExchange;
use crate::delivery::ConnectionId;
use crate::journal::Journal;
use crate::journal::entry::EntryKind;
use crate::outbound::Outbound;
use crate::platforms::StoreApi;
use crate::platforms::api::ConnectionContext;

/// A store to read.
pub(super) struct Store<'a> {
    pub(super) journal: &'a Journal,
    pub(super) outbound: &'a Outbound,
    pub(super) api: &'static dyn StoreApi,
    pub(super) context: &'a ConnectionContext,
    /// The kind of the entries for found changes.
    pub(super) kind: EntryKind,
    /// The exchange for the past; `None` if found changes are stored as deliveries.
    pub(super) exchange: Option<TargetExchange<'a>>,
    /// The read of a list ends with the first page after this time, so that other stores get their turn.
    pub(super) deadline: Option<Instant>,
    /// Time between two pages.
    pub(super) pause: Duration,
}

impl Store<'_> {
    pub(super) fn connection(&self) -> &ConnectionId {
        &self.context.id
    }
}
