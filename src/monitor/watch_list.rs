//! The list of connections that the background monitor checks, with their state between two checks.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::Id;
use tokio::time::Instant;

use super::arrivals::Arrivals;
use super::outage::Outage;
use super::repairs::Repairs;
use super::store_lock::LastLocked;
use crate::connections::RejectionCount;
use crate::delivery::ConnectionId;

/// The first check of a connection is at a random moment of this time after a start.
const FIRST_CHECK_SPREAD: Duration = Duration::from_secs(60);

/// A connection between two checks.
pub(super) struct WatchedConnection {
    pub(super) next_check: Instant,
    /// Time from the first check to the second one; `None` after the first one.
    pub(super) second_check: Option<Duration>,
    pub(super) running: Option<RunningCheck>,
    /// When the last check began.
    pub(super) checked_at: Timestamp,
    pub(super) outage: Option<Outage>,
    pub(super) repairs: Repairs,
    /// Rejections are counted from this time: the last accepted delivery, or the operator's last repair.
    pub(super) counted_since: Timestamp,
    /// The rejection counts at that time.
    pub(super) earlier_rejections: Vec<RejectionCount>,
}

/// A check in progress.
#[derive(Clone, Copy)]
pub(super) struct RunningCheck {
    pub(super) task: Id,
    /// When the store lock was last acquired before the check began.
    pub(super) last_locked: LastLocked,
}

impl WatchedConnection {
    /// Restarts the count of rejections.
    pub(super) fn restart_count(&mut self, rejections: Vec<RejectionCount>) {
        self.counted_since = Timestamp::now();
        self.earlier_rejections = rejections;
    }
}

/// The connections with their arrivals.
#[derive(Default)]
pub(super) struct WatchList {
    pub(super) connections: HashMap<ConnectionId, WatchedConnection>,
    pub(super) arrivals: Arrivals,
    pub(super) arrivals_read_at: Option<Instant>,
    phases: RandomState,
}

impl WatchList {
    /// Removes the connections that are not among `ids`, and returns them.
    pub(super) fn retain(&mut self, ids: &HashSet<ConnectionId>) -> Vec<ConnectionId> {
        let mut removed = Vec::new();
        self.connections.retain(|id, _| {
            let exists = ids.contains(id);
            if !exists {
                removed.push(id.clone());
            }
            exists
        });
        self.arrivals.retain(|id| ids.contains(id));
        removed
    }

    /// Adds a connection. Its first check is soon, because stores disable webhooks while the gateway does not run. The second
    /// one is at a random time, so that the checks of many connections are spread out.
    pub(super) fn add(
        &mut self,
        id: ConnectionId,
        interval: Duration,
        rejections: Vec<RejectionCount>,
    ) {
        let phase = f64::from((self.phases.hash_one(&id) >> 32) as u32) / f64::from(u32::MAX);
        let watched = WatchedConnection {
            next_check: Instant::now() + FIRST_CHECK_SPREAD.min(interval).mul_f64(phase),
            second_check: Some(interval.mul_f64(0.5 + phase)),
            running: None,
            checked_at: Timestamp::UNIX_EPOCH,
            outage: None,
            counted_since: Timestamp::now(),
            earlier_rejections: rejections,
            repairs: Repairs::default(),
        };
        self.connections.insert(id, watched);
    }

    /// The connections whose check is due, longest due first, so that slow stores do not starve any connection.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(&ConnectionId, &mut WatchedConnection)> {
        let mut due: Vec<_> = self
            .connections
            .iter_mut()
            .filter(|(_, watched)| watched.running.is_none() && watched.next_check <= now)
            .collect();
        due.sort_by_key(|(_, watched)| watched.next_check);
        due
    }

    /// Removes the check of a task that has ended, and returns it.
    pub(super) fn finish(&mut self, task: Id) -> Option<RunningCheck> {
        let mut watched = self.connections.values_mut();
        let is_of_task = |watched: &&mut WatchedConnection| {
            watched.running.is_some_and(|running| running.task == task)
        };
        watched.find(is_of_task)?.running.take()
    }
}
