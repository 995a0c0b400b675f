//! Thin deliveries that wait until their store has told the rest: which, for what, and who is asked next.
//!
//! Bookkeeping without a clock of its own and without I/O; `asking` does the asking. Deliveries that lack the same of the same
//! store share one answer, if it was asked for after all of them: who comes while the store is asked waits for the next answer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::delivery::ConnectionId;
use crate::journal::entry::{Entry, Position};

/// Changes come in bursts: this long the first one waits for company before the store is asked.
const GATHER: Duration = Duration::from_millis(300);
/// Questions under way at once, and of those to one connection.
const ASKING: usize = 64;
const ASKING_ONE: usize = 4;
/// Deliveries that may wait, and the bytes of their bodies. More go out as they are.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 32 << 20;

/// What is lacking, of which store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The store's connection.
    pub connection: ConnectionId,
    /// The connection that its deliveries come in by: holds the credentials of many stores, where it is an app's.
    pub endpoint: ConnectionId,
    /// The platform's name.
    pub platform: String,
    /// The platform's word for it.
    pub lacking: String,
}

/// A question that is to be asked now.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// For what.
    pub target: Target,
    /// The entries that its answer completes.
    pub positions: Vec<Position>,
    /// Since when the first of them waits.
    pub since: Instant,
    /// How often it was asked in vain.
    pub failures: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Those that the next answer completes.
    positions: Vec<Position>,
    /// Is a question under way? Then those above wait for the one after it.
    is_asked: bool,
    /// Since when the first of them waits.
    since: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

#[derive(Debug, Default)]
struct Line {
    /// What can be asked now.
    due: VecDeque<Target>,
    asking: usize,
}

/// All that waits.
#[derive(Debug, Default)]
pub struct Completions {
    entries: HashMap<Position, (Target, Entry)>,
    bytes: usize,
    targets: HashMap<Target, Waiting>,
    /// What can be asked later, by when.
    later: BTreeMap<(Instant, u64), Target>,
    count: u64,
    /// Per connection; one with something due stands in `open` once.
    lines: HashMap<ConnectionId, Line>,
    open: VecDeque<ConnectionId>,
    asking: usize,
}

