//! The relay: from the journal to where events go, and back with what became of them.
//!
//! claim → assemble → enrich → publish → settle, as one task that owns all its state. It never meets the receiver: they
//! share the journal and a wake-up. `intake` claims fair shares ([`backlog`], [`shares`]), `normalize` makes events,
//! [`enrichment`] holds those whose store is asked for the rest, [`partitions`] keeps the order, `window` publishes within
//! the limits of each route ([`flow`]), [`disposition`] decides, `settle` tells the journal.
//!
//! No connection can use up what others need: entries in hand, events in flight, and waiting for stores are shared fairly,
//! and a queue that refuses or hangs holds only the events of its own routes.
//!
//! Nothing here is remembered across a restart but what the journal holds: what was not settled is claimed again.

mod asking;
pub mod backlog;
pub mod backoff;
mod deletion;
pub mod disposition;
pub mod enrichment;
pub mod flow;
mod installations;
mod intake;
pub mod partitions;
mod settle;
pub mod shares;
mod trial;
mod window;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::connections::{Directory, UnreadableBodies};
use crate::delivery::{Completion, ConnectionId};
use crate::event::SizeLimit;
use crate::journal::entry::{LoggedEvent, Position, Settlement};
use crate::journal::{Journal, JournalError, Marks};
use crate::publisher::{Publish, PublishOutcome};
pub use asking::Asking;
use asking::Reply;
use backlog::Backlog;
use disposition::Ending;
use enrichment::{Enrichment, Question, Target};
use partitions::Partitions;
use shares::{Quotas, Shares};
use trial::Trials;
use window::PublishWindow;

/// Maximum number of entries in hand, claimed and not yet settled, and the bytes of memory that their events take.
const MAX_ENTRIES: usize = 2048;
const MAX_BYTES: usize = 32 << 20;
/// Results taken in before new work is started.
const MAX_RESULTS: usize = 256;
/// After the journal failed.
const PAUSE: Duration = Duration::from_secs(1);

type Work = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// What a piece of work under way ended with.
enum Finished {
    Published(u64, PublishOutcome),
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
    connection: ConnectionId,
    bytes: usize,
    /// `false` while it waits for its store: enrichment has a space of its own.
    is_counted: bool,
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
    backlog: Backlog,
    /// May there be arrivals that were not searched for?
    has_arrivals: bool,
    /// `true` if the last claim found nothing that may be claimed, and nothing has changed since.
    is_drained: bool,
    /// Claims wait until then: for more to arrive, or for a journal that failed.
    claim_not_before: Option<Instant>,
    paused: HashSet<ConnectionId>,
    /// Connections whose waiting events go back to the journal as soon as none of theirs is in flight.
    to_put_back: HashSet<ConnectionId>,
    /// Connections with a redriven entry that was passed over because it was in hand.
    passed_over: HashSet<ConnectionId>,
    /// Installations that were captured since the directory was renewed, with the app that they are of.
    captured: HashSet<(ConnectionId, ConnectionId)>,
    held: HashMap<Position, Held>,
    shares: Shares,
    quotas: Quotas,
    partitions: Partitions,
    window: PublishWindow,
    asking: Option<Asking>,
    is_stopping: bool,
    enrichment: Enrichment,
    /// The installations that wait until the platform has confirmed them, by position, with the time of their signature.
    installing: HashMap<ConnectionId, HashMap<Position, Option<Timestamp>>>,
    to_settle: Vec<Settlement>,
    /// Settlements that are few wait until then.
    settle_not_before: Option<Instant>,
    is_settling: bool,
    /// The publisher has ended: there is nothing left to do.
    is_ended: bool,
    work: FuturesUnordered<Work>,
    trials: Trials,
    max_event_bytes: SizeLimit,
    unreadable: Arc<UnreadableBodies>,
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
            backlog: Backlog::default(),
            has_arrivals: true,
            is_drained: false,
            claim_not_before: None,
            paused,
            to_put_back: HashSet::new(),
            passed_over: HashSet::new(),
            captured: HashSet::new(),
            held: HashMap::new(),
            shares: Shares::new(MAX_ENTRIES, MAX_BYTES),
            quotas: Quotas::default(),
            partitions: Partitions::default(),
            window: PublishWindow::default(),
            asking: None,
            is_stopping: false,
            enrichment: Enrichment::default(),
            installing: HashMap::new(),
            to_settle: Vec::new(),
            settle_not_before: None,
            is_settling: false,
            is_ended: false,
            work: FuturesUnordered::new(),
            trials: Trials::default(),
            max_event_bytes: SizeLimit::default(),
            unreadable: Arc::default(),
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

