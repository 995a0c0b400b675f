//! The relay's state, grouped by task.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::backlog::Backlog;
use super::compared::ComparisonOptions;
use super::enrichment_queue::EnrichmentQueue;
use super::fetch::{Fetch, FetchTarget};
use super::fetching::Fetcher;
use super::known::KnownEntities;
use super::partitions::Partitions;
use super::shares::{Quotas, Shares};
use super::trials::Trials;
use super::window::PublishWindow;
use crate::connections::{Directory, UnreadableBodies};
use crate::delivery::{ConnectionId, Enriched, ReasonCode};
use crate::entities::{
    DeliveryComparison, DeliveryRecord, EntityKey, EntityState, EventRecord, NewState,
};
use crate::event::SizeLimit;
use crate::journal::entry::{LoggedEvent, Position, Settlement};
use crate::journal::{Journal, JournalError, Marks};
use crate::publisher::{Publish, PublishOutcome};

/// Maximum number of entries in flight: claimed and not yet settled.
const MAX_ENTRIES: usize = 2048;
/// Maximum memory of their events in bytes.
const MAX_ENTRY_BYTES: usize = 32 << 20;
/// Delay after a failure of the journal.
pub(super) const JOURNAL_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Work that runs beside the relay's loop.
pub(super) type Work = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// The result of such work.
pub(super) enum Finished {
    Published {
        flight: u64,
        outcome: PublishOutcome,
    },
    Settled {
        settlements: Vec<Settlement>,
        result: Result<(), JournalError>,
    },
    Enriched {
        target: FetchTarget,
        positions: Vec<Position>,
        enriched: Enriched,
    },
    FetchFailed {
        fetch: Fetch,
        /// Minimum delay before the next attempt.
        delay: Duration,
        was_contradicted: bool,
    },
    StatesRead {
        keys: Vec<EntityKey>,
        result: Result<Vec<Option<EntityState>>, JournalError>,
    },
}

/// The relay.
pub struct Relay<P> {
    pub(super) journal: Journal,
    pub(super) publisher: Arc<P>,
    pub(super) directory: Directory,
    /// The counters of changes by other processes.
    pub(super) marks: watch::Receiver<Marks>,
    pub(super) arrived: Arc<Notify>,
    pub(super) intake: Intake,
    pub(super) in_flight: InFlight,
    pub(super) enrichment: Enriching,
    pub(super) partitions: Partitions,
    pub(super) known: KnownEntities,
    /// `None` if events are not compared.
    pub(super) comparison: Option<ComparisonOptions>,
    /// Since when the states of entities are known.
    pub(super) comparing_since: Timestamp,
    pub(super) window: PublishWindow,
    pub(super) settling: Settling,
    pub(super) trials: Trials,
    pub(super) work: FuturesUnordered<Work>,
    pub(super) max_event_bytes: SizeLimit,
    pub(super) unreadable: Arc<UnreadableBodies>,
    pub(super) is_stopping: bool,
    /// `true` if the publisher has ended, so nothing can be published any more.
    pub(super) is_ended: bool,
}

/// What the relay claims next.
pub(super) struct Intake {
    pub(super) backlog: Backlog,
    /// `true` if there may be arrivals that no search has found yet.
    pub(super) has_arrivals: bool,
    /// `true` if the last claim found nothing, and nothing has changed since.
    pub(super) is_drained: bool,
    /// No claim before this time: more entries may arrive, or the journal failed.
    pub(super) not_before: Option<Instant>,
    pub(super) paused: HashSet<ConnectionId>,
    /// Connections whose waiting events are released as soon as none of their events is in flight.
    pub(super) to_release: HashSet<ConnectionId>,
    /// Connections with a redriven entry that was skipped because it was in flight.
    pub(super) passed_over: HashSet<ConnectionId>,
}

/// The entries in flight, and the space that they use.
pub(super) struct InFlight {
    pub(super) entries: HashMap<Position, InFlightEntry>,
    pub(super) shares: Shares,
    pub(super) quotas: Quotas,
}

/// An entry in flight: not all of its events are finished.
pub(super) struct InFlightEntry {
    pub(super) connection: ConnectionId,
    pub(super) bytes: usize,
    /// `false` while the entry waits for its enrichment, which has a space of its own.
    pub(super) is_counted: bool,
    pub(super) redriven: bool,
    pub(super) attempts: u32,
    /// Number of events that are not finished.
    pub(super) waiting: usize,
    /// The results of the finished events.
    pub(super) outcomes: Vec<PublishOutcome>,
    pub(super) events: Vec<LoggedEvent>,
    /// Number of events before the comparison.
    pub(super) event_count: usize,
    /// The entities of its events whose states are kept in memory for it.
    pub(super) entities: Vec<EntityKey>,
    /// Reason code of an event that is not published after its comparison.
    pub(super) reason_ignored: Option<ReasonCode>,
    pub(super) records: Vec<EventRecord>,
    pub(super) states: Vec<NewState>,
}

