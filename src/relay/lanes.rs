//! Order per partition key: one lane a key, one event of a lane under way at a time.
//!
//! A single event under way per key is what keeps the order when the broker refuses one: nothing of that key can have
//! overtaken it. Different keys never wait for each other. Pure bookkeeping: no clock of its own, no I/O.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use crate::delivery::ConnectionId;
use crate::event::Event;
use crate::journal::entry::Position;

/// An event on its way, and whose it is.
#[derive(Debug)]
pub struct Task {
    /// The journal entry it belongs to.
    pub position: Position,
    /// Failed attempts so far.
    pub attempts: u32,
    /// The connection that it came in by.
    pub endpoint: ConnectionId,
    /// Must it wait until its store has told the rest?
    pub lacks: bool,
    /// What it takes of memory and of a batch: its delivery, and what its store told.
    pub bytes: usize,
    /// The event.
    pub event: Event,
}

/// A task without its event, while that is published.
#[derive(Debug)]
pub struct Rest {
    position: Position,
    attempts: u32,
    endpoint: ConnectionId,
    bytes: usize,
}

impl Task {
    /// The event, and the rest for when it is back.
    #[must_use]
    pub fn split(self) -> (Event, Rest) {
        let Task {
            position,
            attempts,
            endpoint,
            bytes,
            event,
            lacks: _,
        } = self;
        (
            event,
            Rest {
                position,
                attempts,
                endpoint,
                bytes,
            },
        )
    }
}

impl Rest {
    /// The task again.
    #[must_use]
    pub fn with(self, event: Event) -> Task {
        let Rest {
            position,
            attempts,
            endpoint,
            bytes,
        } = self;
        Task {
            position,
            attempts,
            endpoint,
            lacks: false,
            bytes,
            event,
        }
    }
}

/// All lanes.
#[derive(Debug, Default)]
pub struct Lanes {
    /// By key; a lane with an event under way stays, even if nothing waits in it.
    lanes: HashMap<String, VecDeque<Task>>,
    /// Lanes whose first event can go.
    ready: VecDeque<String>,
    /// Lanes whose first event has to wait, by when.
    delayed: BTreeMap<(Instant, u64), String>,
    /// Lanes whose first event lacks something, with nothing under way.
    lacking: HashSet<String>,
    delays: u64,
}

impl Lanes {
    /// Puts an event at the end of its lane.
    pub fn push(&mut self, task: Task) {
        let key = task.event.partition_key();
        match self.lanes.get_mut(&key) {
            Some(lane) => lane.push_back(task),
            None => {
                self.lanes.insert(key.clone(), VecDeque::from([task]));
                self.offer(key);
            }
        }
    }

    /// Nothing of the lane is under way: can its first event go?
    fn offer(&mut self, key: String) {
        match self.lanes.get(&key).and_then(VecDeque::front) {
            Some(Task { lacks: true, .. }) => drop(self.lacking.insert(key)),
            Some(_) => self.ready.push_back(key),
            None => drop(self.lanes.remove(&key)),
        }
    }

    /// An entry's events lack nothing any more: these take their places. Those that have no place among them are out.
    pub fn complete(
        &mut self,
        position: Position,
        keys: &HashSet<String>,
        bytes: usize,
        events: Vec<Event>,
    ) {
        let mut events: HashMap<u16, Event> = events
            .into_iter()
            .map(|event| (event.id.index, event))
            .collect();
        for key in keys {
            let Some(lane) = self.lanes.get_mut(key) else {
                continue;
            };
            lane.retain_mut(|task| {
                if task.position != position {
                    return true;
                }
                let event = events.remove(&task.event.id.index);
                let stays = event.is_some();
                (task.lacks, task.bytes) = (false, bytes);
                task.event = event.unwrap_or_else(|| task.event.clone());
                stays
            });
            if self.lacking.remove(key) {
                self.offer(key.clone());
            }
        }
    }

    /// Takes the first events of up to that many ready lanes, and not many more bytes of payloads than that; each lane then
    /// waits for [`Lanes::done`] or [`Lanes::again`].
    pub fn take(&mut self, most: usize, bytes: usize) -> Vec<Task> {
        let (mut tasks, mut taken): (Vec<Task>, usize) = (Vec::new(), 0);
        while tasks.len() < most
            && taken < bytes
            && let Some(key) = self.ready.pop_front()
        {
            if let Some(task) = self.lanes.get_mut(&key).and_then(VecDeque::pop_front) {
                taken += task.bytes;
                tasks.push(task);
            }
        }
        tasks
    }

