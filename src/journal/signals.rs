//! The signals that wake the tasks that wait for the journal.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// An entry became pending.
    pub(super) arrived: Arc<Notify>,
    /// An event was added to the event log.
    pub(super) logged: watch::Sender<u64>,
}
