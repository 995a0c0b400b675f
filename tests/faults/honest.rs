//! The honest second store beside an attack. It sends ten orders a second, and measures the delay of responses and
//! events.
//!
//! Its events are consumed from a separate queue while the attack runs. Only [`Delays::beyond_bounds`] compares delays
//! with limits, and only `--bounds` calls it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use support::consumer::Consumer;
use support::eventually;
use support::ledger::Ledger;
use support::process::ProcessGateway;
pub(crate) use support::store::{HONEST, HONEST_SECRET};
use support::store::{Order, Store};

/// The queue of the honest store's events.
const QUEUE: &str = "honest";
const SEND_INTERVAL: Duration = Duration::from_millis(100);
/// The store updates these orders in rotation.
const ORDERS: u64 = 5;

const ANSWER_BOUND: Duration = Duration::from_secs(1);
const MEDIAN_EVENT_BOUND: Duration = Duration::from_secs(1);
const WORST_EVENT_BOUND: Duration = Duration::from_secs(3);

/// The arrival time of each message, by event id.
type Arrivals = Arc<Mutex<HashMap<String, Instant>>>;

/// The store's sender and consumer, which run while another store attacks.
pub(crate) struct HonestStore {
    is_closing: Arc<AtomicBool>,
    sender: JoinHandle<Sent>,
    consumer: JoinHandle<()>,
    arrivals: Arrivals,
    /// When the broker became reachable again. The delays of earlier events are measured from this moment.
    reachable_since: Mutex<Option<Instant>>,
}

/// The deliveries that the store sent.
#[derive(Default)]
struct Sent {
    ledger: Ledger,
    /// When the delivery was answered, by event id.
    answered: HashMap<String, Instant>,
    worst_answer: Duration,
}

/// The measured delays of the honest store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    /// From the request to its 200, including all retries.
    pub(crate) worst_answer: Duration,
    /// From the response to the event's message.
    pub(crate) median_event: Duration,
    pub(crate) worst_event: Duration,
}

impl HonestStore {
    /// Starts to send to a running gateway.
    pub(crate) async fn open(gateway: &ProcessGateway, broker: &str) -> Self {
        let consumer = Consumer::connect(broker).await;
        consumer
            .declare_and_bind(QUEUE, &format!("#.{HONEST}"))
            .await;
        let arrivals = Arrivals::default();
        let is_closing = Arc::new(AtomicBool::new(false));
        let sender = tokio::spawn(send(gateway.store(), Arc::clone(&is_closing)));
        let consumer = tokio::spawn(consume(consumer, broker.to_owned(), Arc::clone(&arrivals)));
        Self {
            is_closing,
            sender,
            consumer,
            arrivals,
            reachable_since: Mutex::default(),
        }
    }

    /// Records that the broker is reachable again.
    pub(crate) fn broker_is_reachable(&self) {
        let mut since = self
            .reachable_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *since = Some(Instant::now());
    }

    /// Stops sending, waits for the events of all accepted deliveries, and returns the measured delays.
    pub(crate) async fn close(self) -> (Ledger, Delays) {
        self.is_closing.store(true, Ordering::Relaxed);
        let sent = self
            .sender
            .await
            .expect("the honest store's sender should not panic");
        let arrivals = &self.arrivals;
        let has_arrived = |id: &String| lock(arrivals).contains_key(id);
        eventually("the honest store's events", || async {
            sent.answered.keys().all(has_arrived).then_some(())
        })
        .await;
        self.consumer.abort();
        let arrived = lock(arrivals);
        let reachable_since = *self
            .reachable_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = |answered: Instant| reachable_since.map_or(answered, |since| since.max(answered));
        let mut delays: Vec<Duration> = sent
            .answered
            .iter()
            .map(|(id, answered)| arrived[id].saturating_duration_since(due(*answered)))
            .collect();
        delays.sort_unstable();
        let measured = Delays {
            worst_answer: sent.worst_answer,
            median_event: delays.get(delays.len() / 2).copied().unwrap_or_default(),
            worst_event: delays.last().copied().unwrap_or_default(),
        };
        (sent.ledger, measured)
    }
}

impl Delays {
    /// The larger value of each delay.
    pub(crate) fn worst_of(self, other: Self) -> Self {
        Self {
            worst_answer: self.worst_answer.max(other.worst_answer),
            median_event: self.median_event.max(other.median_event),
            worst_event: self.worst_event.max(other.worst_event),
        }
    }

    /// One message for each delay above its bound.
    pub(crate) fn beyond_bounds(self) -> Vec<String> {
        let delays = [
            ("answer", self.worst_answer, ANSWER_BOUND),
            ("event in the median", self.median_event, MEDIAN_EVENT_BOUND),
            ("event at worst", self.worst_event, WORST_EVENT_BOUND),
        ];
        let beyond = delays.into_iter().filter(|(_, delay, bound)| delay > bound);
        let text = |(name, delay, bound): (&str, Duration, Duration)| {
            format!(
                "the honest store's {name} took {} ms of {} ms",
                delay.as_millis(),
                bound.as_millis()
            )
        };
        beyond.map(text).collect()
    }

    pub(crate) fn json(self) -> Value {
        let millis = |delay: Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        json!({
            "worst_answer_ms": millis(self.worst_answer),
            "median_event_ms": millis(self.median_event),
            "worst_event_ms": millis(self.worst_event),
        })
    }
}

async fn send(store: Store, is_closing: Arc<AtomicBool>) -> Sent {
    let mut sent = Sent::default();
    let mut ticks = tokio::time::interval(SEND_INTERVAL);
    for revision in 0.. {
        ticks.tick().await;
        if is_closing.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        let accepted = store
            .send(Order::Honest(1 + revision % ORDERS), revision)
            .await;
        sent.worst_answer = sent.worst_answer.max(begun.elapsed());
        sent.answered
            .insert(format!("{}-0", accepted.delivery), Instant::now());
        sent.ledger.0.push(accepted);
    }
    sent
}

/// Records arrivals. Connects again whenever the connection is lost.
async fn consume(mut consumer: Consumer, broker: String, arrivals: Arrivals) {
    loop {
        let note = |id: String| {
            lock(&arrivals).entry(id).or_insert_with(Instant::now);
        };
        consumer.follow(QUEUE, note).await;
        consumer = Consumer::connect(&broker).await;
    }
}

fn lock(arrivals: &Arrivals) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}