impl InFlightEntry {
    /// `true` if an event of the entry is finished.
    pub(super) fn has_begun(&self) -> bool {
        !self.outcomes.is_empty() || !self.records.is_empty()
    }

    /// The result of the comparison of its events, to be stored with its settlement.
    pub(super) fn comparison(&self) -> Option<DeliveryComparison> {
        let mut records = self.records.clone();
        records.sort_by_key(|record| record.index);
        // A delivery of which nothing was published is compared again when it is redriven.
        let is_published = self
            .outcomes
            .iter()
            .any(|outcome| !matches!(outcome, PublishOutcome::Impossible(_)));
        let has_record = !records.is_empty() && is_published;
        let comparison = DeliveryComparison {
            record: has_record.then_some(DeliveryRecord(records)),
            states: self.states.clone(),
        };
        (has_record || !self.states.is_empty()).then_some(comparison)
    }
}

/// Thin deliveries that wait for data from their store.
pub(super) struct Enriching {
    /// `None` if enrichment is turned off.
    pub(super) fetcher: Option<Fetcher>,
    pub(super) queue: EnrichmentQueue,
    /// Installations that wait for the platform's confirmation, by position, with the time of their signature.
    pub(super) installing: HashMap<ConnectionId, HashMap<Position, Option<Timestamp>>>,
    /// Installations that became connections since the directory was renewed, with their app.
    pub(super) captured: HashSet<Installation>,
}

/// An installation of an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Installation {
    pub(super) connection: ConnectionId,
    pub(super) app: ConnectionId,
}

/// Settlements for the journal.
#[derive(Default)]
pub(super) struct Settling {
    pub(super) waiting: Vec<Settlement>,
    /// A small number of settlements waits until this time.
    pub(super) not_before: Option<Instant>,
    pub(super) is_running: bool,
}

impl<P: Publish> Relay<P> {
    /// A relay that has claimed nothing yet. `marks` changes after the directory was renewed.
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
            intake: Intake {
                backlog: Backlog::default(),
                has_arrivals: true,
                is_drained: false,
                not_before: None,
                paused,
                to_release: HashSet::new(),
                passed_over: HashSet::new(),
            },
            in_flight: InFlight {
                entries: HashMap::new(),
                shares: Shares::new(MAX_ENTRIES, MAX_ENTRY_BYTES),
                quotas: Quotas::default(),
            },
            enrichment: Enriching {
                fetcher: None,
                queue: EnrichmentQueue::default(),
                installing: HashMap::new(),
                captured: HashSet::new(),
            },
            partitions: Partitions::default(),
            known: KnownEntities::default(),
            comparison: None,
            comparing_since: Timestamp::MAX,
            window: PublishWindow::default(),
            settling: Settling::default(),
            trials: Trials::default(),
            work: FuturesUnordered::new(),
            max_event_bytes: SizeLimit::default(),
            unreadable: Arc::default(),
            is_stopping: false,
            is_ended: false,
        }
    }

    /// Enriches thin deliveries from the API of their store.
    #[must_use]
    pub fn enriching(mut self, fetcher: Fetcher) -> Self {
        self.enrichment.fetcher = Some(fetcher);
        self
    }

    /// Events larger than the limit are published without `data.raw`, or become dead letters.
    #[must_use]
    pub fn limiting_events(self, max_event_bytes: SizeLimit) -> Self {
        Self {
            max_event_bytes,
            ..self
        }
    }

    /// Compares events with the known states of their entities, which are stored since this time.
    #[must_use]
    pub fn comparing(self, comparison: Option<ComparisonOptions>, since: Timestamp) -> Self {
        Self {
            comparison,
            comparing_since: since,
            ..self
        }
    }

    /// Counts the deliveries that cannot be read.
    #[must_use]
    pub fn counting_unreadable(self, unreadable: Arc<UnreadableBodies>) -> Self {
        Self { unreadable, ..self }
    }
}

/// `true` if a time is reached; always for `None`.
pub(super) fn is_reached(instant: Option<Instant>) -> bool {
    instant.is_none_or(|instant| Instant::now() >= instant)
}
