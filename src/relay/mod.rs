//! The relay: from the journal to where events go, and back with what became of them.
//!
//! claim → assemble → complete → publish → settle, as one task that owns all its state. It never meets the receiver: they
//! share the journal and a wake-up. `intake` claims, `normalize` makes events, [`completion`] holds those whose store is asked
//! for the rest, [`lanes`] keeps the order, [`disposition`] decides, [`backoff`] waits.
//!
//! Nothing here is remembered across a restart but what the journal holds: what was not settled is claimed again.

mod asking;
pub mod backoff;
pub mod completion;
pub mod disposition;
mod intake;
pub mod lanes;
mod trial;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::connections::Directory;
use crate::delivery::{Completion, ConnectionId};
use crate::event::{Event, SizeLimit};
use crate::journal::entry::{LoggedEvent, Position, Settlement};
use crate::journal::{Journal, JournalError, Marks};
use crate::publisher::{Publish, Receipt};
pub use asking::Asking;
use asking::Reply;
use completion::{Completions, Question, Target};
use disposition::{Disposition, Ending};
use lanes::{Lanes, Task};
use trial::Trials;

/// Maximum number of entries in flight, claimed and not yet settled, and the bytes of memory that their events take.
const WINDOW: usize = 2048;
const WINDOW_BYTES: usize = 32 << 20;
/// Events published together.
const BATCH: usize = 256;
/// Batches under way at once.
const BATCHES: usize = crate::publisher::rabbitmq::CHANNELS;
/// Bytes of payloads published together.
const BATCH_BYTES: usize = 2 << 20;
/// How long a connection rests whose refused events fill the window: others get on meanwhile.
const REST: Duration = Duration::from_secs(5);
/// After the journal failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Under load the journal is told what was settled this often and not more: each settlement has a cost of its own, and a
/// broker confirms many messages at once as fast as a few. After a rest it is told at once.
const SETTLE_PACE: Duration = Duration::from_millis(50);

type Work = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// What a piece of work under way ended with.
enum Finished {
    Published(Vec<(Task, Receipt)>),
    Settled(Vec<Settlement>, Result<(), JournalError>),
    Completed(Target, Vec<Position>, Completion),
    InVain {
        question: Question,
        pause: Duration,
        was_denied: bool,
    },
}

/// An entry in hand: some of its events are not done.
struct Held {
    bytes: usize,
    redriven: bool,
    attempts: u32,
    waiting: usize,
    endings: Vec<Ending>,
    events: Vec<LoggedEvent>,
}

/// The relay's state.
pub struct Relay<P> {
    journal: Journal,
    publisher: Arc<P>,
    directory: Directory,
    marks: watch::Receiver<Marks>,
    arrived: Arc<Notify>,
    cursor: Position,
    /// May there be pending entries after the cursor?
    more: bool,
    /// Claims wait until then: for more to arrive, or for a journal that failed.
    claim_not_before: Option<Instant>,
    /// Settlements that are few wait until then.
    settle_not_before: Option<Instant>,
    paused: HashSet<ConnectionId>,
    /// Connections that were paused while events of theirs waited here.
    to_put_back: HashSet<ConnectionId>,
    /// Connections that rest, and until when.
    resting: HashSet<ConnectionId>,
    rested: Option<Instant>,
    /// Was a redriven entry passed over because it was in hand? It may have been redriven while it was being settled.
    passed_over: bool,
    /// Installations that were captured since the directory was renewed, with the app that they are of.
    captured: HashSet<(ConnectionId, ConnectionId)>,
    held: HashMap<Position, Held>,
    held_bytes: usize,
    lanes: Lanes,
    asking: Option<Asking>,
    is_stopping: bool,
    completions: Completions,
    /// The installations that wait until the platform has confirmed them, by position, with the time of their signature.
    installing: HashMap<ConnectionId, HashMap<Position, Option<Timestamp>>>,
    to_settle: Vec<Settlement>,
    publishing: usize,
    settling: bool,
    work: FuturesUnordered<Work>,
    trials: Trials,
    max_event_bytes: SizeLimit,
}

