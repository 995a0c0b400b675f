//! The relay: from the journal to where events go, and back with what became of them.
//!
//! claim → assemble → publish → settle, as one task that owns all its state. It never meets the receiver: they share the
//! journal and a wake-up. [`lanes`] keeps the order, [`disposition`] decides, [`backoff`] waits, [`assemble`] makes events.
//!
//! Nothing here is remembered across a restart but what the journal holds: what was not settled is claimed again.

pub mod assemble;
pub mod backoff;
pub mod disposition;
pub mod lanes;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};

use crate::connections::{Directory, Standing};
use crate::delivery::ConnectionId;
use crate::event::Event;
use crate::journal::entry::{Entry, LoggedEvent, Outcome, Position, Settlement};
use crate::journal::{Changed, ConnectionChange, Journal, JournalError, Marks};
use crate::publisher::{Publish, Receipt};
use crate::report::ErrorChain;
use assemble::Assembled;
use disposition::{Disposition, Ending};
use lanes::{Lanes, Task};

/// Entries in hand at most: claimed and not yet settled; and the bytes of their bodies.
const WINDOW: usize = 2048;
const WINDOW_BYTES: usize = 24 << 20;
/// Entries claimed by one read, and the bytes of bodies they may have.
const CLAIM: usize = 512;
const CLAIM_BYTES: usize = 4 << 20;
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
/// Under load the journal is read, and told what was settled, this often and not more: each read and each settlement has
/// a cost of its own, and a broker confirms many messages at once as fast as a few. After a rest both go at once.
const CLAIM_PACE: Duration = Duration::from_millis(10);
const SETTLE_PACE: Duration = Duration::from_millis(50);

/// Why a delivery is a dead letter whose sender speaks in the name of somebody else's connection.
const FOREIGN: &str = "connection_of_another";

type Work = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// What a piece of work under way ended with.
enum Finished {
    Published(Vec<(Task, Receipt)>),
    Settled(Vec<Settlement>, Result<(), JournalError>),
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
    to_settle: Vec<Settlement>,
    publishing: usize,
    settling: bool,
    work: FuturesUnordered<Work>,
}

