//! The memory for bodies that are being read, shared so that no sender keeps another one's delivery out.
//!
//! - Memory is reserved for what has arrived, not for what was announced.
//! - Small and large bodies have budgets of their own: a small body never waits behind a large one.
//! - A connection id holds at most half of a budget.
//! - Where a budget is used up, a reservation is taken from a sender that holds more than the one who asks, counted by
//!   client address and by connection id, or from a body that comes too slowly. That request is answered 503.
//! - A body that has arrived whole is never taken away.
//! - One body may go beyond a budget, so that bodies that wait for each other never wait for ever.
//!
//! Behind a proxy all senders have one address: the share by connection id still counts. An unknown connection id gets no
//! memory at all: it is answered 404 before its body is read.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::delivery::ConnectionId;

/// A body of up to this many bytes is read without a reservation.
pub(super) const FREE_BYTES: usize = 8 << 10;
/// A body of up to this many bytes is a small one.
pub(super) const SMALL_BODY_BYTES: usize = 64 << 10;
/// The budget of all small bodies.
const SMALL_BUDGET_BYTES: usize = 64 << 20;
/// The budget of all large bodies, where `--max-body-bytes` does not need more.
const LARGE_BUDGET_BYTES: usize = 128 << 20;
/// The budget of large bodies holds at least this many of the largest ones.
const LARGEST_BODIES: usize = 4;
/// A body may be taken away when it took longer than this plus the time that the slowest rate allows ...
const SLOW_AFTER: Duration = Duration::from_millis(300);
/// ... which is this many bytes a second ...
const SLOWEST_RATE: u64 = 256 << 10;
/// ... or when nothing of it came for this long.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// How often a body that waits looks for one that became slow.
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The budgets of all bodies.
#[derive(Debug)]
pub(super) struct BodyBudget {
    small: Pool,
    large: Pool,
    next_id: AtomicU64,
}

/// The sender of a body, as far as the budget tells senders apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    address: Option<IpAddr>,
    connection: ConnectionId,
}

impl Sender {
    /// A client's address and the connection id of its URL. IPv6 clients count by their network of 64 bits.
    pub(super) fn new(address: Option<IpAddr>, connection: ConnectionId) -> Self {
        let address = address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        });
        Self {
            address,
            connection,
        }
    }
}

/// There is no memory for the body, or its memory was taken away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The memory of one body. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    budget: &'a BodyBudget,
    sender: Sender,
    id: u64,
    started: Instant,
    bytes: usize,
    taken_away: Arc<Notify>,
}

impl BodyBudget {
    /// The budgets for bodies of up to that length.
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
            sender,
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            started: Instant::now(),
            bytes: 0,
            taken_away: Arc::default(),
        }
    }
}