impl<P: Publish> Relay<P> {
    /// A relay that has done nothing yet. `marks` tells of changes by other processes, after the directory was renewed.
    pub fn new(
        journal: Journal,
        publisher: Arc<P>,
        directory: Directory,
        marks: watch::Receiver<Marks>,
    ) -> Self {
        let arrived = journal.arrived();
        let paused = directory.paused();
        Self {
            journal,
            publisher,
            directory,
            marks,
            arrived,
            cursor: 0,
            more: true,
            claim_not_before: None,
            settle_not_before: None,
            paused,
            to_put_back: HashSet::new(),
            resting: HashSet::new(),
            rested: None,
            passed_over: false,
            captured: HashSet::new(),
            held: HashMap::new(),
            held_bytes: 0,
            lanes: Lanes::default(),
            asking: None,
            is_stopping: false,
            completions: Completions::default(),
            installing: HashMap::new(),
            to_settle: Vec::new(),
            publishing: 0,
            settling: false,
            work: FuturesUnordered::new(),
            trials: Trials::default(),
            max_event_bytes: SizeLimit::default(),
        }
    }

    /// Thin deliveries are completed by asking their stores.
    #[must_use]
    pub fn asking(self, asking: Asking) -> Self {
        Self {
            asking: Some(asking),
            ..self
        }
    }

    /// Events larger than the limit are published without `data.raw`, or become dead letters.
    #[must_use]
    pub fn limiting_events(self, max_event_bytes: SizeLimit) -> Self {
        Self {
            max_event_bytes,
            ..self
        }
    }

