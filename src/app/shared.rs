//! What the receiver, the relay and the monitor learn about connections and share in memory.

use std::sync::Arc;

use crate::connections::{Accepted, Rejections, UnreadableBodies};
use crate::monitor::Findings;

#[derive(Clone, Default)]
pub(super) struct Shared {
    /// Rejected requests by connection.
    pub(super) rejections: Arc<Rejections>,
    /// When each connection's deliveries were accepted.
    pub(super) accepted: Arc<Accepted>,
    /// Deliveries that could not be read, by connection.
    pub(super) unreadable: Arc<UnreadableBodies>,
    /// The results of the last checks.
    pub(super) findings: Findings,
}