impl<P: Publish> Relay<P> {
    /// A relay that has done nothing yet. `marks` tells of changes by other processes, after the directory was renewed.
    pub fn new(journal: Journal, publisher: Arc<P>, directory: Directory, marks: watch::Receiver<Marks>) -> Self {
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
            to_settle: Vec::new(),
            publishing: 0,
            settling: false,
            work: FuturesUnordered::new(),
        }
    }

    /// Relays until `shutdown`, then what is left until `grace` is over or the broker is away.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, grace: Duration) {
        while !*shutdown.borrow() {
            self.start_work().await;
            self.wait(&mut shutdown).await;
        }
        let deadline = Instant::now() + grace;
        // Something may have arrived that nobody has looked at.
        self.more = true;
        while Instant::now() < deadline && self.publisher.is_ready() {
            self.start_work().await;
            if self.is_idle() {
                break;
            }
            let _ = tokio::time::timeout_at(deadline.into(), self.step()).await;
        }
        // What the broker confirmed is settled even if the grace is over: it would be published again otherwise.
        while !self.to_settle.is_empty() || self.settling {
            self.start_settling();
            match tokio::time::timeout(PAUSE, self.work.next()).await {
                Ok(Some(finished)) => self.finish(finished),
                _ => break,
            }
        }
    }

    /// Is everything settled that was pending? For tests that step the relay by hand.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.more && self.held.is_empty() && self.work.is_empty() && self.to_settle.is_empty()
    }

    /// Starts all work that can be started: claims, publishes, settlements.
    pub async fn start_work(&mut self) {
        if self.more && is_over(self.claim_not_before) && self.has_room() {
            self.claim().await;
        }
        self.lanes.wake(Instant::now());
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

    fn has_room(&self) -> bool {
        self.held.len() < WINDOW && self.held_bytes < WINDOW_BYTES
    }

    /// Waits for a piece of work to end, and takes in its result.
    pub async fn step(&mut self) {
        if let Some(finished) = self.work.next().await {
            self.finish(finished);
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait(&mut self, shutdown: &mut watch::Receiver<bool>) {
        let claim_again = self.claim_not_before.filter(|_| self.more && self.has_room());
        let settle_again = self.settle_not_before.filter(|_| !self.settling && !self.to_settle.is_empty());
        let wake = [self.lanes.wake(Instant::now()), claim_again, settle_again, self.rested].into_iter().flatten().min();
        let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        if self.may_publish() {
            return;
        }
        let claim_now = self.more && claim_again.is_none() && self.has_room();
        tokio::select! {
            // First what is under way, so that a stream of arrivals never keeps results from being taken in.
            biased;
            Some(finished) = self.work.next(), if !self.work.is_empty() => self.finish(finished),
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
        self.to_put_back.extend(paused.difference(&self.paused).cloned());
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
        tracing::warn!(connections = refused.len(), "the broker refuses events of some connections; theirs wait, others go on");
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
            let Some(held) = self.held.get_mut(&position) else { continue };
            held.waiting -= 1;
            if held.waiting == 0 {
                self.let_go(position);
            }
        }
        self.look_from_the_start();
    }

    fn let_go(&mut self, position: Position) {
        if let Some(held) = self.held.remove(&position) {
            self.held_bytes -= held.bytes;
        }
    }

    async fn claim(&mut self) {
        let room = CLAIM.min(WINDOW - self.held.len());
        let in_hand = self.held.keys().copied().collect();
        let (paused, resting) = (self.paused.clone(), self.resting.clone());
        let claim = match self.journal.claim(self.cursor, room, CLAIM_BYTES, paused, resting, in_hand).await {
            Ok(claim) => claim,
            Err(error) => return self.journal_failed(&error),
        };
        let full = claim.entries.len() == room;
        self.claim_not_before = (!full).then(|| Instant::now() + CLAIM_PACE);
        self.passed_over |= claim.passed_over;
        // Asked again rather than guessed: an entry may have arrived while this was read.
        self.more = !claim.entries.is_empty();
        for entry in claim.entries {
            let position = entry.position;
            if let Err(error) = self.take_in(entry).await {
                return self.journal_failed(&error);
            }
            self.cursor = position;
        }
        self.cursor = claim.through;
    }

    fn journal_failed(&mut self, error: &JournalError) {
        tracing::error!(error = %ErrorChain(error), "the relay cannot use the journal; it tries again");
        self.claim_not_before = Some(Instant::now() + PAUSE);
    }

    async fn take_in(&mut self, entry: Entry) -> Result<(), JournalError> {
        let position = entry.position;
        let settlement = |outcome| Settlement { position, redriven: entry.redriven, attempts: entry.attempts, outcome };
        match assemble::assemble(&entry) {
            Assembled::Ignored(reason) => self.to_settle.push(settlement(Outcome::Ignored(reason))),
            Assembled::Unreadable(reason) => {
                tracing::warn!(delivery = %entry.key, connection = %entry.delivery.connection, reason, "a dead letter");
                self.to_settle.push(settlement(Outcome::DeadLettered(reason)));
            }
            Assembled::Events { events, .. } if events.is_empty() => {
                self.to_settle.push(settlement(Outcome::Ignored("no_events".into())));
            }
            Assembled::Events { events, signal } => {
                let delivery = &entry.delivery;
                let installation = (delivery.connection.clone(), delivery.endpoint.clone());
                let unknown = match self.directory.standing(&delivery.connection) {
                    _ if delivery.connection == delivery.endpoint || self.captured.contains(&installation) => false,
                    Standing::Unknown => true,
                    Standing::Known { parent } if parent.as_ref() == Some(&delivery.endpoint) => false,
                    Standing::Known { .. } => {
                        self.to_settle.push(settlement(Outcome::DeadLettered(FOREIGN)));
                        return Ok(());
                    }
                };
                // A redriven delivery tells old news of its connection.
                if (unknown || signal.is_some()) && !entry.redriven {
                    let (id, parent) = (delivery.connection.clone(), delivery.endpoint.clone());
                    let platform = delivery.platform.clone();
                    let seen = ConnectionChange::Seen { id, parent, platform, signal };
                    match self.journal.change_connection(seen).await? {
                        Changed::Yes | Changed::No => drop(self.captured.insert(installation)),
                        // The app was removed meanwhile; what it sent before goes out all the same.
                        Changed::NoSuchConnection => {}
                        Changed::Taken => {
                            self.to_settle.push(settlement(Outcome::DeadLettered(FOREIGN)));
                            return Ok(());
                        }
                    }
                }
                let logged = events.iter().map(logged).collect();
                let held = Held {
                    bytes: delivery.body.len(),
                    redriven: entry.redriven,
                    attempts: entry.attempts,
                    waiting: events.len(),
                    endings: Vec::with_capacity(events.len()),
                    events: logged,
                };
                self.held_bytes += held.bytes;
                self.held.insert(position, held);
                for event in events {
                    let endpoint = entry.delivery.endpoint.clone();
                    self.lanes.push(Task { position, attempts: 0, endpoint, event });
                }
            }
        }
        Ok(())
    }

    fn start_publishing(&mut self) {
        let (events, mut meta): (Vec<Event>, Vec<(Position, u32, ConnectionId)>) = self
            .lanes
            .take(BATCH, BATCH_BYTES)
            .into_iter()
            .map(|task| (task.event, (task.position, task.attempts, task.endpoint)))
            .unzip();
        if events.is_empty() {
            return;
        }
        let publisher = Arc::clone(&self.publisher);
        self.publishing += 1;
        self.work.push(Box::pin(async move {
            let receipts = publisher.publish(events).await;
            let meta = meta.drain(..);
            let tasks = receipts.into_iter().zip(meta);
            Finished::Published(
                tasks
                    .map(|((event, receipt), (position, attempts, endpoint))| {
                        (Task { position, attempts, endpoint, event }, receipt)
                    })
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

    fn finish(&mut self, finished: Finished) {
        match finished {
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
                    metrics::counter!("cartwire_deliveries_settled_total", "state" => state).increment(1);
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
                metrics::counter!("cartwire_publish_retries_total", "reason" => "connection_lost").increment(1);
                self.lanes.again(task, None);
            }
            Disposition::Later => {
                metrics::counter!("cartwire_publish_retries_total", "reason" => "refused").increment(1);
                task.attempts += 1;
                let not_before = Instant::now() + backoff::after(task.attempts);
                self.lanes.again(task, Some(not_before));
            }
            Disposition::Done(ending) => {
                count(&task.event, ending);
                self.lanes.done(task.event.partition_key());
                let Some(held) = self.held.get_mut(&task.position) else { return };
                held.waiting -= 1;
                held.attempts = held.attempts.saturating_add(task.attempts);
                held.endings.push(ending);
                if held.waiting == 0 {
                    let outcome = disposition::outcome(&held.endings, std::mem::take(&mut held.events));
                    let (redriven, attempts) = (held.redriven, held.attempts);
                    self.to_settle.push(Settlement { position: task.position, redriven, attempts, outcome });
                }
            }
        }
    }
}

fn is_over(instant: Option<Instant>) -> bool {
    instant.is_none_or(|instant| Instant::now() >= instant)
}

fn logged(event: &Event) -> LoggedEvent {
    LoggedEvent { index: event.id.index, event_type: event.event_type(), subject: event.subject() }
}

fn count(event: &Event, ending: Ending) {
    let ending = match ending {
        Ending::Logged => "logged",
        Ending::Published => "published",
        Ending::Unrouted => "unrouted",
        Ending::Dead(_) => "dead",
    };
    let (platform, entity) = (event.platform.clone(), event.draft.entity.name());
    metrics::counter!("cartwire_events_total", "platform" => platform, "entity" => entity, "ending" => ending).increment(1);
}
