//! Order per partition key: one partition a key, one event of a partition in flight at a time.
//!
//! A single event in flight per key keeps the order when the broker refuses one: nothing of that key can have overtaken it.
//! Different keys never wait for each other. Partitions that are ready take turns by connection, and within a connection by
//! route. Pure bookkeeping: no clock of its own, no I/O.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::delivery::ConnectionId;
use crate::event::{Entity, Event};
use crate::journal::entry::Position;

/// An event on its way, and whose it is.
#[derive(Debug)]
pub(super) struct Task {
    /// The journal entry it belongs to.
    pub(super) position: Position,
    /// Failed attempts so far.
    pub(super) attempts: u32,
    /// The connection that it came in by.
    pub(super) endpoint: ConnectionId,
    /// Must it wait until its store has told the rest?
    pub(super) is_incomplete: bool,
    /// What it takes of memory: its delivery, and what its store told.
    pub(super) bytes: usize,
    /// How it is to be sent, after what happened to it so far.
    pub(super) suspicion: Suspicion,
    /// The event.
    pub(super) event: Arc<Event>,
}

/// What an event may have done to the broker's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// It was in flight on a channel that the broker closed.
    pub(super) closed_channel: bool,
    /// How often in a row it was in flight on a connection that was lost.
    pub(super) lost_connections: u32,
    /// How often a connection was lost on which it was alone, while the other one went on.
    pub(super) killed_connections: u32,
    /// It was returned once: no queue got it.
    pub(super) was_returned: bool,
}

/// What the broker decides by: the routing key. Hooks share one route, because a store can invent any number of them.
pub(super) type Route = Arc<str>;

/// The route of an event.
#[must_use]
pub(super) fn route(event: &Event) -> Route {
    let (entity, connection) = (event.normalized.entity.name(), &event.connection);
    match &event.normalized.entity {
        Entity::Action(_) => format!("{connection}/{entity}").into(),
        Entity::Order(_)
        | Entity::Product(_)
        | Entity::Customer(_)
        | Entity::Coupon(_)
        | Entity::Subscription(_)
        | Entity::Variant(_)
        | Entity::Collection(_)
        | Entity::Inventory(_)
        | Entity::Fulfillment(_)
        | Entity::Payment(_)
        | Entity::Checkout(_)
        | Entity::App(_)
        | Entity::Site(_)
        | Entity::Connection(_)
        | Entity::Unrecognized(_) => {
            format!("{connection}/{entity}.{}", event.normalized.verb).into()
        }
    }
}

/// The ready partitions of one connection, by route.
#[derive(Debug, Default)]
struct Ready {
    routes: VecDeque<Route>,
    keys: HashMap<Route, VecDeque<String>>,
}

/// All partitions.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// By key; a partition with an event in flight stays, even if nothing waits in it.
    partitions: HashMap<String, VecDeque<Task>>,
    /// Partitions whose first event can go, by connection, and the connections' turns.
    ready: HashMap<ConnectionId, Ready>,
    turns: VecDeque<ConnectionId>,
    /// Partitions whose first event has to wait, by when.
    delayed: BTreeMap<(Instant, u64), String>,
    /// Partitions whose first event lacks something, with nothing in flight.
    request: HashSet<String>,
    delays: u64,
}

/// What becomes of a partition's first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It goes.
    Go,
    /// Nothing of its route goes now.
    SkipRoute,
    /// Nothing of its connection goes now.
    SkipConnection,
}

impl Partitions {
    /// Puts an event at the end of its partition.
    pub(super) fn push(&mut self, task: Task) {
        let key = task.event.partition_key();
        match self.partitions.get_mut(&key) {
            Some(partition) => partition.push_back(task),
            None => {
                self.partitions.insert(key.clone(), VecDeque::from([task]));
                self.offer(key);
            }
        }
    }

