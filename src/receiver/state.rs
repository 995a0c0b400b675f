//! The state that all webhook requests share.

use std::sync::Arc;
use std::time::Duration;

use super::append_turns::AppendTurns;
use super::body_budget::BodyBudget;
use crate::connections::{Accepted, Directory, Rejections};
use crate::journal::Journal;

/// What the webhook routes use.
#[derive(Clone)]
pub struct Receiver {
    pub(super) journal: Journal,
    pub(super) directory: Directory,
    pub(super) rejections: Arc<Rejections>,
    pub(super) accepted: Arc<Accepted>,
    pub(super) max_body_bytes: usize,
    pub(super) body_timeout: Duration,
    pub(super) body_budget: Arc<BodyBudget>,
    pub(super) append_turns: Arc<AppendTurns>,
}

/// The parts of a [`Receiver`].
pub struct ReceiverParts {
    /// Stores the deliveries.
    pub journal: Journal,
    /// The endpoints and their keys.
    pub directory: Directory,
    /// Counts refused requests by connection.
    pub rejections: Arc<Rejections>,
    /// Records when a connection's deliveries were accepted.
    pub accepted: Arc<Accepted>,
    /// Larger bodies are answered 413.
    pub max_body_bytes: usize,
    /// Slower bodies are answered 408.
    pub body_timeout: Duration,
}

impl Receiver {
    #[must_use]
    pub fn new(parts: ReceiverParts) -> Self {
        Self {
            body_budget: Arc::new(BodyBudget::new(parts.max_body_bytes)),
            append_turns: Arc::default(),
            journal: parts.journal,
            directory: parts.directory,
            rejections: parts.rejections,
            accepted: parts.accepted,
            max_body_bytes: parts.max_body_bytes,
            body_timeout: parts.body_timeout,
        }
    }
}