    /// Counts the deliveries that cannot be read.
    #[must_use]
    pub fn counting_unreadable(self, unreadable: Arc<UnreadableBodies>) -> Self {
        Self { unreadable, ..self }
    }

    /// Relays until `shutdown`, then what is left until `grace` is over or the broker is away. Returns early only if the
    /// publisher has ended by itself.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, grace: Duration) {
        self.try_suspects(&shutdown).await;
        while !*shutdown.borrow() && !self.is_ended {
            self.start_work().await;
            self.wait(&mut shutdown).await;
        }
        if self.is_ended {
            tracing::error!("the publisher has ended; the relay ends, too");
        }
        let deadline = Instant::now() + grace;
        // What waits for a store stays pending, and is asked for again after the next start.
        self.is_stopping = true;
        // Something may have arrived that was not searched for.
        (self.has_arrivals, self.is_drained) = (true, false);
        while Instant::now() < deadline && self.publisher.is_ready() && !self.is_ended {
            self.start_work().await;
            let is_waiting = !self.can_publish() && !self.can_claim();
            if is_waiting && self.window.in_flight() == 0 {
                break;
            }
            let _ = tokio::time::timeout_at(deadline.into(), self.step()).await;
        }
        // What the broker confirmed is settled even if the grace is over: it would be published again otherwise.
        while !self.to_settle.is_empty() || self.is_settling {
            self.start_settling();
            match tokio::time::timeout(PAUSE, self.work.next()).await {
                Ok(Some(finished)) => self.finish(finished).await,
                _ => break,
            }
        }
        self.trials.close();
    }

    /// `true` if everything is settled that was pending. For tests that step the relay by hand.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.can_claim()
            && self.held.is_empty()
            && self.work.is_empty()
            && self.to_settle.is_empty()
    }

    /// Starts all work that can be started: claims, publishes, settlements.
    pub async fn start_work(&mut self) {
        self.try_again().await;
        if self.can_claim() && is_over(self.claim_not_before) {
            self.claim().await;
        }
        let now = Instant::now();
        if self.backlog.wake().is_some_and(|instant| now >= instant) {
            self.reopen_claims();
        }
        self.partitions.wake(now);
        self.start_asking();
        self.put_back();
        self.judge_flows();
        self.start_publishing();
        if self.is_settling_due() {
            self.start_settling();
        }
    }

    /// `true` if a claim may find something.
    fn can_claim(&self) -> bool {
        self.has_arrivals || !self.is_drained
    }

    /// Room became free, or something became claimable.
    fn reopen_claims(&mut self) {
        self.is_drained = false;
    }

    /// Waits for a piece of work to end, and takes in its result.
    pub async fn step(&mut self) {
        let wake = self.wake();
        tokio::select! {
            biased;
            Some(finished) = self.work.next() => self.finish_all(finished).await,
            () = tokio::time::sleep_until(wake.into()) => {}
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }

    /// When there is something to do even if nothing happens.
    fn wake(&mut self) -> Instant {
        let now = Instant::now();
        let claim_again = if self.can_claim() {
            self.claim_not_before
        } else {
            self.backlog.wake()
        };
        let settle_again = if self.is_settling || self.to_settle.is_empty() {
            None
        } else {
            self.settle_not_before
        };
        let wakes = [
            self.partitions.wake(now),
            claim_again,
            settle_again,
            self.window.wake(now),
            self.enrichment.wake(),
            self.trials.wake(),
        ];
        let wake = wakes.into_iter().flatten().min();
        wake.unwrap_or_else(|| now + Duration::from_secs(60))
    }

    async fn wait(&mut self, shutdown: &mut watch::Receiver<bool>) {
        let wake = self.wake();
        if self.can_publish() {
            return;
        }
        let claim_now = self.can_claim() && is_over(self.claim_not_before);
        let publisher = Arc::clone(&self.publisher);
        let waits_for_broker = self.partitions.has_ready() && !publisher.is_ready();
        tokio::select! {
            // First what is under way, so that a stream of arrivals never keeps results from being taken in.
            biased;
            Some(finished) = self.work.next(), if !self.work.is_empty() => self.finish_all(finished).await,
            () = std::future::ready(()), if claim_now => {}
            is_ready = publisher.ready(), if waits_for_broker => self.is_ended |= !is_ready,
            () = self.arrived.notified() => self.has_arrivals = true,
            Ok(()) = self.marks.changed() => self.look_again(),
            () = tokio::time::sleep_until(wake.into()) => {}
            _ = shutdown.changed() => {}
        }
    }

    /// Something that was settled or paused may be pending again.
    fn look_again(&mut self) {
        self.marks.borrow_and_update();
        let paused = self.directory.paused();
        self.to_put_back
            .extend(paused.difference(&self.paused).cloned());
        self.paused = paused;
        self.captured.clear();
        // Connections that were removed, or have no credentials any more, give no answer: waiting for one is in vain.
        let directory = &self.directory;
        let cannot_answer =
            |target: &Target| !directory.can_request(&target.connection, &target.endpoint);
        self.enrichment.hurry(cannot_answer, Instant::now());
        self.look_from_the_start();
    }

    /// Searches all pending entries again.
    fn look_from_the_start(&mut self) {
        self.backlog.restart();
        self.has_arrivals = true;
    }

    /// Lets go of what waits of connections that were paused: it stays pending in the journal and is claimed again later.
    /// Only while nothing of a connection is in flight, or an event that goes on could overtake one that is let go.
    fn put_back(&mut self) {
        let connections: Vec<ConnectionId> = self
            .to_put_back
            .iter()
            .filter(|connection| !self.window.has_in_flight(connection))
            .cloned()
            .collect();
        for connection in connections {
            self.to_put_back.remove(&connection);
            self.reopen_claims();
            for position in self.partitions.withdraw(&connection) {
                let Some(held) = self.held.get_mut(&position) else {
                    continue;
                };
                held.waiting = held.waiting.saturating_sub(1);
                if held.waiting == 0 {
                    self.let_go(position);
                }
            }
        }
    }

    /// An entry is in hand no more. If it is not settled, it can be claimed again.
    fn let_go(&mut self, position: Position) {
        if let Some(entry) = self.enrichment.take(position) {
            self.installed(&entry);
        }
        if let Some(held) = self.held.remove(&position) {
            if held.is_counted {
                self.shares.remove(&held.connection, held.bytes);
            }
            self.backlog.reopen(held.connection.to_string(), position);
        }
        self.reopen_claims();
    }

    /// Asks as many stores as may be asked now.
    fn start_asking(&mut self) {
        let Some(asking) = self.asking.clone().filter(|_| !self.is_stopping) else {
            return;
        };
        while let Some(question) = self.enrichment.next(Instant::now()) {
            let newest = question.positions.iter().max().copied().unwrap_or(0);
            let is_in_hand = self.is_in_hand(&question.target, newest);
            self.work.push(Box::pin(ask(
                asking.clone(),
                self.journal.clone(),
                question,
                is_in_hand,
            )));
        }
    }

    /// Takes in a result, and others that are there already.
    async fn finish_all(&mut self, first: Finished) {
        self.finish(first).await;
        for _ in 0..MAX_RESULTS {
            match self.work.next().now_or_never() {
                Some(Some(finished)) => self.finish(finished).await,
                Some(None) | None => return,
            }
        }
    }

    async fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Completed(target, positions, completion) => {
                self.enrichment.answered(&target, Instant::now());
                for position in positions {
                    self.completed(position, &completion).await;
                }
            }
            Finished::InVain {
                question,
                pause,
                was_denied,
            } => {
                self.enrichment
                    .again(question, was_denied, asking::pause(pause), Instant::now());
            }
            Finished::Published(flight, receipt) => self.landed(flight, receipt),
            Finished::Settled(settlements, result) => self.settled(settlements, result),
        }
    }
}

/// Asks a store, and keeps what it said before anything is made of it.
async fn ask(asking: Asking, journal: Journal, question: Question, is_in_hand: bool) -> Finished {
    let completion = match asking.ask(journal.clone(), &question).await {
        Reply::Again { pause, was_denied } => {
            return Finished::InVain {
                question,
                pause,
                was_denied,
            };
        }
        Reply::Done(completion) => completion,
    };
    let kept = match deletion::judge(&journal, &question.target, is_in_hand, completion).await {
        Ok(completion) => journal
            .complete(question.positions.clone(), completion.clone())
            .await
            .map(|()| completion),
        Err(error) => Err(error),
    };
    match kept {
        Ok(completion) => Finished::Completed(question.target, question.positions, completion),
        Err(_) => Finished::InVain {
            question,
            pause: PAUSE,
            was_denied: false,
        },
    }
}

fn is_over(instant: Option<Instant>) -> bool {
    instant.is_none_or(|instant| Instant::now() >= instant)
}