    /// Nothing of the partition is in flight: its first event can go, unless it lacks something.
    fn offer(&mut self, key: String) {
        match self.partitions.get(&key).and_then(VecDeque::front) {
            Some(Task {
                is_incomplete: true,
                ..
            }) => drop(self.request.insert(key)),
            Some(task) => {
                let (connection, route) = (task.event.connection.clone(), route(&task.event));
                let ready = self.ready.entry(connection.clone()).or_insert_with(|| {
                    self.turns.push_back(connection);
                    Ready::default()
                });
                ready
                    .keys
                    .entry(Arc::clone(&route))
                    .or_insert_with(|| {
                        ready.routes.push_back(route);
                        VecDeque::new()
                    })
                    .push_back(key);
            }
            None => drop(self.partitions.remove(&key)),
        }
    }

    /// Replaces the queued events of an entry with their enriched versions. Events without a successor are removed.
    pub(super) fn complete(
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
            let Some(partition) = self.partitions.get_mut(key) else {
                continue;
            };
            partition.retain_mut(|task| {
                if task.position != position {
                    return true;
                }
                let event = events.remove(&task.event.id.index);
                let stays = event.is_some();
                (task.is_incomplete, task.bytes) = (false, bytes);
                if let Some(event) = event {
                    task.event = Arc::new(event);
                }
                stays
            });
            if self.request.remove(key) {
                self.offer(key.clone());
            }
        }
    }

    /// Takes the first event of the next ready partition that may go; the partition then waits for [`Partitions::done`] or
    /// [`Partitions::again`]. Connections take turns, and so do the routes of one.
    pub(super) fn take(
        &mut self,
        may: impl Fn(&Route, &Task) -> Readiness,
    ) -> Option<(Route, Task)> {
        for _ in 0..self.turns.len() {
            let connection = self.turns.pop_front()?;
            let Some(ready) = self.ready.get_mut(&connection) else {
                continue;
            };
            let taken = ready.take(&mut self.partitions, &may);
            if ready.routes.is_empty() {
                self.ready.remove(&connection);
            } else {
                self.turns.push_back(connection);
            }
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Removes all waiting events of one connection, and returns their positions. What is in flight goes on.
    pub(super) fn withdraw(&mut self, connection: &ConnectionId) -> Vec<Position> {
        let mut withdrawn = Vec::new();
        let mut touched = HashSet::new();
        for (key, partition) in &mut self.partitions {
            let count = partition.len();
            partition.retain(|task| {
                let stays = task.event.connection != *connection && task.endpoint != *connection;
                if !stays {
                    withdrawn.push(task.position);
                }
                stays
            });
            if partition.len() < count {
                touched.insert(key.clone());
            }
        }
        // A partition that was ready, request or delayed has nothing in flight; its first event may be another one now.
        let mut waiting = HashSet::new();
        for ready in self.ready.values_mut() {
            waiting.extend(ready.withdraw(&touched));
        }
        self.ready.retain(|_, ready| !ready.routes.is_empty());
        self.turns.retain(|turn| self.ready.contains_key(turn));
        self.delayed.retain(|_, key| {
            let stays = !touched.contains(key);
            if !stays {
                waiting.insert(key.clone());
            }
            stays
        });
        self.request.retain(|key| {
            let stays = !touched.contains(key);
            if !stays {
                waiting.insert(key.clone());
            }
            stays
        });
        for key in waiting {
            self.offer(key);
        }
        withdrawn
    }

    /// Entries of a connection that wait behind entries that lack something, and the latter.
    #[must_use]
    pub(super) fn held_up(&self, connection: &ConnectionId) -> (usize, HashSet<Position>) {
        let (mut behind, mut before) = (HashSet::new(), HashSet::new());
        let partitions = self
            .request
            .iter()
            .filter_map(|key| self.partitions.get(key));
        for partition in partitions {
            let is_own = |task: &Task| task.event.connection == *connection;
            if !partition.front().is_some_and(is_own) {
                continue;
            }
            let count = behind.len();
            let whole = partition.iter().filter(|task| !task.is_incomplete);
            behind.extend(whole.map(|task| task.position));
            if behind.len() > count {
                let request = partition.iter().filter(|task| task.is_incomplete);
                before.extend(request.map(|task| task.position));
            }
        }
        (behind.len(), before)
    }

    /// The event that was taken from the partition is done: the next one can go.
    pub(super) fn done(&mut self, key: String) {
        self.offer(key);
    }

    /// The event that was taken goes back to the front of its partition, at once or not before then.
    pub(super) fn again(&mut self, task: Task, not_before: Option<Instant>) {
        let key = task.event.partition_key();
        self.partitions
            .entry(key.clone())
            .or_default()
            .push_front(task);
        match not_before {
            None => self.offer(key),
            Some(instant) => {
                self.delays += 1;
                self.delayed.insert((instant, self.delays), key);
            }
        }
    }

    /// Readies the partitions whose wait is over, and returns when the next one's is.
    pub(super) fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(first) = self.delayed.first_entry() {
            let (instant, _) = *first.key();
            if instant > now {
                return Some(instant);
            }
            let key = first.remove();
            self.offer(key);
        }
        None
    }

    /// `true` if any partition's first event can go.
    #[must_use]
    pub(super) fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }
}

