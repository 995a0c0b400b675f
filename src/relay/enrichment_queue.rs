//! Thin deliveries that wait until their store has told the rest: which, for what, and who is asked next.
//!
//! Bookkeeping without a clock of its own and without I/O; `asking` does the asking. Deliveries that need the same object of
//! one store share a request. A delivery that arrives while that request runs waits for the next one, because the running
//! answer may be older than the delivery. Connections share the space for waiting deliveries fairly.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::shares::Shares;
use crate::delivery::ConnectionId;
use crate::journal::entry::{Entry, Position};

/// Changes come in bursts: this long the first one waits for company before the store is asked.
const GATHER: Duration = Duration::from_millis(300);
/// Questions under way at once, and of those to one connection; to one that did not answer well, one.
const ASKING: usize = 64;
const ASKING_ONE: usize = 4;
/// Deliveries that may wait, and the bytes of their bodies.
const MAX_WAITING: usize = 10_000;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Deliveries that one answer completes. More of a kind wait for the next one, so that nothing takes long at a stretch.
const MOST_TOGETHER: usize = 500;

/// What is request, of which store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FetchTarget {
    /// The store's connection.
    pub(super) connection: ConnectionId,
    /// The connection that its deliveries come in by: holds the credentials of many stores, where it is an app's.
    pub(super) endpoint: ConnectionId,
    /// The platform's name.
    pub(super) platform: String,
    /// The platform's word for it.
    pub(super) request: String,
    /// The subject, if it is a deletion that is to be confirmed.
    pub(super) deletion: Option<String>,
}

/// A fetch that is to be asked now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fetch {
    /// For what.
    pub(super) target: FetchTarget,
    /// The entries that its answer completes.
    pub(super) positions: Vec<Position>,
    /// Since when the first of them waits.
    pub(super) since: Instant,
    /// How often it was asked in vain.
    pub(super) failures: u32,
    /// How often the store denied it.
    pub(super) contradictions: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Those that the next answer completes.
    positions: Vec<Position>,
    /// Is a fetch under way? Then those above wait for the one after it.
    is_asked: bool,
    /// Does it stand in line, now or for later? It stands there once.
    is_in_line: bool,
    /// Since when the first of them waits.
    since: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// Denials in a row.
    contradictions: u32,
}

/// A connection's.
#[derive(Debug, Default)]
struct Line {
    /// What can be asked now.
    due: VecDeque<FetchTarget>,
    asking: usize,
    /// Did the last fetch fail?
    is_failing: bool,
    /// Is it in `open`?
    is_open: bool,
}

/// All that waits.
#[derive(Debug)]
pub(super) struct EnrichmentQueue {
    entries: HashMap<Position, (FetchTarget, Entry)>,
    shares: Shares,
    targets: HashMap<FetchTarget, Waiting>,
    /// What can be asked later, by when.
    later: BTreeMap<(Instant, u64), FetchTarget>,
    count: u64,
    lines: HashMap<ConnectionId, Line>,
    /// The connections that may be asked something now, in turn.
    open: VecDeque<ConnectionId>,
    asking: usize,
}

impl Default for EnrichmentQueue {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            shares: Shares::new(MAX_WAITING, MAX_WAITING_BYTES),
            targets: HashMap::new(),
            later: BTreeMap::new(),
            count: 0,
            lines: HashMap::new(),
            open: VecDeque::new(),
            asking: 0,
        }
    }
}

impl EnrichmentQueue {
    /// `true` if deliveries of this connection wait.
    #[must_use]
    pub(super) fn is_waiting(&self, connection: &ConnectionId) -> bool {
        self.shares.of(connection).count > 0
    }

    /// `true` if a deletion waits there for being confirmed.
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

    /// A delivery waits from now on.
    pub(super) fn wait(&mut self, target: FetchTarget, entry: Entry, now: Instant) {
        let position = entry.position;
        self.shares.add(&target.connection, entry.delivery.bytes());
        let waiting = self.targets.entry(target.clone()).or_default();
        waiting.positions.push(position);
        waiting.since.get_or_insert(now);
        self.entries.insert(position, (target.clone(), entry));
        self.put_off(&target, now + GATHER);
    }

    /// What waits of a target is to be asked for, not before then.
    fn put_off(&mut self, target: &FetchTarget, until: Instant) {
        if let Some(waiting) = self.targets.get_mut(target)
            && !waiting.is_asked
            && !waiting.is_in_line
        {
            waiting.is_in_line = true;
            self.count += 1;
            self.later.insert((until, self.count), target.clone());
        }
    }

    /// What waits of these targets is to be asked for at once, whatever their stores wanted.
    pub(super) fn hurry(&mut self, is_wanted: impl Fn(&FetchTarget) -> bool, now: Instant) {
        let wanted: Vec<_> = self
            .later
            .extract_if(.., |(until, _), target| *until > now && is_wanted(target))
            .collect();
        for ((_, number), target) in wanted {
            self.later.insert((now, number), target);
        }
    }

