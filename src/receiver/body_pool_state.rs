//! The memory of one body budget: the shares of bodies and senders, and the order in which memory is reclaimed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::body_sender::Sender;
use crate::delivery::ConnectionId;

/// The memory of a body may be reclaimed when the body takes longer than this plus its time at the slowest rate.
const SLOW_AFTER: Duration = Duration::from_millis(300);
/// In bytes per second.
const SLOWEST_RATE: u64 = 256 << 10;
/// The memory of a body may also be reclaimed when no bytes arrive for this long.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(2);
/// How often a waiting body searches for bodies that became slow.
pub(super) const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A body that needs memory.
#[derive(Debug)]
pub(super) struct BodyClaim {
    pub(super) id: u64,
    pub(super) sender: Sender,
    pub(super) started: Instant,
    /// Notified when the memory of the body is reclaimed.
    pub(super) taken_away: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct PoolState {
    pub(super) used: usize,
    pub(super) by_address: HashMap<Option<IpAddr>, usize>,
    pub(super) by_connection: HashMap<ConnectionId, usize>,
    pub(super) bodies: HashMap<u64, BodyShare>,
    /// The body that may exceed the budget.
    pub(super) beyond: Option<u64>,
    /// When a waiting body last searched for memory to reclaim.
    searched: Instant,
}

#[derive(Debug)]
pub(super) struct BodyShare {
    sender: Sender,
    bytes: usize,
    started: Instant,
    /// When the body last grew or began to wait.
    progressed: Instant,
    /// How long the body waited for memory. This time does not make its sender slow.
    waited: Duration,
    waiting: bool,
    pub(super) complete: bool,
    taken_away: Arc<Notify>,
}

impl BodyShare {
    fn is_slow(&self, now: Instant) -> bool {
        if self.complete || self.waiting {
            return false;
        }
        let active = now.duration_since(self.started).saturating_sub(self.waited);
        let allowed = Duration::from_millis(self.bytes as u64 * 1000 / SLOWEST_RATE);
        active > SLOW_AFTER + allowed || now.duration_since(self.progressed) > STALLED_AFTER
    }
}

/// The result of one attempt to reserve memory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReserveAttempt {
    Granted,
    Wait,
    TakenAway,
}

/// A body whose memory may be reclaimed.
struct Candidate {
    id: u64,
    is_slow: bool,
    weight: u128,
    started: Instant,
    bytes: usize,
}

impl PoolState {
    pub(super) fn new() -> Self {
        Self {
            used: 0,
            by_address: HashMap::new(),
            by_connection: HashMap::new(),
            bodies: HashMap::new(),
            beyond: None,
            searched: Instant::now(),
        }
    }

    /// Records that a body waits for memory.
    pub(super) fn enter(&mut self, claim: &BodyClaim, now: Instant) {
        let body = self.bodies.entry(claim.id).or_insert_with(|| BodyShare {
            sender: claim.sender.clone(),
            bytes: 0,
            started: claim.started,
            progressed: now,
            waited: Duration::ZERO,
            waiting: false,
            complete: false,
            taken_away: Arc::clone(&claim.taken_away),
        });
        body.progressed = now;
        body.waiting = true;
    }

    pub(super) fn try_reserve(
        &mut self,
        id: u64,
        bytes: usize,
        budget: usize,
        first: bool,
    ) -> ReserveAttempt {
        let now = Instant::now();
        let Some(body) = self.bodies.get(&id) else {
            return ReserveAttempt::TakenAway;
        };
        let more = bytes.saturating_sub(body.bytes);
        if self.fits(id, more, budget) || self.beyond == Some(id) {
            return self.grant(id, more, now);
        }
        let search = first || now.duration_since(self.searched) >= RECHECK_INTERVAL;
        if search {
            self.searched = now;
            if self.reclaim(id, more, budget, now) {
                return self.grant(id, more, now);
            }
        }
        if self.beyond.is_none() {
            self.beyond = Some(id);
            return self.grant(id, more, now);
        }
        ReserveAttempt::Wait
    }

