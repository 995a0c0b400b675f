//! Tests of the order per partition key, of withdrawal and of enrichment.

use super::*;
use crate::delivery::DeliveryKey;
use crate::event::data::Order;
use crate::event::{Authority, Entity, EventId, NormalizedEvent, Origin, Sequence};
use crate::relay::task::Suspicion;
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
        difference: Default::default(),
        omits_raw: false,
    };
    Task {
        position,
        attempts: 0,
        is_incomplete: false,
        bytes: 2,
        comparing: Comparing::None,
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

fn enriched(events: Vec<Event>) -> EnrichedEvents {
    EnrichedEvents {
        events,
        content: None,
        bytes: 2,
    }
}

#[test]
fn key_with_one_event_in_flight_keeps_its_order() {
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
        "an empty partition is removed"
    );
}

#[test]
fn withdrawn_connection_leaves_only_events_in_flight() {
    let mut partitions = Partitions::default();
    for (position, id) in [(1, "a"), (2, "a"), (3, "b")] {
        partitions.push(task(position, id));
    }
    assert_eq!(positions(&take(&mut partitions, 1)), [1]);
    let mut withdrawn = partitions.withdraw(&ConnectionId::new("c").expect("an id"), |_| false);
    withdrawn.sort_unstable();
    assert_eq!(withdrawn, [2, 3]);
    assert!(!partitions.has_ready());
    partitions.done("c/order/a".to_owned());
    assert!(partitions.partitions.is_empty());
    partitions.push(task(4, "a"));
    assert_eq!(positions(&take(&mut partitions, 10)), [4]);
}