    /// Relays until `shutdown`, then what is left until `grace` is over or the broker is away.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, grace: Duration) {
        self.try_suspects(&shutdown).await;
        while !*shutdown.borrow() {
            self.start_work().await;
            self.wait(&mut shutdown).await;
        }
        let deadline = Instant::now() + grace;
        // What waits for a store stays pending, and is asked for again after the next start.
        self.is_stopping = true;
        // Something may have arrived that nobody has looked at.
        self.more = true;
        while Instant::now() < deadline && self.publisher.is_ready() {
            self.start_work().await;
            let waits_for_stores = !self.lanes.has_ready() && self.lanes.refused().is_empty();
            if waits_for_stores && !self.more && self.publishing == 0 {
                break;
            }
            let _ = tokio::time::timeout_at(deadline.into(), self.step()).await;
        }
        // What the broker confirmed is settled even if the grace is over: it would be published again otherwise.
        while !self.to_settle.is_empty() || self.settling {
            self.start_settling();
            match tokio::time::timeout(PAUSE, self.work.next()).await {
                Ok(Some(finished)) => self.finish(finished).await,
                _ => break,
            }
        }
        self.trials.close();
    }

    /// Is everything settled that was pending? For tests that step the relay by hand.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.more && self.held.is_empty() && self.work.is_empty() && self.to_settle.is_empty()
    }

    /// Starts all work that can be started: claims, publishes, settlements.
    pub async fn start_work(&mut self) {
        self.try_again().await;
        if self.more && is_over(self.claim_not_before) && self.has_room() {
            self.claim().await;
        }
        self.lanes.wake(Instant::now());
        self.start_asking();
        self.make_way().await;
        self.rest();
        if self.publishing == 0 {
            let paused = std::mem::take(&mut self.to_put_back);
            self.put_back(&paused);
        }
        while self.may_publish() {
            self.start_publishing();
        }
        if self.to_settle.len() >= BATCH || is_over(self.settle_not_before) {
            self.start_settling();
        }
    }

    /// Not while something is to be put back: that waits until nothing is under way.
    fn may_publish(&self) -> bool {
        self.publishing < BATCHES && self.lanes.has_ready() && self.to_put_back.is_empty()
    }

    /// What waits for its store does not count: it has a room of its own.
    fn has_room(&self) -> bool {
        self.in_hand() < WINDOW
            && self.held_bytes.saturating_sub(self.completions.waiting().1) < WINDOW_BYTES
    }

    fn in_hand(&self) -> usize {
        self.held.len().saturating_sub(self.completions.waiting().0)
    }

    /// Waits for a piece of work to end, and takes in its result.
    pub async fn step(&mut self) {
        if let Some(finished) = self.work.next().await {
            self.finish(finished).await;
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait(&mut self, shutdown: &mut watch::Receiver<bool>) {
        let claim_again = self
            .claim_not_before
            .filter(|_| self.more && self.has_room());
        let settle_again = self
            .settle_not_before
            .filter(|_| !self.settling && !self.to_settle.is_empty());
        let wakes = [
            self.lanes.wake(Instant::now()),
            claim_again,
            settle_again,
            self.rested,
            self.completions.wake(),
            self.trials.wake(),
        ];
        let wake = wakes.into_iter().flatten().min();
        let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        if self.may_publish() {
            return;
        }
        let claim_now = self.more && claim_again.is_none() && self.has_room();
        tokio::select! {
            // First what is under way, so that a stream of arrivals never keeps results from being taken in.
            biased;
            Some(finished) = self.work.next(), if !self.work.is_empty() => self.finish(finished).await,
            () = std::future::ready(()), if claim_now => {}
            () = self.arrived.notified() => self.more = true,
            Ok(()) = self.marks.changed() => self.look_again(),
            () = tokio::time::sleep_until(wake.into()) => {}
            _ = shutdown.changed() => {}
        }
    }

    /// Something behind the cursor may be pending again. Pauses are taken over at the same moment, so that a resumed
    /// connection's old deliveries are claimed before its new ones.
    fn look_again(&mut self) {
        self.marks.borrow_and_update();
        let paused = self.directory.paused();
        self.to_put_back
            .extend(paused.difference(&self.paused).cloned());
        self.paused = paused;
        self.captured.clear();
        self.look_from_the_start();
    }

    fn look_from_the_start(&mut self) {
        self.passed_over = false;
        self.cursor = 0;
        self.more = true;
    }

    /// When the window is full of events that the broker refuses, their connections rest, so that one full queue does not
    /// stop every store.
    fn rest(&mut self) {
        if self.rested.is_some_and(|instant| Instant::now() >= instant) {
            self.rested = None;
            self.resting.clear();
            self.look_from_the_start();
        }
        if self.has_room() || self.lanes.has_ready() || self.publishing > 0 {
            return;
        }
        let refused = self.lanes.refused();
        if refused.is_empty() {
            return;
        }
        tracing::warn!(
            connections = refused.len(),
            "the broker refuses events of some connections; theirs wait, others go on"
        );
        self.put_back(&refused);
        self.resting.extend(refused);
        self.rested = Some(Instant::now() + REST);
    }

    /// Lets go of what waits of these connections: it stays pending in the journal and is claimed again later. Only while
    /// nothing is under way, or an event that goes on could overtake one that is let go.
    fn put_back(&mut self, connections: &HashSet<ConnectionId>) {
        if connections.is_empty() {
            return;
        }
        for position in self.lanes.withdraw(connections) {
            let Some(held) = self.held.get_mut(&position) else {
                continue;
            };
            held.waiting -= 1;
            if held.waiting == 0 {
                self.let_go(position);
            }
        }
        self.look_from_the_start();
    }

    fn let_go(&mut self, position: Position) {
        if let Some(entry) = self.completions.take(position) {
            self.installed(&entry);
        }
        if let Some(held) = self.held.remove(&position) {
            self.held_bytes -= held.bytes;
        }
    }

    fn start_publishing(&mut self) {
        let tasks = self.lanes.take(BATCH, BATCH_BYTES);
        if tasks.is_empty() {
            return;
        }
        let publisher = Arc::clone(&self.publisher);
        self.publishing += 1;
        self.work.push(Box::pin(async move {
            let (events, rest): (Vec<Event>, Vec<_>) = tasks.into_iter().map(Task::split).unzip();
            let receipts = publisher.publish(events).await;
            let tasks = receipts.into_iter().zip(rest);
            Finished::Published(
                tasks
                    .map(|((event, receipt), rest)| (rest.with(event), receipt))
                    .collect(),
            )
        }));
    }

    fn start_settling(&mut self) {
        if self.settling || self.to_settle.is_empty() {
            return;
        }
        self.settling = true;
        self.settle_not_before = Some(Instant::now() + SETTLE_PACE);
        let settlements = std::mem::take(&mut self.to_settle);
        let journal = self.journal.clone();
        self.work.push(Box::pin(async move {
            let result = journal.settle(settlements.clone()).await;
            if result.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            Finished::Settled(settlements, result)
        }));
    }

    /// When half of the window stands behind deliveries that wait for their stores, those go out as they are: one store that is
    /// away must not stop every store.
    async fn make_way(&mut self) {
        if self.has_room() || self.completions.waiting().0 == 0 {
            return;
        }
        let (behind, before) = self.lanes.held_up();
        if behind > WINDOW / 2 {
            tracing::warn!(
                waiting = before.len(),
                behind,
                "too much waits behind deliveries whose stores are away; they go out as they are"
            );
            self.give_up(before.into_iter().collect()).await;
        }
    }

    /// Asks as many stores as may be asked now.
    fn start_asking(&mut self) {
        let Some(asking) = self.asking.as_ref().filter(|_| !self.is_stopping) else {
            return;
        };
        while let Some(question) = self.completions.next(Instant::now()) {
            self.work.push(Box::pin(ask(
                asking.clone(),
                self.journal.clone(),
                question,
            )));
        }
    }

    async fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Completed(target, positions, completion) => {
                self.completions.answered(&target, Instant::now());
                for position in positions {
                    self.completed(position, &completion).await;
                }
            }
            Finished::InVain {
                question,
                pause,
                was_denied,
            } => {
                self.completions
                    .again(question, was_denied, asking::pause(pause), Instant::now());
            }
            Finished::Published(tasks) => {
                self.publishing -= 1;
                for (task, receipt) in tasks {
                    self.dispose(task, receipt);
                }
            }
            Finished::Settled(settlements, Ok(())) => {
                self.settling = false;
                for settlement in settlements {
                    self.let_go(settlement.position);
                    let state = settlement.outcome.state().as_str();
                    metrics::counter!("cartwire_deliveries_settled_total", "state" => state)
                        .increment(1);
                }
                if self.passed_over {
                    self.look_from_the_start();
                }
            }
            Finished::Settled(mut settlements, Err(_)) => {
                self.settling = false;
                settlements.append(&mut self.to_settle);
                self.to_settle = settlements;
            }
        }
    }

    fn dispose(&mut self, mut task: Task, receipt: Receipt) {
        match disposition::of(receipt) {
            Disposition::Again => {
                metrics::counter!("cartwire_publish_retries_total", "reason" => "connection_lost")
                    .increment(1);
                self.lanes.again(task, None);
            }
            Disposition::Later => {
                metrics::counter!("cartwire_publish_retries_total", "reason" => "refused")
                    .increment(1);
                task.attempts += 1;
                let not_before = Instant::now() + backoff::after(task.attempts);
                self.lanes.again(task, Some(not_before));
            }
            Disposition::Done(ending) => {
                count(&task.event, ending);
                self.lanes.done(task.event.partition_key());
                let Some(held) = self.held.get_mut(&task.position) else {
                    return;
                };
                held.waiting -= 1;
                held.attempts = held.attempts.saturating_add(task.attempts);
                held.endings.push(ending);
                if held.waiting == 0 {
                    let outcome =
                        disposition::outcome(&held.endings, std::mem::take(&mut held.events));
                    let (redriven, attempts) = (held.redriven, held.attempts);
                    self.to_settle.push(Settlement {
                        position: task.position,
                        redriven,
                        attempts,
                        outcome,
                    });
                }
            }
        }
    }
}

/// Asks a store, and keeps what it said before anything is made of it.
async fn ask(asking: Asking, journal: Journal, question: Question) -> Finished {
    match asking.ask(journal.clone(), &question).await {
        Reply::Again { pause, was_denied } => Finished::InVain {
            question,
            pause,
            was_denied,
        },
        Reply::Done(completion) => match journal
            .complete(question.positions.clone(), completion.clone())
            .await
        {
            Ok(()) => Finished::Completed(question.target, question.positions, completion),
            Err(_) => Finished::InVain {
                question,
                pause: PAUSE,
                was_denied: false,
            },
        },
    }
}

fn is_over(instant: Option<Instant>) -> bool {
    instant.is_none_or(|instant| Instant::now() >= instant)
}

fn count(event: &Event, ending: Ending) {
    let ending = match ending {
        Ending::Logged => "logged",
        Ending::Published => "published",
        Ending::Unrouted => "unrouted",
        Ending::Unsubscribed => "unsubscribed",
        Ending::Dead(_) => "dead",
    };
    let (platform, entity) = (event.platform.clone(), event.draft.entity.name());
    metrics::counter!("cartwire_events_total", "platform" => platform, "entity" => entity, "ending" => ending).increment(1);
}