impl Ready {
    fn take(
        &mut self,
        partitions: &mut HashMap<String, VecDeque<Task>>,
        may: impl Fn(&Route, &Task) -> Readiness,
    ) -> Option<(Route, Task)> {
        for _ in 0..self.routes.len() {
            let route = self.routes.pop_front()?;
            let Some(keys) = self.keys.get_mut(&route) else {
                continue;
            };
            let first = keys.front().and_then(|key| partitions.get_mut(key));
            let turn = first
                .as_ref()
                .and_then(|partition| partition.front())
                .map(|task| may(&route, task));
            let mut taken = None;
            match (turn, first) {
                (Some(Readiness::Go), Some(partition)) => {
                    taken = partition.pop_front();
                    keys.pop_front();
                }
                (Some(_), _) => {}
                (None, _) => drop(keys.pop_front()),
            }
            if keys.is_empty() {
                self.keys.remove(&route);
            } else {
                self.routes.push_back(Arc::clone(&route));
            }
            if let Some(task) = taken {
                return Some((route, task));
            }
            if turn == Some(Readiness::SkipConnection) {
                return None;
            }
        }
        None
    }

    /// Removes these keys, and returns those that were ready.
    fn withdraw(&mut self, touched: &HashSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        for keys in self.keys.values_mut() {
            keys.retain(|key| {
                let stays = !touched.contains(key);
                if !stays {
                    found.push(key.clone());
                }
                stays
            });
        }
        self.keys.retain(|_, keys| !keys.is_empty());
        self.routes.retain(|route| self.keys.contains_key(route));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::DeliveryKey;
    use crate::event::data::Order;
    use crate::event::{Authority, Entity, EventId, NormalizedEvent, Origin, Sequence};
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
            enriched: None,
            normalized: NormalizedEvent {
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
            is_incomplete: false,
            bytes: 2,
            suspicion: Suspicion::default(),
            endpoint: ConnectionId::new("c").expect("an id"),
            event: Arc::new(event),
        }
    }

    fn event_of(task: Task) -> Event {
        Event::clone(&task.event)
    }

    fn take(partitions: &mut Partitions, most: usize) -> Vec<Task> {
        std::iter::from_fn(|| partitions.take(|_, _| Readiness::Go))
            .take(most)
            .map(|(_, task)| task)
            .collect()
    }

    fn positions(tasks: &[Task]) -> Vec<Position> {
        tasks.iter().map(|task| task.position).collect()
    }

