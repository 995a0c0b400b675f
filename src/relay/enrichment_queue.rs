//! The queue of thin deliveries that wait for their enrichment.
//!
//! Pure bookkeeping: no clock of its own, no I/O. `fetching` makes the requests. Deliveries that need the same object of
//! one store share a request. A delivery that arrives while that request runs waits for the next one, because the running
//! response may be older than the delivery. Connections share the space for waiting deliveries fairly.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::fetch::{Fetch, FetchTarget};
use super::shares::Shares;
use super::store_queue::StoreQueue;
use crate::delivery::ConnectionId;
use crate::journal::entry::{Entry, Position};

/// Changes come in bursts: so long the first delivery waits for others that can share its request.
const GATHER_DELAY: Duration = Duration::from_millis(300);
/// Requests in flight to all stores.
const MAX_IN_FLIGHT: usize = 64;
/// Deliveries that may wait, and the bytes of their bodies.
const MAX_WAITING: usize = 10_000;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Deliveries that one response enriches. Further ones wait for the next request, so that no step of the relay takes long.
const MAX_PER_REQUEST: usize = 500;

#[derive(Debug, Default)]
struct Waiting {
    /// The entries that the next response enriches.
    positions: Vec<Position>,
    /// A request is in flight. The entries above wait for the next one.
    is_in_flight: bool,
    /// The target is in `due` or in `later`. It is never there twice.
    is_scheduled: bool,
    /// When the first of these entries began to wait.
    since: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// Contradictions in a row.
    contradictions: u32,
}

#[derive(Debug)]
pub(super) struct EnrichmentQueue {
    entries: HashMap<Position, (FetchTarget, Entry)>,
    shares: Shares,
    targets: HashMap<FetchTarget, Waiting>,
    /// Targets that are requested later, by the time.
    later: BTreeMap<(Instant, u64), FetchTarget>,
    count: u64,
    stores: HashMap<ConnectionId, StoreQueue>,
    /// The stores that can get a request now, in turn.
    open: VecDeque<ConnectionId>,
    in_flight: usize,
}

impl Default for EnrichmentQueue {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            shares: Shares::new(MAX_WAITING, MAX_WAITING_BYTES),
            targets: HashMap::new(),
            later: BTreeMap::new(),
            count: 0,
            stores: HashMap::new(),
            open: VecDeque::new(),
            in_flight: 0,
        }
    }
}

impl EnrichmentQueue {
    /// `true` if deliveries of this connection wait.
    #[must_use]
    pub(super) fn is_waiting(&self, connection: &ConnectionId) -> bool {
        self.shares.of(connection).count > 0
    }

    /// `true` if the entry waits for the confirmation of a deletion.
    #[must_use]
    pub(super) fn is_deletion(&self, position: Position) -> bool {
        let waiting = self.entries.get(&position);
        waiting.is_some_and(|(target, _)| target.deletion.is_some())
    }

    /// `true` if another delivery of this connection and size may wait.
    #[must_use]
    pub(super) fn has_space(&self, connection: &ConnectionId, bytes: usize) -> bool {
        self.shares.fits(connection, bytes)
    }

    /// Adds a delivery.
    pub(super) fn wait(&mut self, target: FetchTarget, entry: Entry, now: Instant) {
        let position = entry.position;
        self.shares.add(&target.connection, entry.delivery.bytes());
        let waiting = self.targets.entry(target.clone()).or_default();
        waiting.positions.push(position);
        waiting.since.get_or_insert(now);
        self.entries.insert(position, (target.clone(), entry));
        self.schedule(&target, now + GATHER_DELAY);
    }

    /// Schedules the request of a target, unless it is scheduled or in flight.
    fn schedule(&mut self, target: &FetchTarget, until: Instant) {
        if let Some(waiting) = self.targets.get_mut(target)
            && !waiting.is_in_flight
            && !waiting.is_scheduled
        {
            waiting.is_scheduled = true;
            self.count += 1;
            self.later.insert((until, self.count), target.clone());
        }
    }

    /// Makes these targets due at once, without regard to their back-off.
    pub(super) fn hurry(&mut self, is_wanted: impl Fn(&FetchTarget) -> bool, now: Instant) {
        let wanted: Vec<_> = self
            .later
            .extract_if(.., |(until, _), target| *until > now && is_wanted(target))
            .collect();
        for ((_, number), target) in wanted {
            self.later.insert((now, number), target);
        }
    }

    /// Removes a delivery that was enriched or released.
    pub(super) fn take(&mut self, position: Position) -> Option<Entry> {
        let (target, entry) = self.entries.remove(&position)?;
        self.shares
            .remove(&target.connection, entry.delivery.bytes());
        if let Some(waiting) = self.targets.get_mut(&target) {
            waiting.positions.retain(|waits| *waits != position);
        }
        self.remove_idle(&target);
        Some(entry)
    }