    /// A delivery waits no more: it was completed, or let go.
    pub(super) fn take(&mut self, position: Position) -> Option<Entry> {
        let (target, entry) = self.entries.remove(&position)?;
        self.shares
            .remove(&target.connection, entry.delivery.bytes());
        if let Some(waiting) = self.targets.get_mut(&target) {
            waiting.positions.retain(|waits| *waits != position);
        }
        self.tidy(&target);
        Some(entry)
    }

    /// When the next fetch is due that is not yet.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Instant> {
        self.later.keys().next().map(|(until, _)| *until)
    }

    /// The next fetch, where one may be asked now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Fetch> {
        while let Some(first) = self.later.first_entry() {
            if first.key().0 > now {
                break;
            }
            let target = first.remove();
            let connection = target.connection.clone();
            self.lines
                .entry(connection.clone())
                .or_default()
                .due
                .push_back(target);
            self.open(&connection);
        }
        while self.asking < ASKING {
            let connection = self.open.pop_front()?;
            let Some(line) = self.lines.get_mut(&connection) else {
                continue;
            };
            line.is_open = false;
            let Some(target) = line.due.pop_front() else {
                continue;
            };
            let fetch = self.fetch(&target, now);
            self.open(&connection);
            if fetch.is_some() {
                return fetch;
            }
            self.tidy(&target);
        }
        None
    }

    /// Makes a fetch of a target whose turn it is; none where everybody who waited for it was let go.
    fn fetch(&mut self, target: &FetchTarget, now: Instant) -> Option<Fetch> {
        let waiting = self.targets.get_mut(target)?;
        waiting.is_in_line = false;
        if waiting.positions.is_empty() {
            return None;
        }
        waiting.is_asked = true;
        let more = waiting
            .positions
            .split_off(waiting.positions.len().min(MOST_TOGETHER));
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
        self.asking += 1;
        if let Some(line) = self.lines.get_mut(&target.connection) {
            line.asking += 1;
        }
        Some(fetch)
    }

    /// Puts a connection in turn, where it may be asked something.
    fn open(&mut self, connection: &ConnectionId) {
        let Some(line) = self.lines.get_mut(connection) else {
            return;
        };
        let most = if line.is_failing { 1 } else { ASKING_ONE };
        if !line.is_open && line.asking < most && !line.due.is_empty() {
            line.is_open = true;
            self.open.push_back(connection.clone());
        }
    }

    /// A fetch was answered: those who came meanwhile are next.
    pub(super) fn answered(&mut self, target: &FetchTarget, now: Instant) {
        if let Some(waiting) = self.targets.get_mut(target) {
            (waiting.is_asked, waiting.failures, waiting.contradictions) = (false, 0, 0);
            if !waiting.positions.is_empty() {
                self.put_off(target, now + GATHER);
            }
        }
        self.ended(target, false);
    }

    /// A fetch was asked in vain: those who waited for it wait again, for that long at least.
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
        waiting.is_asked = false;
        waiting.failures = waiting.failures.saturating_add(1);
        waiting.contradictions += u32::from(was_contradicted);
        waiting.since = Some(since);
        waiting.positions.extend(known);
        // One that was let go meanwhile and claimed again waits once.
        waiting.positions.sort_unstable();
        waiting.positions.dedup();
        if !waiting.positions.is_empty() {
            let until = now + pause(waiting.failures);
            self.put_off(&target, until);
        }
        self.ended(&target, !was_contradicted);
    }

    fn ended(&mut self, target: &FetchTarget, is_failing: bool) {
        self.asking = self.asking.saturating_sub(1);
        if let Some(line) = self.lines.get_mut(&target.connection) {
            line.asking = line.asking.saturating_sub(1);
            line.is_failing = is_failing;
        }
        self.open(&target.connection);
        self.tidy(target);
    }

    /// Forgets a target without waiting deliveries.
    fn tidy(&mut self, target: &FetchTarget) {
        let is_idle = |waiting: &Waiting| {
            waiting.positions.is_empty() && !waiting.is_asked && !waiting.is_in_line
        };
        if self.targets.get(target).is_some_and(is_idle) {
            self.targets.remove(target);
        }
        let connection = &target.connection;
        let is_idle = |line: &Line| line.due.is_empty() && line.asking == 0 && !line.is_open;
        if self.lines.get(connection).is_some_and(is_idle) {
            self.lines.remove(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::delivery::{DeliveryKey, JournaledDelivery};
    use crate::journal::entry::EntryKind;

    fn id(name: &str) -> ConnectionId {
        ConnectionId::new(name).expect("an id")
    }

    fn entry(position: Position) -> Entry {
        let delivery = JournaledDelivery {
            platform: "p".to_owned(),
            endpoint: id("app"),
            connection: id("shop"),
            topic: String::new(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            received_at: Timestamp::UNIX_EPOCH,
            enriched: None,
        };
        let key = DeliveryKey::of(&[]);
        Entry {
            position,
            key,
            kind: EntryKind::Delivery,
            redriven: false,
            attempts: 0,
            delivery,
        }
    }

    fn target(shop: &str, request: &str) -> FetchTarget {
        let platform = "p".to_owned();
        FetchTarget {
            connection: id(shop),
            endpoint: id("app"),
            platform,
            request: request.to_owned(),
            deletion: None,
        }
    }

    #[test]
    fn a_store_that_cannot_answer_any_more_is_not_waited_for() {
        let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
        waiting.wait(target("shop", "order/1"), entry(1), now);
        let fetch = waiting.next(now + GATHER).expect("a fetch");
        waiting.again(fetch, false, |_| Duration::from_secs(900), now);
        let later = now + Duration::from_secs(1);
        waiting.hurry(|target| target.connection == id("another"), later);
        assert!(waiting.next(later).is_none());
        waiting.hurry(|target| target.connection == id("shop"), later);
        let fetch = waiting.next(later).expect("a fetch");
        assert_eq!((fetch.positions, fetch.failures), (vec![1], 1));
    }

    #[test]
    fn those_who_wait_for_the_same_share_a_question_and_latecomers_get_their_own() {
        let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
        for position in 1..=10 {
            waiting.wait(target("shop", "product/1"), entry(position), now);
        }
        assert!(waiting.next(now).is_none(), "company is waited for");
        let fetch = waiting.next(now + GATHER).expect("a fetch");
        assert_eq!(fetch.positions, (1..=10).collect::<Vec<_>>());
        waiting.wait(target("shop", "product/1"), entry(11), now + GATHER);
        assert!(
            waiting.next(now + GATHER * 9).is_none(),
            "one fetch of a kind at a time"
        );
        for position in fetch.positions {
            assert!(waiting.take(position).is_some());
        }
        waiting.answered(&fetch.target, now + GATHER);
        assert_eq!(
            waiting
                .next(now + GATHER * 2)
                .expect("the latecomer's")
                .positions,
            [11]
        );
    }

    #[test]
    fn a_store_that_is_away_is_asked_again_later_and_holds_up_no_other() {
        let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
        for number in 0..10 {
            waiting.wait(
                target("away", &format!("product/{number}")),
                entry(number),
                now,
            );
        }
        waiting.wait(target("well", "product/1"), entry(20), now);
        let later = now + GATHER;
        let questions: Vec<Fetch> = std::iter::from_fn(|| waiting.next(later)).collect();
        assert_eq!(
            questions.len(),
            ASKING_ONE + 1,
            "so many at once of one store, and the other's"
        );
        let first = &questions[0];
        waiting.again(
            first.clone(),
            false,
            |failures| Duration::from_secs(failures.into()),
            later,
        );
        assert!(
            waiting.next(later).is_none(),
            "one at a time of a store that did not answer"
        );
        for fetch in questions
            .iter()
            .filter(|fetch| fetch.target.connection == first.target.connection)
            .skip(1)
        {
            fetch
                .positions
                .iter()
                .for_each(|position| drop(waiting.take(*position)));
            waiting.answered(&fetch.target, later);
        }
        let mut asked = Vec::new();
        while let Some(fetch) = waiting.next(later + Duration::from_secs(1)) {
            fetch
                .positions
                .iter()
                .for_each(|position| drop(waiting.take(*position)));
            waiting.answered(&fetch.target, later);
            asked.push(fetch);
        }
        let again = asked
            .iter()
            .find(|fetch| fetch.target == first.target)
            .expect("it is asked again");
        assert_eq!(
            (&again.positions, again.failures, again.since),
            (&first.positions, 1, now)
        );
    }

    #[test]
    fn what_is_let_go_is_not_asked_for() {
        let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
        waiting.wait(target("shop", "product/1"), entry(1), now);
        assert!(waiting.take(1).is_some() && waiting.take(1).is_none());
        assert!(waiting.next(now + GATHER).is_none());
        assert_eq!(
            (
                waiting.entries.len(),
                waiting.targets.len(),
                waiting.lines.len()
            ),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_is_let_go_and_claimed_again_is_asked_for_once_and_is_not_forgotten() {
        let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
        for number in 0..6 {
            waiting.wait(
                target("shop", &format!("product/{number}")),
                entry(number),
                now,
            );
        }
        for number in 0..6 {
            drop(waiting.take(number));
            waiting.wait(
                target("shop", &format!("product/{number}")),
                entry(number),
                now,
            );
        }
        let mut asked = Vec::new();
        for round in 1..20_u32 {
            let at = now + GATHER * round * 4;
            for fetch in std::iter::from_fn(|| waiting.next(at)).collect::<Vec<_>>() {
                let position = fetch.positions[0];
                if asked.contains(&position) {
                    drop(waiting.take(position));
                    waiting.answered(&fetch.target, at);
                } else {
                    waiting.again(fetch, false, |_| Duration::ZERO, at);
                }
                asked.push(position);
            }
        }
        asked.sort_unstable();
        assert_eq!(
            asked,
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
            "each in vain, and then well"
        );
        assert_eq!(
            (
                waiting.entries.len(),
                waiting.targets.len(),
                waiting.lines.len()
            ),
            (0, 0, 0)
        );
    }
}