    #[test]
    fn a_key_has_one_event_under_way_and_keeps_its_order() {
        let mut partitions = Partitions::default();
        for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
            partitions.push(task(position, id));
        }
        let first = take(&mut partitions, 10);
        assert_eq!(positions(&first), [1, 3]);
        assert!(take(&mut partitions, 10).is_empty());
        partitions.push(task(4, "a"));
        partitions.push(task(5, "b"));
        partitions.done("c/order/a".to_owned());
        assert_eq!(positions(&take(&mut partitions, 10)), [2]);
        partitions.done("c/order/b".to_owned());
        partitions.done("c/order/a".to_owned());
        assert_eq!(positions(&take(&mut partitions, 10)), [5, 4]);
        partitions.done("c/order/a".to_owned());
        partitions.done("c/order/b".to_owned());
        assert!(
            partitions.partitions.is_empty(),
            "an empty partition is forgotten"
        );
    }

    #[test]
    fn a_withdrawn_connection_leaves_only_what_is_under_way() {
        let mut partitions = Partitions::default();
        for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
            partitions.push(task(position, id));
        }
        assert_eq!(positions(&take(&mut partitions, 1)), [1]);
        let mut withdrawn = partitions.withdraw(&ConnectionId::new("c").expect("an id"));
        withdrawn.sort_unstable();
        assert_eq!(withdrawn, [2, 3]);
        assert!(!partitions.has_ready());
        partitions.done("c/order/a".to_owned());
        assert!(partitions.partitions.is_empty());
        partitions.push(task(4, "a"));
        assert_eq!(positions(&take(&mut partitions, 10)), [4]);
    }

    #[test]
    fn a_refused_event_holds_back_its_key_only() {
        let mut partitions = Partitions::default();
        for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
            partitions.push(task(position, id));
        }
        let mut first = take(&mut partitions, 1);
        let now = Instant::now();
        partitions.again(
            first.pop().expect("one"),
            Some(now + Duration::from_secs(1)),
        );
        assert_eq!(positions(&take(&mut partitions, 10)), [3]);
        assert_eq!(partitions.wake(now), Some(now + Duration::from_secs(1)));
        assert!(!partitions.has_ready());
        assert_eq!(partitions.wake(now + Duration::from_secs(1)), None);
        assert_eq!(positions(&take(&mut partitions, 10)), [1]);
    }

    fn request(position: Position, id: &str) -> Task {
        Task {
            is_incomplete: true,
            ..task(position, id)
        }
    }

    fn keys(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| format!("c/order/{id}")).collect()
    }

    #[test]
    fn an_event_that_lacks_something_holds_back_its_key_only() {
        let mut partitions = Partitions::default();
        for task in [request(1, "a"), task(2, "a"), task(3, "b")] {
            partitions.push(task);
        }
        assert_eq!(positions(&take(&mut partitions, 10)), [3]);
        assert_eq!(
            partitions.held_up(&ConnectionId::new("c").expect("an id")),
            (1, HashSet::from([1]))
        );
        partitions.complete(1, &keys(&["a"]), 2, vec![event_of(task(1, "a"))]);
        assert_eq!(positions(&take(&mut partitions, 10)), [1]);
        partitions.done("c/order/a".to_owned());
        assert_eq!(positions(&take(&mut partitions, 10)), [2]);
        // What comes while an event of its key is under way waits for that, and then for its store.
        partitions.push(request(4, "a"));
        partitions.done("c/order/a".to_owned());
        assert!(take(&mut partitions, 10).is_empty());
        // An entry that tells nothing after all makes room.
        partitions.push(task(5, "a"));
        partitions.complete(4, &keys(&["a"]), 2, Vec::new());
        assert_eq!(positions(&take(&mut partitions, 10)), [5]);
        partitions.done("c/order/a".to_owned());
        partitions.done("c/order/b".to_owned());
        assert!(partitions.partitions.is_empty() && partitions.request.is_empty());
    }

    #[test]
    fn two_events_of_one_key_in_one_delivery_are_completed_both() {
        let mut partitions = Partitions::default();
        let mut second = request(1, "a");
        Arc::make_mut(&mut second.event).id.index = 1;
        let events = vec![event_of(task(1, "a")), Event::clone(&second.event)];
        partitions.push(request(1, "a"));
        partitions.push(second);
        partitions.complete(1, &keys(&["a"]), 2, events);
        for _ in 0..2 {
            assert_eq!(positions(&take(&mut partitions, 10)), [1]);
            partitions.done("c/order/a".to_owned());
        }
        assert!(partitions.partitions.is_empty());
    }

    #[test]
    fn a_partition_whose_first_event_was_withdrawn_goes_on_with_the_next() {
        let mut partitions = Partitions::default();
        let app = ConnectionId::new("app").expect("an id");
        partitions.push(Task {
            endpoint: app.clone(),
            ..request(1, "a")
        });
        partitions.push(task(2, "a"));
        assert_eq!(partitions.withdraw(&app), [1]);
        assert_eq!(positions(&take(&mut partitions, 10)), [2]);
    }
}