    /// When the next request becomes due.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Instant> {
        self.later.keys().next().map(|(until, _)| *until)
    }

    /// The next request that may be made now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Fetch> {
        while let Some(first) = self.later.first_entry() {
            if first.key().0 > now {
                break;
            }
            let target = first.remove();
            let connection = target.connection.clone();
            self.stores
                .entry(connection.clone())
                .or_default()
                .due
                .push_back(target);
            self.open(&connection);
        }
        while self.in_flight < MAX_IN_FLIGHT {
            let connection = self.open.pop_front()?;
            let Some(store) = self.stores.get_mut(&connection) else {
                continue;
            };
            store.is_open = false;
            let Some(target) = store.due.pop_front() else {
                continue;
            };
            let fetch = self.fetch(&target, now);
            self.open(&connection);
            if fetch.is_some() {
                return fetch;
            }
            self.remove_idle(&target);
        }
        None
    }

    /// Makes the request of a target. `None` if no entry waits for the target any more.
    fn fetch(&mut self, target: &FetchTarget, now: Instant) -> Option<Fetch> {
        let waiting = self.targets.get_mut(target)?;
        waiting.is_scheduled = false;
        if waiting.positions.is_empty() {
            return None;
        }
        waiting.is_in_flight = true;
        let more = waiting
            .positions
            .split_off(waiting.positions.len().min(MAX_PER_REQUEST));
        let positions = std::mem::replace(&mut waiting.positions, more);
        let since = waiting.since.take().unwrap_or(now);
        waiting.since = (!waiting.positions.is_empty()).then_some(since);
        let fetch = Fetch {
            target: target.clone(),
            positions,
            since,
            failures: waiting.failures,
            contradictions: waiting.contradictions,
        };
        self.in_flight += 1;
        if let Some(store) = self.stores.get_mut(&target.connection) {
            store.in_flight += 1;
        }
        Some(fetch)
    }

    /// Adds a store to the turns if it can get a request.
    fn open(&mut self, connection: &ConnectionId) {
        let Some(store) = self.stores.get_mut(connection) else {
            return;
        };
        if store.can_start() {
            store.is_open = true;
            self.open.push_back(connection.clone());
        }
    }

    /// A request succeeded. Deliveries that arrived meanwhile are next.
    pub(super) fn answered(&mut self, target: &FetchTarget, now: Instant) {
        if let Some(waiting) = self.targets.get_mut(target) {
            (
                waiting.is_in_flight,
                waiting.failures,
                waiting.contradictions,
            ) = (false, 0, 0);
            if !waiting.positions.is_empty() {
                self.schedule(target, now + GATHER_DELAY);
            }
        }
        self.ended(target, false);
    }

    /// A request failed or was contradicted. Its entries wait for the next request, after `pause`.
    pub(super) fn again(
        &mut self,
        fetch: Fetch,
        was_contradicted: bool,
        pause: impl FnOnce(u32) -> Duration,
        now: Instant,
    ) {
        let Fetch {
            target,
            positions,
            since,
            ..
        } = fetch;
        let known = positions
            .into_iter()
            .filter(|position| self.entries.contains_key(position));
        let waiting = self.targets.entry(target.clone()).or_default();
        waiting.is_in_flight = false;
        waiting.failures = waiting.failures.saturating_add(1);
        waiting.contradictions += u32::from(was_contradicted);
        waiting.since = Some(since);
        waiting.positions.extend(known);
        // An entry that was released meanwhile and claimed again waits once.
        waiting.positions.sort_unstable();
        waiting.positions.dedup();
        if !waiting.positions.is_empty() {
            let until = now + pause(waiting.failures);
            self.schedule(&target, until);
        }
        self.ended(&target, !was_contradicted);
    }

    fn ended(&mut self, target: &FetchTarget, is_failing: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(store) = self.stores.get_mut(&target.connection) {
            store.in_flight = store.in_flight.saturating_sub(1);
            store.is_failing = is_failing;
        }
        self.open(&target.connection);
        self.remove_idle(target);
    }

    /// Removes a target and a store that have nothing to do.
    fn remove_idle(&mut self, target: &FetchTarget) {
        let is_idle = |waiting: &Waiting| {
            waiting.positions.is_empty() && !waiting.is_in_flight && !waiting.is_scheduled
        };
        if self.targets.get(target).is_some_and(is_idle) {
            self.targets.remove(target);
        }
        let connection = &target.connection;
        if self.stores.get(connection).is_some_and(StoreQueue::is_idle) {
            self.stores.remove(connection);
        }
    }
}

#[cfg(test)]
mod tests;