    fn grant(&mut self, id: u64, more: usize, now: Instant) -> ReserveAttempt {
        let Some(body) = self.bodies.get_mut(&id) else {
            return ReserveAttempt::TakenAway;
        };
        body.bytes += more;
        body.waited += now.duration_since(body.progressed);
        body.waiting = false;
        body.progressed = now;
        self.used += more;
        *self.by_address.entry(body.sender.address).or_default() += more;
        *self
            .by_connection
            .entry(body.sender.connection.clone())
            .or_default() += more;
        ReserveAttempt::Granted
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<BodyShare> {
        let body = self.bodies.remove(&id)?;
        self.used -= body.bytes;
        subtract(&mut self.by_address, &body.sender.address, body.bytes);
        subtract(&mut self.by_connection, &body.sender.connection, body.bytes);
        if self.beyond == Some(id) {
            self.beyond = None;
        }
        Some(body)
    }

    fn fits(&self, id: u64, more: usize, budget: usize) -> bool {
        self.used + more <= budget && !self.is_over_share(id, more, budget)
    }

    /// `true` if the body's connection id would use more than half of the budget. A single body may.
    fn is_over_share(&self, id: u64, more: usize, budget: usize) -> bool {
        let Some(body) = self.bodies.get(&id) else {
            return false;
        };
        let of_connection = self.of_connection(&body.sender);
        of_connection > body.bytes && of_connection + more > budget / 2
    }

    fn of_connection(&self, sender: &Sender) -> usize {
        let bytes = self.by_connection.get(&sender.connection);
        bytes.copied().unwrap_or(0)
    }

    /// The memory of a sender with `more` bytes: that of its address times that of its connection id.
    fn weight(&self, sender: &Sender, more: usize) -> u128 {
        let of_address = self.by_address.get(&sender.address).copied().unwrap_or(0);
        (of_address + more) as u128 * (self.of_connection(sender) + more) as u128
    }

    /// Reclaims the memory of all slow bodies, and of heavier senders until the body fits. Reclaims nothing if that would
    /// not be enough.
    fn reclaim(&mut self, id: u64, more: usize, budget: usize, now: Instant) -> bool {
        let Some(own) = self.bodies.get(&id) else {
            return false;
        };
        let over_share = self.is_over_share(id, more, budget);
        let own_weight = self.weight(&own.sender, more);
        let mut missing = (self.used + more).saturating_sub(budget);
        if over_share {
            let share = self.of_connection(&own.sender) + more;
            missing = missing.max(share.saturating_sub(budget / 2));
        }
        let mut others: Vec<Candidate> = self
            .bodies
            .iter()
            .filter(|(other, body)| **other != id && !body.complete && body.bytes > 0)
            .filter(|(_, body)| !over_share || body.sender.connection == own.sender.connection)
            .map(|(other, body)| Candidate {
                id: *other,
                is_slow: body.is_slow(now),
                weight: self.weight(&body.sender, 0),
                started: body.started,
                bytes: body.bytes,
            })
            .filter(|other| other.is_slow || other.weight > own_weight)
            .collect();
        let available: usize = others.iter().map(|other| other.bytes).sum();
        if available < missing {
            return false;
        }
        // All slow bodies, so that other waiting bodies find memory too. Then the heaviest senders, the oldest body first.
        others.sort_by_key(|other| {
            let lightest_last = Reverse((other.is_slow, other.weight));
            (lightest_last, other.started)
        });
        for other in others {
            if missing == 0 && !other.is_slow {
                break;
            }
            missing = missing.saturating_sub(other.bytes);
            if let Some(body) = self.remove(other.id) {
                metrics::counter!("cartwire_bodies_dropped_total").increment(1);
                body.taken_away.notify_one();
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