    /// Takes out all events that wait and are of one of these connections, and says whose they were. What is under way goes
    /// on.
    pub fn withdraw(&mut self, connections: &HashSet<ConnectionId>) -> Vec<Position> {
        let mut withdrawn = Vec::new();
        for lane in self.lanes.values_mut() {
            lane.retain(|task| {
                let stays = !connections.contains(&task.event.connection)
                    && !connections.contains(&task.endpoint);
                if !stays {
                    withdrawn.push(task.position);
                }
                stays
            });
        }
        // A lane that was ready, lacking or delayed has nothing under way: without a waiting event it is no lane.
        let lanes = &mut self.lanes;
        let mut stays = |key: &String| {
            let stays = lanes.get(key).is_some_and(|lane| !lane.is_empty());
            if !stays {
                lanes.remove(key);
            }
            stays
        };
        self.ready.retain(|key| stays(key));
        self.delayed.retain(|_, key| stays(key));
        // Their first event may be another one now.
        for key in std::mem::take(&mut self.lacking) {
            self.offer(key);
        }
        withdrawn
    }

    /// The connections whose events have to wait because the broker refused one.
    #[must_use]
    pub fn refused(&self) -> HashSet<ConnectionId> {
        let first = |key: &String| {
            self.lanes
                .get(key)
                .and_then(VecDeque::front)
                .map(|task| task.event.connection.clone())
        };
        self.delayed.values().filter_map(first).collect()
    }

    /// Of how many entries do events wait behind one that lacks something? And which are those that they wait for?
    #[must_use]
    pub fn held_up(&self) -> (usize, HashSet<Position>) {
        let (mut behind, mut before) = (HashSet::new(), HashSet::new());
        for lane in self.lacking.iter().filter_map(|key| self.lanes.get(key)) {
            let whole = lane
                .iter()
                .filter(|task| !task.lacks)
                .map(|task| task.position);
            let count = behind.len();
            behind.extend(whole);
            if behind.len() > count {
                before.extend(
                    lane.iter()
                        .filter(|task| task.lacks)
                        .map(|task| task.position),
                );
            }
        }
        (behind.len(), before)
    }

    /// The event that was taken from the lane is done: the next one can go.
    pub fn done(&mut self, key: String) {
        self.offer(key);
    }

    /// The event that was taken goes back to the front of its lane, at once or not before then.
    pub fn again(&mut self, task: Task, not_before: Option<Instant>) {
        let key = task.event.partition_key();
        self.lanes.entry(key.clone()).or_default().push_front(task);
        match not_before {
            None => self.ready.push_front(key),
            Some(instant) => {
                self.delays += 1;
                self.delayed.insert((instant, self.delays), key);
            }
        }
    }

