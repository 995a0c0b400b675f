//! The memory for bodies that are being read. No sender can use up the memory of the others.
//!
//! - Memory is reserved for bytes that have arrived, not for the announced length.
//! - Small and large bodies have separate budgets: a small body never waits for a large one.
//! - A connection id uses at most half of a budget.
//! - If a budget is used up, memory is reclaimed from a sender that uses more, counted by client address and by connection
//!   id, or from a body that arrives too slowly. The request that loses its memory is answered 503.
//! - The memory of a body that has arrived completely is never reclaimed.
//! - One body may exceed a budget, so that bodies cannot wait for each other forever.
//!
//! Behind a proxy all senders have one address, and the share by connection id still counts. An unknown connection id gets
//! no memory: its request is answered 404 before its body is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::body_pool::{Full, Pool};
use super::body_pool_state::BodyClaim;
use super::body_sender::Sender;

/// A body of up to this many bytes is read without a reservation.
pub(super) const FREE_BYTES: usize = 8 << 10;
/// A body of up to this many bytes is small.
pub(super) const SMALL_BODY_BYTES: usize = 64 << 10;
/// The budget of all small bodies.
const SMALL_BUDGET_BYTES: usize = 64 << 20;
/// The smallest budget of all large bodies. A large `--max-body-bytes` raises it.
const LARGE_BUDGET_BYTES: usize = 128 << 20;
/// The budget of large bodies has space for at least this many bodies of the maximum length.
const LARGEST_BODIES: usize = 4;
/// The budgets of all bodies.
#[derive(Debug)]
pub(super) struct BodyBudget {
    small: Pool,
    large: Pool,
    next_id: AtomicU64,
}

/// The memory of one body. It is released on drop.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    budget: &'a BodyBudget,
    claim: BodyClaim,
    bytes: usize,
}

impl BodyBudget {
    /// Budgets for bodies of at most `max_body_bytes`.
    #[must_use]
    pub(super) fn new(max_body_bytes: usize) -> Self {
        let large = max_body_bytes.saturating_mul(LARGEST_BODIES);
        Self::of(SMALL_BUDGET_BYTES, large.max(LARGE_BUDGET_BYTES))
    }

    fn of(small: usize, large: usize) -> Self {
        Self {
            small: Pool::new(small),
            large: Pool::new(large),
            next_id: AtomicU64::new(0),
        }
    }

    /// A reservation of no bytes.
    pub(super) fn open(&self, sender: Sender) -> Reservation<'_> {
        Reservation {
            budget: self,
            claim: BodyClaim {
                id: self.next_id.fetch_add(1, Ordering::Relaxed),
                sender,
                started: Instant::now(),
                taken_away: Arc::default(),
            },
            bytes: 0,
        }
    }
}

impl Reservation<'_> {
    /// Waits until the body may use `bytes` bytes in total.
    pub(super) async fn reserve(&mut self, bytes: usize, timeout: Duration) -> Result<(), Full> {
        if bytes <= FREE_BYTES || bytes <= self.bytes {
            return Ok(());
        }
        let budget = self.budget;
        if bytes <= SMALL_BODY_BYTES {
            budget.small.reserve(&self.claim, bytes, timeout).await?;
        } else {
            budget.large.reserve(&self.claim, bytes, timeout).await?;
            budget.small.release(self.claim.id);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Marks the body as arrived completely. Its memory is not reclaimed any more.
    pub(super) fn complete(&self) -> Result<(), Full> {
        if self.bytes == 0 {
            return Ok(());
        }
        self.budget.pool(self.bytes).complete(self.claim.id)
    }

    /// Waits until the memory is reclaimed.
    pub(super) async fn taken_away(&self) {
        self.claim.taken_away.notified().await;
    }
}

impl BodyBudget {
    fn pool(&self, bytes: usize) -> &Pool {
        if bytes <= SMALL_BODY_BYTES {
            &self.small
        } else {
            &self.large
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.small.release(self.claim.id);
        self.budget.large.release(self.claim.id);
    }
}

#[cfg(test)]
mod tests;
