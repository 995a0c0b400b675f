//! The requests of one store: those that are due, and those in flight.

use std::collections::VecDeque;

use super::fetch::FetchTarget;

/// Requests in flight to one store. After a failure the store gets one request at a time.
pub(super) const MAX_IN_FLIGHT_PER_STORE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct StoreQueue {
    /// Targets that can be requested now.
    pub(super) due: VecDeque<FetchTarget>,
    pub(super) in_flight: usize,
    /// The last request failed.
    pub(super) is_failing: bool,
    /// The store waits for its turn among all stores.
    pub(super) is_open: bool,
}

impl StoreQueue {
    /// `true` if a target is due, no limit is reached, and the store does not wait for its turn yet.
    pub(super) fn can_start(&self) -> bool {
        let limit = if self.is_failing {
            1
        } else {
            MAX_IN_FLIGHT_PER_STORE
        };
        !self.is_open && self.in_flight < limit && !self.due.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.due.is_empty() && self.in_flight == 0 && !self.is_open
    }
}
