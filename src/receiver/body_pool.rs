//! One budget of memory for bodies, and the wait for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::body_pool_state::{BodyClaim, PoolState, RECHECK_INTERVAL, ReserveAttempt};

/// There is no memory for the body, or its memory was reclaimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Pool {
    bytes: usize,
    state: Mutex<PoolState>,
    released: Notify,
}

impl Pool {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            state: Mutex::new(PoolState::new()),
            released: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn reserve(
        &self,
        claim: &BodyClaim,
        bytes: usize,
        timeout: Duration,
    ) -> Result<(), Full> {
        let began = Instant::now();
        self.state().enter(claim, began);
        let mut first = true;
        loop {
            // Created before the attempt, so that a release between the attempt and the wait is not missed.
            let released = self.released.notified();
            let now = Instant::now();
            let attempt = self.state().try_reserve(claim.id, bytes, self.bytes, first);
            match attempt {
                ReserveAttempt::Granted => return Ok(()),
                ReserveAttempt::TakenAway => return Err(Full),
                ReserveAttempt::Wait if now.duration_since(began) >= timeout => return Err(Full),
                ReserveAttempt::Wait => {}
            }
            first = false;
            tokio::select! {
                () = released => {}
                () = tokio::time::sleep(RECHECK_INTERVAL / 2) => {}
            }
        }
    }

    pub(super) fn complete(&self, id: u64) -> Result<(), Full> {
        let mut state = self.state();
        let body = state.bodies.get_mut(&id).ok_or(Full)?;
        body.complete = true;
        Ok(())
    }

    pub(super) fn release(&self, id: u64) {
        if self.state().remove(id).is_some() {
            self.released.notify_one();
        }
    }
}