#[test]
fn refused_event_delays_only_its_key() {
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

fn incomplete(position: Position, id: &str) -> Task {
    Task {
        is_incomplete: true,
        ..task(position, id)
    }
}

fn keys(ids: &[&str]) -> HashSet<String> {
    ids.iter().map(|id| format!("c/order/{id}")).collect()
}

#[test]
fn incomplete_event_delays_only_its_key() {
    let mut partitions = Partitions::default();
    for task in [incomplete(1, "a"), task(2, "a"), task(3, "b")] {
        partitions.push(task);
    }
    assert_eq!(positions(&take(&mut partitions, 10)), [3]);
    assert_eq!(
        partitions.held_up(&ConnectionId::new("c").expect("an id")),
        (1, HashSet::from([1]))
    );
    partitions.complete(1, &keys(&["a"]), enriched(vec![event_of(task(1, "a"))]));
    assert_eq!(positions(&take(&mut partitions, 10)), [1]);
    partitions.done("c/order/a".to_owned());
    assert_eq!(positions(&take(&mut partitions, 10)), [2]);
    // An incomplete event waits for the event of its key that is in flight, and then for its store.
    partitions.push(incomplete(4, "a"));
    partitions.done("c/order/a".to_owned());
    assert!(take(&mut partitions, 10).is_empty());
    // An entry without events after its enrichment is removed.
    partitions.push(task(5, "a"));
    partitions.remove(4, &keys(&["a"]));
    assert_eq!(positions(&take(&mut partitions, 10)), [5]);
    partitions.done("c/order/a".to_owned());
    partitions.done("c/order/b".to_owned());
    assert!(partitions.partitions.is_empty() && partitions.incomplete.is_empty());
}

#[test]
fn two_events_of_one_key_in_one_delivery_are_both_completed() {
    let mut partitions = Partitions::default();
    let mut second = incomplete(1, "a");
    Arc::make_mut(&mut second.event).id.index = 1;
    let events = vec![event_of(task(1, "a")), Event::clone(&second.event)];
    partitions.push(incomplete(1, "a"));
    partitions.push(second);
    partitions.complete(1, &keys(&["a"]), enriched(events));
    for _ in 0..2 {
        assert_eq!(positions(&take(&mut partitions, 10)), [1]);
        partitions.done("c/order/a".to_owned());
    }
    assert!(partitions.partitions.is_empty());
}

#[test]
fn partition_without_its_withdrawn_first_event_continues() {
    let mut partitions = Partitions::default();
    let app = ConnectionId::new("app").expect("an id");
    partitions.push(Task {
        endpoint: app.clone(),
        ..incomplete(1, "a")
    });
    partitions.push(task(2, "a"));
    assert_eq!(partitions.withdraw(&app, |_| false), [1]);
    assert_eq!(positions(&take(&mut partitions, 10)), [2]);
}

#[test]
fn partition_waits_for_the_state_of_its_entity() {
    let mut partitions = Partitions::default();
    partitions.await_state("c/order/a".to_owned());
    partitions.push(incomplete(1, "a"));
    partitions.push(task(2, "a"));
    partitions.complete(1, &keys(&["a"]), enriched(vec![event_of(task(1, "a"))]));
    assert!(take(&mut partitions, 10).is_empty());
    partitions.state_read("c/order/a".to_owned());
    assert_eq!(positions(&take(&mut partitions, 10)), [1]);
}

#[test]
fn withdrawn_partition_that_waited_for_its_state_is_removed() {
    let mut partitions = Partitions::default();
    partitions.await_state("c/order/a".to_owned());
    partitions.push(task(1, "a"));
    partitions.withdraw(&ConnectionId::new("c").expect("an id"), |_| false);
    partitions.state_read("c/order/a".to_owned());
    assert!(partitions.partitions.is_empty() && !partitions.has_ready());
}

#[test]
fn derived_event_comes_before_events_of_later_deliveries() {
    let mut partitions = Partitions::default();
    for position in [1, 3] {
        partitions.push(task(position, "a"));
    }
    assert_eq!(positions(&take(&mut partitions, 1)), [1]);
    let mut derived = task(2, "a");
    Arc::make_mut(&mut derived.event).sequence = Sequence::new(1, 7);
    partitions.insert(derived);
    partitions.done("c/order/a".to_owned());
    assert_eq!(positions(&take(&mut partitions, 1)), [2]);
}

#[test]
fn events_of_a_delivery_that_was_published_in_part_stay() {
    let mut partitions = Partitions::default();
    for position in [1, 2] {
        partitions.push(task(position, "a"));
    }
    let connection = ConnectionId::new("c").expect("an id");
    assert_eq!(
        partitions.withdraw(&connection, |position| position == 1),
        [2]
    );
    assert_eq!(positions(&take(&mut partitions, 10)), [1]);
}

#[test]
fn state_that_is_read_does_not_ready_an_event_behind_one_in_flight() {
    let mut partitions = Partitions::default();
    let key = || "c/order/a".to_owned();
    partitions.push(task(1, "a"));
    assert_eq!(positions(&take(&mut partitions, 1)), [1]);
    partitions.await_state(key());
    partitions.push(task(2, "a"));
    partitions.state_read(key());
    assert!(take(&mut partitions, 1).is_empty());
    partitions.done(key());
    assert_eq!(positions(&take(&mut partitions, 9)), [2]);
}

#[test]
fn partition_waits_for_all_states_and_for_the_event_in_flight() {
    let mut partitions = Partitions::default();
    let key = || "c/order/a".to_owned();
    partitions.push(task(1, "a"));
    assert_eq!(positions(&take(&mut partitions, 1)), [1]);
    partitions.await_state(key());
    partitions.await_state(key());
    partitions.push(task(2, "a"));
    partitions.done(key());
    partitions.state_read(key());
    assert!(take(&mut partitions, 1).is_empty());
    partitions.state_read(key());
    assert_eq!(positions(&take(&mut partitions, 9)), [2]);
}

#[test]
fn event_before_one_that_stays_is_not_withdrawn() {
    let mut partitions = Partitions::default();
    // Delivery 2 has begun. Its event of `b` waits behind delivery 1, and delivery 1 has another event.
    for (position, id) in [(0, "c"), (1, "c"), (1, "b"), (2, "b"), (3, "b")] {
        partitions.push(task(position, id));
    }
    let connection = ConnectionId::new("c").expect("an id");
    let withdrawn = partitions.withdraw(&connection, |position| position == 2);
    assert_eq!(withdrawn, [3]);
}

#[test]
fn product_its_variant_and_its_stock_share_a_partition() {
    use crate::event::data::{Inventory, Product};
    let named = |entity: Entity| {
        let mut task = task(1, "a");
        Arc::make_mut(&mut task.event).normalized.entity = entity;
        partition(&task.event)
    };
    let product = named(Entity::Product(Box::<Product>::default()));
    assert_eq!(product, named(Entity::Variant(Box::<Product>::default())));
    assert_eq!(
        product,
        named(Entity::Inventory(Box::<Inventory>::default()))
    );
    assert_ne!(product, partition(&task(1, "a").event));
}
