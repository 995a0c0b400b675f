//! The relay's decisions with a publisher that does as it is told, on a real journal, stepped by hand.

#[path = "support/genuine.rs"]
mod genuine;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cartwire::connections::Directory;
use cartwire::event::Event;
use cartwire::journal::{Budget, Journal, Marks};
use cartwire::platforms::PLATFORMS;
use cartwire::publisher::{Publish, Receipt};
use cartwire::relay::Relay;
use genuine::genuine;
use jiff::Timestamp;
use tokio::sync::watch;

/// A broker that refuses the events of some connections.
#[derive(Default)]
struct Scripted {
    refused: Mutex<HashSet<String>>,
    published: Mutex<Vec<(String, String)>>,
}

impl Scripted {
    fn refuse(&self, connection: &str) {
        self.refused
            .lock()
            .expect("no panic")
            .insert(connection.to_owned());
    }

    fn refuse_nothing(&self) {
        self.refused.lock().expect("no panic").clear();
    }

    /// The sequences that were published, by partition key, in order.
    fn published(&self) -> BTreeMap<String, Vec<String>> {
        let mut by_key = BTreeMap::<String, Vec<String>>::new();
        for (key, sequence) in self.published.lock().expect("no panic").iter() {
            by_key
                .entry(key.clone())
                .or_default()
                .push(sequence.clone());
        }
        by_key
    }

    fn count(&self, connection: &str) -> usize {
        self.published()
            .iter()
            .filter(|(key, _)| key.starts_with(connection))
            .map(|(_, sequences)| sequences.len())
            .sum()
    }
}

impl Publish for Scripted {
    async fn publish(&self, events: Vec<Event>) -> Vec<(Event, Receipt)> {
        let refused = self.refused.lock().expect("no panic").clone();
        let mut published = self.published.lock().expect("no panic");
        let mut answer = |event: Event| {
            if refused.contains(event.connection.as_str()) {
                return (event, Receipt::Refused);
            }
            published.push((event.partition_key(), event.sequence.to_string()));
            (event, Receipt::Confirmed)
        };
        events.into_iter().map(&mut answer).collect()
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn close(&self) {}
}

/// Steps the relay until that is so.
async fn until(relay: &mut Relay<Scripted>, what: &str, is: impl Fn(&Relay<Scripted>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is(relay) {
        assert!(Instant::now() < deadline, "{what}");
        relay.start_work().await;
        relay.step().await;
    }
}

/// Orders of a store: `count` deliveries, spread over that many orders.
async fn receive(journal: &Journal, store: &str, count: u64, orders: u64) {
    let append = (0..count).map(|number| {
        let payload = format!(r#"{{"id":{},"revision":{number}}}"#, 1 + number % orders);
        journal.append(genuine(
            PLATFORMS[0],
            store,
            "order.updated",
            &payload,
            number,
            Timestamp::now(),
        ))
    });
    for appended in futures_util::future::join_all(append).await {
        appended.expect("kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_events_are_refused_stops_no_other_store_and_keeps_its_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
    let publisher = Arc::new(Scripted::default());
    publisher.refuse("full");
    // More than the relay takes in hand at once, all of them before the other store's.
    receive(&journal, "full", 3_000, 400).await;
    receive(&journal, "other", 50, 5).await;
    let marks = watch::Sender::new(Marks::default());
    let mut relay = Relay::new(
        journal.clone(),
        Arc::clone(&publisher),
        Directory::default(),
        marks.subscribe(),
    );
    until(&mut relay, "the other store's events go on", |_| {
        publisher.count("other") == 50
    })
    .await;
    assert_eq!(publisher.count("full"), 0);
    publisher.refuse_nothing();
    until(&mut relay, "everything is published in the end", |relay| {
        publisher.count("full") >= 3_000 && relay.is_idle()
    })
    .await;
    for (key, sequences) in publisher.published() {
        assert!(
            sequences.is_sorted_by(|a, b| a < b),
            "{key} in order, and nothing twice"
        );
    }
    let (pending, _) = journal.read(|reader| reader.backlog()).await.expect("read");
    assert_eq!(pending, 0, "all is settled");
    drop(relay);
    guard.close().await;
}