impl Completions {
    /// How many deliveries wait, and the bytes of their bodies.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// May another one wait?
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.entries.len() < MOST && self.bytes < MOST_BYTES
    }

    /// A delivery waits from now on.
    pub fn wait(&mut self, target: Target, entry: Entry, now: Instant) {
        let position = entry.position;
        self.bytes += entry.delivery.body.len();
        let waiting = self.targets.entry(target.clone()).or_default();
        waiting.positions.push(position);
        waiting.since.get_or_insert(now);
        let is_first = waiting.positions.len() == 1 && !waiting.is_asked && waiting.failures == 0;
        self.entries.insert(position, (target.clone(), entry));
        if is_first {
            self.put_off(target, now + GATHER);
        }
    }

    fn put_off(&mut self, target: Target, until: Instant) {
        self.count += 1;
        self.later.insert((until, self.count), target);
    }

    /// A delivery waits no more: it was completed, or let go.
    pub fn take(&mut self, position: Position) -> Option<Entry> {
        let (target, entry) = self.entries.remove(&position)?;
        self.bytes -= entry.delivery.body.len();
        if let Some(waiting) = self.targets.get_mut(&target) {
            waiting.positions.retain(|waits| *waits != position);
        }
        Some(entry)
    }

    /// When the next question is due that is not yet.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.later.keys().next().map(|(until, _)| *until)
    }

    /// The next question, where one may be asked now.
    pub fn next(&mut self, now: Instant) -> Option<Question> {
        while let Some(first) = self.later.first_entry() {
            if first.key().0 > now {
                break;
            }
            let target = first.remove();
            let line = self.lines.entry(target.connection.clone()).or_default();
            if line.due.is_empty() && line.asking < ASKING_ONE {
                self.open.push_back(target.connection.clone());
            }
            line.due.push_back(target);
        }
        while self.asking < ASKING {
            let connection = self.open.pop_front()?;
            let Some(line) = self.lines.get_mut(&connection) else { continue };
            let Some(target) = line.due.pop_front() else { continue };
            let Some(waiting) = self.targets.get_mut(&target) else { continue };
            let question = if waiting.positions.is_empty() {
                None
            } else {
                waiting.is_asked = true;
                line.asking += 1;
                self.asking += 1;
                let positions = std::mem::take(&mut waiting.positions);
                let since = waiting.since.take().unwrap_or(now);
                Some(Question { target: target.clone(), positions, since, failures: waiting.failures })
            };
            if !line.due.is_empty() && line.asking < ASKING_ONE {
                self.open.push_back(connection.clone());
            }
            if question.is_some() {
                return question;
            }
            // Everybody who waited for it was let go.
            self.targets.remove(&target);
            self.tidy(&connection);
        }
        None
    }

    /// A question was answered: those who came meanwhile are next.
    pub fn answered(&mut self, target: &Target, now: Instant) {
        self.ended(target);
        let Some(waiting) = self.targets.get_mut(target) else { return };
        waiting.is_asked = false;
        waiting.failures = 0;
        if waiting.positions.is_empty() {
            self.targets.remove(target);
        } else {
            self.put_off(target.clone(), now + GATHER);
        }
    }

    /// A question was asked in vain: these wait again, for that long at least.
    pub fn again(&mut self, question: Question, pause: impl FnOnce(u32) -> Duration, now: Instant) {
        let Question { target, positions, since, .. } = question;
        let target = &target;
        self.ended(target);
        let known = positions.into_iter().filter(|position| self.entries.contains_key(position));
        let Some(waiting) = self.targets.get_mut(target) else { return };
        waiting.is_asked = false;
        waiting.failures = waiting.failures.saturating_add(1);
        waiting.since = Some(since);
        waiting.positions.extend(known);
        // One that was let go meanwhile and claimed again waits once.
        waiting.positions.sort_unstable();
        waiting.positions.dedup();
        let until = now + pause(waiting.failures);
        if waiting.positions.is_empty() {
            self.targets.remove(target);
        } else {
            self.put_off(target.clone(), until);
        }
    }

    fn ended(&mut self, target: &Target) {
        self.asking = self.asking.saturating_sub(1);
        let Some(line) = self.lines.get_mut(&target.connection) else { return };
        if line.asking == ASKING_ONE && !line.due.is_empty() {
            self.open.push_back(target.connection.clone());
        }
        line.asking = line.asking.saturating_sub(1);
        self.tidy(&target.connection);
    }

    fn tidy(&mut self, connection: &ConnectionId) {
        if self.lines.get(connection).is_some_and(|line| line.due.is_empty() && line.asking == 0) {
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
            completion: None,
        };
        let key = DeliveryKey::of(&[]);
        Entry { position, key, kind: EntryKind::Delivery, redriven: false, attempts: 0, delivery }
    }

    fn target(shop: &str, lacking: &str) -> Target {
        let platform = "p".to_owned();
        Target { connection: id(shop), endpoint: id("app"), platform, lacking: lacking.to_owned() }
    }

    #[test]
    fn those_who_wait_for_the_same_share_a_question_and_latecomers_get_their_own() {
        let (mut waiting, now) = (Completions::default(), Instant::now());
        for position in 1..=10 {
            waiting.wait(target("shop", "product/1"), entry(position), now);
        }
        assert!(waiting.next(now).is_none(), "company is waited for");
        let question = waiting.next(now + GATHER).expect("a question");
        assert_eq!(question.positions, (1..=10).collect::<Vec<_>>());
        waiting.wait(target("shop", "product/1"), entry(11), now + GATHER);
        assert!(waiting.next(now + GATHER * 9).is_none(), "one question of a kind at a time");
        for position in question.positions {
            assert!(waiting.take(position).is_some());
        }
        waiting.answered(&question.target, now + GATHER);
        assert_eq!(waiting.next(now + GATHER * 2).expect("the latecomer's").positions, [11]);
    }

    #[test]
    fn a_store_that_is_away_is_asked_again_later_and_holds_up_no_other() {
        let (mut waiting, now) = (Completions::default(), Instant::now());
        for number in 0..10 {
            waiting.wait(target("away", &format!("product/{number}")), entry(number), now);
        }
        waiting.wait(target("well", "product/1"), entry(20), now);
        let later = now + GATHER;
        let questions: Vec<Question> = std::iter::from_fn(|| waiting.next(later)).collect();
        assert_eq!(questions.len(), ASKING_ONE + 1, "so many at once of one store, and the other's");
        let first = &questions[0];
        waiting.again(first.clone(), |failures| Duration::from_secs(failures.into()), later);
        assert_ne!(waiting.next(later).expect("another takes its turn").target, first.target);
        assert!(waiting.next(later).is_none());
        for question in questions.iter().filter(|question| question.target.connection == first.target.connection).skip(1) {
            question.positions.iter().for_each(|position| drop(waiting.take(*position)));
            waiting.answered(&question.target, later);
        }
        let mut asked = Vec::new();
        while let Some(question) = waiting.next(later + Duration::from_secs(1)) {
            question.positions.iter().for_each(|position| drop(waiting.take(*position)));
            waiting.answered(&question.target, later);
            asked.push(question);
        }
        let again = asked.iter().find(|question| question.target == first.target).expect("it is asked again");
        assert_eq!((&again.positions, again.failures, again.since), (&first.positions, 1, now));
    }

    #[test]
    fn what_is_let_go_is_not_asked_for() {
        let (mut waiting, now) = (Completions::default(), Instant::now());
        waiting.wait(target("shop", "product/1"), entry(1), now);
        assert!(waiting.take(1).is_some() && waiting.take(1).is_none());
        assert!(waiting.next(now + GATHER).is_none());
        assert_eq!((waiting.waiting(), waiting.targets.len(), waiting.lines.len()), ((0, 0), 0, 0));
    }
}
