//! The relay's decisions, step by step: with a scripted publisher and a real journal.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cartwire::connections::Directory;
use cartwire::event::Event;
use cartwire::journal::{Budget, Journal, Marks};
use cartwire::platforms::PLATFORMS;
use cartwire::publisher::{Publish, PublishOutcome, Way};
use cartwire::relay::Relay;
use jiff::Timestamp;
use support::genuine::genuine;
use tokio::sync::watch;

/// A broker that refuses the events of some connections.
#[derive(Default)]
struct Scripted {
    refused: Mutex<HashSet<String>>,
    /// Connections whose events are never answered.
    hanging: Mutex<HashSet<String>>,
    latency: Mutex<Duration>,
    /// Every publish, by event id.
    attempts: Mutex<Vec<(Instant, String)>>,
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
    async fn publish(&self, event: Arc<Event>, _way: Way) -> PublishOutcome {
        let connection = event.connection.to_string();
        self.attempts
            .lock()
            .expect("no panic")
            .push((Instant::now(), event.id.to_string()));
        if self.hanging.lock().expect("no panic").contains(&connection) {
            std::future::pending::<()>().await;
        }
        let latency = *self.latency.lock().expect("no panic");
        tokio::time::sleep(latency).await;
        if self.refused.lock().expect("no panic").contains(&connection) {
            return PublishOutcome::Refused;
        }
        let mut published = self.published.lock().expect("no panic");
        published.push((event.partition_key(), event.sequence.to_string()));
        PublishOutcome::Confirmed
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn ready(&self) -> bool {
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
    receive_from(journal, store, 0..count, orders).await;
}

async fn receive_from(journal: &Journal, store: &str, numbers: Range<u64>, orders: u64) {
    let append = numbers.map(|number| {
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
async fn store_with_refused_events_delays_no_other_store_and_keeps_order() {
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

/// A relay over a folder of its own.
struct Scene {
    journal: Journal,
    guard: cartwire::journal::JournalGuard,
    publisher: Arc<Scripted>,
    marks: watch::Sender<Marks>,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
        Self {
            journal,
            guard,
            publisher: Arc::new(Scripted::default()),
            marks: watch::Sender::new(Marks::default()),
            folder,
        }
    }

    async fn close(self) {
        self.guard.close().await;
    }

    fn relay(&self) -> Relay<Scripted> {
        Relay::new(
            self.journal.clone(),
            Arc::clone(&self.publisher),
            Directory::default(),
            self.marks.subscribe(),
        )
    }

    /// Runs a relay, sends one delivery of another store each 50 ms, and returns how long each took to be published.
    async fn honest_delays(&self, count: u64) -> Vec<Duration> {
        let stop = watch::Sender::new(false);
        let relay = tokio::spawn(self.relay().run(stop.subscribe(), Duration::ZERO));
        let mut delays = Vec::new();
        for number in 0..count {
            let sent = Instant::now();
            receive_from(&self.journal, "honest", number..number + 1, 7).await;
            while self.publisher.count("honest") <= usize::try_from(number).expect("few") {
                assert!(sent.elapsed() < Duration::from_secs(20), "never published");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            delays.push(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.send_replace(true);
        relay.await.expect("the relay ends");
        delays.sort_unstable();
        delays
    }
}

fn assert_honest(delays: &[Duration]) {
    let (median, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    assert!(
        median < Duration::from_secs(1) && most < Duration::from_secs(3),
        "median {median:?}, most {most:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_entity_delays_no_other_store() {
    let scene = Scene::new();
    *scene.publisher.latency.lock().expect("no panic") = Duration::from_millis(2);
    receive(&scene.journal, "flood", 20_000, 1).await;
    assert_honest(&scene.honest_delays(10).await);
    assert!(
        scene.publisher.count("flood") < 20_000,
        "the flood is still there"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_over_many_entities_delays_no_other_store() {
    let scene = Scene::new();
    *scene.publisher.latency.lock().expect("no panic") = Duration::from_millis(200);
    receive(&scene.journal, "flood", 20_000, 20_000).await;
    assert_honest(&scene.honest_delays(10).await);
    assert!(scene.publisher.count("flood") < 20_000);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_route_delays_no_other_store_and_is_not_repeated() {
    let scene = Scene::new();
    scene
        .publisher
        .hanging
        .lock()
        .expect("no panic")
        .insert("hung".to_owned());
    receive(&scene.journal, "hung", 3_000, 3_000).await;
    assert_honest(&scene.honest_delays(60).await);
    let attempts = scene.publisher.attempts.lock().expect("no panic").clone();
    let ids: HashSet<&String> = attempts.iter().map(|(_, id)| id).collect();
    assert_eq!(attempts.len(), ids.len(), "nothing was sent twice");
    assert!(ids.len() <= 60 + 16, "{} events in flight", ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_route_gets_one_probe_at_a_time() {
    let scene = Scene::new();
    scene.publisher.refuse("full");
    receive(&scene.journal, "full", 3_000, 400).await;
    assert_honest(&scene.honest_delays(60).await);
    let attempts = scene.publisher.attempts.lock().expect("no panic").len() - 60;
    assert!(attempts <= 16 + 8, "{attempts} attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_row_is_set_aside_and_others_continue() {
    let scene = Scene::new();
    receive(&scene.journal, "shop", 3, 3).await;
    let file = scene.folder.path().join("cartwire.db");
    let sqlite = rusqlite::Connection::open(file).expect("the file");
    sqlite
        .execute(
            "UPDATE deliveries SET headers = 'damaged' WHERE position = 2",
            [],
        )
        .expect("damaged");
    let mut relay = scene.relay();
    until(&mut relay, "the others are published", |relay| {
        scene.publisher.count("shop") == 2 && relay.is_idle()
    })
    .await;
    let dead: i64 = sqlite
        .query_row(
            "SELECT count(*) FROM entries WHERE state = 5 AND reason = 'damaged_row'",
            [],
            |row| row.get(0),
        )
        .expect("read");
    assert_eq!(dead, 1);
}