    /// Readies the lanes whose wait is over, and tells when the next one's is.
    pub fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(first) = self.delayed.first_entry() {
            let (instant, _) = *first.key();
            if instant > now {
                return Some(instant);
            }
            self.ready.push_back(first.remove());
        }
        None
    }

    /// Can any lane's first event go?
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::DeliveryKey;
    use crate::event::data::Order;
    use crate::event::{Authority, Draft, Entity, EventId, Origin, Sequence};
    use std::time::Duration;

    fn task(position: Position, id: &str) -> Task {
        let event = Event {
            id: EventId {
                delivery: DeliveryKey::of(&[&position.to_be_bytes()]),
                index: 0,
            },
            platform: "p".to_owned(),
            connection: ConnectionId::new("c").expect("an id"),
            sequence: Sequence::new(position, 0),
            time: jiff::Timestamp::UNIX_EPOCH,
            origin: Origin::Webhook,
            asked: None,
            draft: Draft {
                verb: "created".to_owned(),
                id: id.to_owned(),
                time: None,
                authority: Authority::Full,
                entity: Entity::Order(Box::new(Order {
                    id: id.to_owned(),
                    ..Order::default()
                })),
                changed: None,
                anonymized: false,
            },
            raw: serde_json::value::RawValue::from_string("{}".to_owned())
                .expect("JSON")
                .into(),
            omits_raw: false,
        };
        Task {
            position,
            attempts: 0,
            lacks: false,
            bytes: 2,
            endpoint: ConnectionId::new("c").expect("an id"),
            event,
        }
    }

    fn positions(tasks: &[Task]) -> Vec<Position> {
        tasks.iter().map(|task| task.position).collect()
    }

    #[test]
    fn a_key_has_one_event_under_way_and_keeps_its_order() {
        let mut lanes = Lanes::default();
        for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
            lanes.push(task(position, id));
        }
        let first = lanes.take(10, 1 << 20);
        assert_eq!(positions(&first), [1, 3]);
        assert!(lanes.take(10, 1 << 20).is_empty());
        lanes.push(task(4, "a"));
        lanes.push(task(5, "b"));
        lanes.done("c/order/a".to_owned());
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [2]);
        lanes.done("c/order/b".to_owned());
        lanes.done("c/order/a".to_owned());
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [5, 4]);
        lanes.done("c/order/a".to_owned());
        lanes.done("c/order/b".to_owned());
        assert!(lanes.lanes.is_empty(), "an empty lane is forgotten");
    }

    #[test]
    fn a_withdrawn_connection_leaves_only_what_is_under_way() {
        let mut lanes = Lanes::default();
        for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
            lanes.push(task(position, id));
        }
        assert_eq!(positions(&lanes.take(1, 1 << 20)), [1]);
        let mut withdrawn =
            lanes.withdraw(&HashSet::from([ConnectionId::new("c").expect("an id")]));
        withdrawn.sort_unstable();
        assert_eq!(withdrawn, [2, 3]);
        assert!(!lanes.has_ready());
        lanes.done("c/order/a".to_owned());
        assert!(lanes.lanes.is_empty());
        lanes.push(task(4, "a"));
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [4]);
    }

    #[test]
    fn a_refused_event_holds_back_its_key_only() {
        let mut lanes = Lanes::default();
        for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
            lanes.push(task(position, id));
        }
        let mut first = lanes.take(1, 1 << 20);
        let now = Instant::now();
        lanes.again(
            first.pop().expect("one"),
            Some(now + Duration::from_secs(1)),
        );
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [3]);
        assert_eq!(lanes.wake(now), Some(now + Duration::from_secs(1)));
        assert!(!lanes.has_ready());
        assert_eq!(lanes.wake(now + Duration::from_secs(1)), None);
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [1]);
    }

    fn lacking(position: Position, id: &str) -> Task {
        Task {
            lacks: true,
            ..task(position, id)
        }
    }

    fn keys(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| format!("c/order/{id}")).collect()
    }

    #[test]
    fn an_event_that_lacks_something_holds_back_its_key_only() {
        let mut lanes = Lanes::default();
        for task in [lacking(1, "a"), task(2, "a"), task(3, "b")] {
            lanes.push(task);
        }
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [3]);
        assert_eq!(lanes.held_up(), (1, HashSet::from([1])));
        lanes.complete(1, &keys(&["a"]), 2, vec![task(1, "a").event]);
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [1]);
        lanes.done("c/order/a".to_owned());
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [2]);
        // What comes while an event of its key is under way waits for that, and then for its store.
        lanes.push(lacking(4, "a"));
        lanes.done("c/order/a".to_owned());
        assert!(lanes.take(10, 1 << 20).is_empty());
        // An entry that tells nothing after all makes room.
        lanes.push(task(5, "a"));
        lanes.complete(4, &keys(&["a"]), 2, Vec::new());
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [5]);
        lanes.done("c/order/a".to_owned());
        lanes.done("c/order/b".to_owned());
        assert!(lanes.lanes.is_empty() && lanes.lacking.is_empty());
    }

    #[test]
    fn two_events_of_one_key_in_one_delivery_are_completed_both() {
        let mut lanes = Lanes::default();
        let mut second = lacking(1, "a");
        second.event.id.index = 1;
        let events = vec![task(1, "a").event, second.event.clone()];
        lanes.push(lacking(1, "a"));
        lanes.push(second);
        lanes.complete(1, &keys(&["a"]), 2, events);
        for _ in 0..2 {
            assert_eq!(positions(&lanes.take(10, 1 << 20)), [1]);
            lanes.done("c/order/a".to_owned());
        }
        assert!(lanes.lanes.is_empty());
    }

    #[test]
    fn a_lane_whose_first_event_was_withdrawn_goes_on_with_the_next() {
        let mut lanes = Lanes::default();
        let app = ConnectionId::new("app").expect("an id");
        lanes.push(Task {
            endpoint: app.clone(),
            ..lacking(1, "a")
        });
        lanes.push(task(2, "a"));
        assert_eq!(lanes.withdraw(&HashSet::from([app])), [1]);
        assert_eq!(positions(&lanes.take(10, 1 << 20)), [2]);
    }
}