impl Reservation<'_> {
    /// Waits until the body may take that many bytes in all.
    pub(super) async fn reserve(&mut self, bytes: usize, timeout: Duration) -> Result<(), Full> {
        if bytes <= FREE_BYTES || bytes <= self.bytes {
            return Ok(());
        }
        let budget = self.budget;
        if bytes <= SMALL_BODY_BYTES {
            budget.small.reserve(self, bytes, timeout).await?;
        } else {
            budget.large.reserve(self, bytes, timeout).await?;
            budget.small.release(self.id);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The body has arrived whole: its memory is not taken away any more.
    pub(super) fn complete(&self) -> Result<(), Full> {
        if self.bytes == 0 {
            return Ok(());
        }
        self.budget.pool(self.bytes).complete(self.id)
    }

    /// Ends when the memory was taken away.
    pub(super) async fn taken_away(&self) {
        self.taken_away.notified().await;
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
        self.budget.small.release(self.id);
        self.budget.large.release(self.id);
    }
}

/// One of the two budgets.
#[derive(Debug)]
struct Pool {
    bytes: usize,
    state: Mutex<PoolState>,
    released: Notify,
}

#[derive(Debug)]
struct PoolState {
    used: usize,
    by_address: HashMap<Option<IpAddr>, usize>,
    by_connection: HashMap<ConnectionId, usize>,
    held: HashMap<u64, Held>,
    /// The body that may go beyond the budget.
    beyond: Option<u64>,
    /// When a waiting body last looked for one to take memory from.
    searched: Instant,
}

#[derive(Debug)]
struct Held {
    sender: Sender,
    bytes: usize,
    started: Instant,
    /// When the body last grew or began to wait.
    progressed: Instant,
    /// How long the body waited for memory: that is no fault of its sender.
    waited: Duration,
    waiting: bool,
    complete: bool,
    taken_away: Arc<Notify>,
}

impl Held {
    fn is_slow(&self, now: Instant) -> bool {
        if self.complete || self.waiting {
            return false;
        }
        let active = now.duration_since(self.started).saturating_sub(self.waited);
        let allowed = Duration::from_millis(self.bytes as u64 * 1000 / SLOWEST_RATE);
        active > SLOW_AFTER + allowed || now.duration_since(self.progressed) > STALLED_AFTER
    }
}

/// What a try to reserve found.
#[derive(Debug, PartialEq, Eq)]
enum Try {
    Granted,
    Wait,
    TakenAway,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let state = PoolState {
            used: 0,
            by_address: HashMap::new(),
            by_connection: HashMap::new(),
            held: HashMap::new(),
            beyond: None,
            searched: Instant::now(),
        };
        Self {
            bytes,
            state: Mutex::new(state),
            released: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reserve(
        &self,
        reservation: &Reservation<'_>,
        bytes: usize,
        timeout: Duration,
    ) -> Result<(), Full> {
        let began = Instant::now();
        self.state().enter(reservation, began);
        let mut first = true;
        loop {
            // Before the try, so that a release between the try and the wait is not missed.
            let released = self.released.notified();
            let now = Instant::now();
            let tried = self
                .state()
                .try_reserve(reservation.id, bytes, self.bytes, first);
            match tried {
                Try::Granted => return Ok(()),
                Try::TakenAway => return Err(Full),
                Try::Wait if now.duration_since(began) >= timeout => return Err(Full),
                Try::Wait => {}
            }
            first = false;
            tokio::select! {
                () = released => {}
                () = tokio::time::sleep(RECHECK_INTERVAL / 2) => {}
            }
        }
    }

    fn complete(&self, id: u64) -> Result<(), Full> {
        let mut state = self.state();
        let held = state.held.get_mut(&id).ok_or(Full)?;
        held.complete = true;
        Ok(())
    }

    fn release(&self, id: u64) {
        if self.state().remove(id).is_some() {
            self.released.notify_one();
        }
    }
}

impl PoolState {
    /// Notes that a body wants memory.
    fn enter(&mut self, reservation: &Reservation<'_>, now: Instant) {
        let held = self.held.entry(reservation.id).or_insert_with(|| Held {
            sender: reservation.sender.clone(),
            bytes: 0,
            started: reservation.started,
            progressed: now,
            waited: Duration::ZERO,
            waiting: false,
            complete: false,
            taken_away: Arc::clone(&reservation.taken_away),
        });
        held.progressed = now;
        held.waiting = true;
    }

    fn try_reserve(&mut self, id: u64, bytes: usize, budget: usize, first: bool) -> Try {
        let now = Instant::now();
        let Some(held) = self.held.get(&id) else {
            return Try::TakenAway;
        };
        let more = bytes.saturating_sub(held.bytes);
        if self.fits(id, more, budget) || self.beyond == Some(id) {
            return self.grant(id, more, now);
        }
        let search = first || now.duration_since(self.searched) >= RECHECK_INTERVAL;
        if search {
            self.searched = now;
            if self.take_from_others(id, more, budget, now) {
                return self.grant(id, more, now);
            }
        }
        if self.beyond.is_none() {
            self.beyond = Some(id);
            return self.grant(id, more, now);
        }
        Try::Wait
    }

    fn grant(&mut self, id: u64, more: usize, now: Instant) -> Try {
        let Some(held) = self.held.get_mut(&id) else {
            return Try::TakenAway;
        };
        held.bytes += more;
        held.waited += now.duration_since(held.progressed);
        held.waiting = false;
        held.progressed = now;
        self.used += more;
        *self.by_address.entry(held.sender.address).or_default() += more;
        *self
            .by_connection
            .entry(held.sender.connection.clone())
            .or_default() += more;
        Try::Granted
    }

    fn remove(&mut self, id: u64) -> Option<Held> {
        let held = self.held.remove(&id)?;
        self.used -= held.bytes;
        subtract(&mut self.by_address, &held.sender.address, held.bytes);
        subtract(&mut self.by_connection, &held.sender.connection, held.bytes);
        if self.beyond == Some(id) {
            self.beyond = None;
        }
        Some(held)
    }

    fn fits(&self, id: u64, more: usize, budget: usize) -> bool {
        self.used + more <= budget && !self.is_over_share(id, more, budget)
    }

    /// `true` if the body's connection id would hold more than half of the budget. A body alone may.
    fn is_over_share(&self, id: u64, more: usize, budget: usize) -> bool {
        let Some(held) = self.held.get(&id) else {
            return false;
        };
        let of_connection = self.of_connection(&held.sender);
        of_connection > held.bytes && of_connection + more > budget / 2
    }

    fn of_connection(&self, sender: &Sender) -> usize {
        let bytes = self.by_connection.get(&sender.connection);
        bytes.copied().unwrap_or(0)
    }

    /// How much memory a sender holds with `more` bytes, by its address and by its connection id.
    fn weight(&self, sender: &Sender, more: usize) -> u128 {
        let of_address = self.by_address.get(&sender.address).copied().unwrap_or(0);
        (of_address + more) as u128 * (self.of_connection(sender) + more) as u128
    }

    /// Takes memory away from all slow bodies, and from heavier senders until the body fits. Takes nothing where that would
    /// not be enough.
    fn take_from_others(&mut self, id: u64, more: usize, budget: usize, now: Instant) -> bool {
        let Some(asking) = self.held.get(&id) else {
            return false;
        };
        let over_share = self.is_over_share(id, more, budget);
        let own_weight = self.weight(&asking.sender, more);
        let mut missing = (self.used + more).saturating_sub(budget);
        if over_share {
            let share = self.of_connection(&asking.sender) + more;
            missing = missing.max(share.saturating_sub(budget / 2));
        }
        let mut others: Vec<(bool, u128, Instant, u64, usize)> = self
            .held
            .iter()
            .filter(|(other, held)| **other != id && !held.complete && held.bytes > 0)
            .filter(|(_, held)| !over_share || held.sender.connection == asking.sender.connection)
            .map(|(other, held)| {
                let weight = self.weight(&held.sender, 0);
                (held.is_slow(now), weight, held.started, *other, held.bytes)
            })
            .filter(|(slow, weight, ..)| *slow || *weight > own_weight)
            .collect();
        let available: usize = others.iter().map(|(.., bytes)| bytes).sum();
        if available < missing {
            return false;
        }
        // All slow ones, so that others that wait find memory too; then the heaviest, then the oldest.
        others.sort_by(|a, b| (b.0, b.1, a.2).cmp(&(a.0, a.1, b.2)));
        for (slow, .., other, bytes) in others {
            if missing == 0 && !slow {
                break;
            }
            missing = missing.saturating_sub(bytes);
            if let Some(held) = self.remove(other) {
                metrics::counter!("cartwire_bodies_dropped_total").increment(1);
                held.taken_away.notify_one();
            }
        }
        true
    }
}

fn subtract<K: std::hash::Hash + Eq>(totals: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    if let Some(total) = totals.get_mut(key) {
        *total = total.saturating_sub(bytes);
        if *total == 0 {
            totals.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
