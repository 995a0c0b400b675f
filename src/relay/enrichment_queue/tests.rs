//! Tests of the queue of thin deliveries: sharing, turns, back-off and release.

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::delivery::{DeliveryKey, JournaledDelivery};
use crate::journal::entry::EntryKind;
use crate::relay::store_queue::MAX_IN_FLIGHT_PER_STORE;

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
        record: None,
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
fn hurried_target_is_due_before_its_back_off_ends() {
    let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
    waiting.wait(target("shop", "order/1"), entry(1), now);
    let fetch = waiting.next(now + GATHER_DELAY).expect("a fetch");
    waiting.again(fetch, false, |_| Duration::from_secs(900), now);
    let later = now + Duration::from_secs(1);
    waiting.hurry(|target| target.connection == id("another"), later);
    assert!(waiting.next(later).is_none());
    waiting.hurry(|target| target.connection == id("shop"), later);
    let fetch = waiting.next(later).expect("a fetch");
    assert_eq!((fetch.positions, fetch.failures), (vec![1], 1));
}

#[test]
fn deliveries_of_one_target_share_a_request_and_later_ones_do_not() {
    let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
    for position in 1..=10 {
        waiting.wait(target("shop", "product/1"), entry(position), now);
    }
    assert!(waiting.next(now).is_none(), "company is waited for");
    let fetch = waiting.next(now + GATHER_DELAY).expect("a fetch");
    assert_eq!(fetch.positions, (1..=10).collect::<Vec<_>>());
    waiting.wait(target("shop", "product/1"), entry(11), now + GATHER_DELAY);
    assert!(
        waiting.next(now + GATHER_DELAY * 9).is_none(),
        "one fetch of a kind at a time"
    );
    for position in fetch.positions {
        assert!(waiting.take(position).is_some());
    }
    waiting.answered(&fetch.target, now + GATHER_DELAY);
    assert_eq!(
        waiting
            .next(now + GATHER_DELAY * 2)
            .expect("the latecomer's")
            .positions,
        [11]
    );
}

#[test]
fn unavailable_store_backs_off_and_delays_no_other_store() {
    let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
    for number in 0..10 {
        waiting.wait(
            target("away", &format!("product/{number}")),
            entry(number),
            now,
        );
    }
    waiting.wait(target("well", "product/1"), entry(20), now);
    let later = now + GATHER_DELAY;
    let questions: Vec<Fetch> = std::iter::from_fn(|| waiting.next(later)).collect();
    assert_eq!(
        questions.len(),
        MAX_IN_FLIGHT_PER_STORE + 1,
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
    let mut requested = Vec::new();
    while let Some(fetch) = waiting.next(later + Duration::from_secs(1)) {
        fetch
            .positions
            .iter()
            .for_each(|position| drop(waiting.take(*position)));
        waiting.answered(&fetch.target, later);
        requested.push(fetch);
    }
    let again = requested
        .iter()
        .find(|fetch| fetch.target == first.target)
        .expect("a second request");
    assert_eq!(
        (&again.positions, again.failures, again.since),
        (&first.positions, 1, now)
    );
}

#[test]
fn released_delivery_causes_no_request() {
    let (mut waiting, now) = (EnrichmentQueue::default(), Instant::now());
    waiting.wait(target("shop", "product/1"), entry(1), now);
    assert!(waiting.take(1).is_some() && waiting.take(1).is_none());
    assert!(waiting.next(now + GATHER_DELAY).is_none());
    assert_eq!(
        (
            waiting.entries.len(),
            waiting.targets.len(),
            waiting.stores.len()
        ),
        (0, 0, 0)
    );
}

#[test]
fn released_and_reclaimed_delivery_is_requested_once() {
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
    let mut requested = Vec::new();
    for round in 1..20_u32 {
        let at = now + GATHER_DELAY * round * 4;
        for fetch in std::iter::from_fn(|| waiting.next(at)).collect::<Vec<_>>() {
            let position = fetch.positions[0];
            if requested.contains(&position) {
                drop(waiting.take(position));
                waiting.answered(&fetch.target, at);
            } else {
                waiting.again(fetch, false, |_| Duration::ZERO, at);
            }
            requested.push(position);
        }
    }
    requested.sort_unstable();
    assert_eq!(
        requested,
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
        "each in vain, and then well"
    );
    assert_eq!(
        (
            waiting.entries.len(),
            waiting.targets.len(),
            waiting.stores.len()
        ),
        (0, 0, 0)
    );
}
