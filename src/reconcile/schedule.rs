//! When stores are read: each one once in an interval, degraded ones more often, and at once on request.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::lists::{Lists, ScheduledRead};
use super::next_read::NextRead;
use super::past::TargetExchange;
use super::plan::{MAX_COUNTED_PENDING, PendingDeliveries, ReadPlan};
use super::report::{EntityReport, StoreReport};
use super::requests::Requests;
use super::store::Store;
use crate::connections::{Connection, Directory, ReadableStore, Seal};
use crate::delivery::{ConnectionId, ReasonCode};
use crate::event::SizeLimit;
use crate::journal::entry::EntryKind;
use crate::journal::{Journal, JournalError, StoreRead};
use crate::outbound::Outbound;
use crate::platforms::api::ConnectionContext;
use crate::platforms::store_api;
use crate::publisher::ExchangePublisher;
use crate::report::ErrorChain;

/// Maximum number of stores that are read at once.
const MAX_CONCURRENT_READS: usize = 8;
/// Of these, maximum number that a request of the command line reads. It may read for hours.
const MAX_REQUESTED_READS: usize = 2;
/// Of these, maximum number whose lists of all entities are read. The others are free for changes, also after an outage.
const MAX_FULL_READS: usize = 2;
/// Of these, maximum number of stores that were away at their last read. A request to such a store may last minutes.
const MAX_AWAY_READS: usize = 2;
/// Time between two searches for stores that are due.
const TICK: Duration = Duration::from_secs(1);
/// The first read of a store is at a random moment of this time after the start.
const FIRST_READ_SPREAD: Duration = Duration::from_secs(30);
/// A store is not read while a delivery of it has been pending for longer: the known states are older than the journal.
const MAX_PENDING_AGE: SignedDuration = SignedDuration::from_secs(30);

/// Reads stores, and stores what the journal lacks.
#[derive(Clone)]
pub struct Reconciler {
    pub journal: Journal,
    pub directory: Directory,
    pub seal: Seal,
    pub outbound: Outbound,
    /// Publishes the past of stores to exchanges of their own; `None` without a broker.
    pub exchanges: Option<ExchangePublisher>,
    pub max_event_bytes: SizeLimit,
    /// Each store with webhooks is read once in this time; `None` to read it on request only.
    pub interval: Option<Duration>,
    /// Each store without webhooks is read once in this time, if its connection has no interval of its own.
    pub poll_interval: Duration,
}

/// What the data file has of a store.
struct StoredStore {
    connection: Connection,
    context: ConnectionContext,
    reads: Vec<StoreRead>,
    pending: PendingDeliveries,
}

#[derive(Default)]
struct Schedule {
    next: HashMap<ConnectionId, NextRead>,
    /// By connection, with the task that reads it.
    running: HashMap<ConnectionId, Id>,
    /// The tasks that read lists of all entities.
    full_reads: HashSet<Id>,
    /// The tasks that read stores which were away.
    away_reads: HashSet<Id>,
    requests: Requests,
    /// The connections whose last read was for a request.
    requested_last: HashSet<ConnectionId>,
    phases: RandomState,
}

impl Schedule {
    /// The connections that a request may not read now. It may go on for hours, so it takes turns with the reads that are due.
    fn busy(&self, now: Instant) -> HashSet<ConnectionId> {
        let is_due = |id: &&ConnectionId| self.next.get(*id).is_some_and(|next| next.is_due(now));
        let waiting = self.requested_last.iter().filter(is_due);
        self.running.keys().chain(waiting).cloned().collect()
    }
}

impl Reconciler {
    /// Reads stores until the gateway shuts down. A read that is aborted then continues after the next start.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut schedule = Schedule::default();
        let mut reads: JoinSet<StoreReport> = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                _ = shutdown.wait_for(|shutdown| *shutdown) => break,
                _ = tick.tick() => None,
                Some(ended) = reads.join_next_with_id() => Some(ended),
            };
            match ended {
                Some(ended) => self.end(&mut schedule, ended).await,
                None => schedule.requests.open(&self.journal, &self.directory).await,
            }
            // A request waits for the end of a running read, and the next scheduled read must not begin before it.
            self.begin_requested(&mut schedule, &mut reads);
            schedule.requests.report(&self.journal).await;
            self.begin_scheduled(&mut schedule, &mut reads);
        }
        reads.shutdown().await;
    }

    /// Begins the reads that requests wait for, as far as there are places.
    fn begin_requested(&self, schedule: &mut Schedule, reads: &mut JoinSet<StoreReport>) {
        let now = Instant::now();
        while schedule.running.len() < MAX_CONCURRENT_READS
            && schedule.requests.running() < MAX_REQUESTED_READS
        {
            let busy = schedule.busy(now);
            let Some(requested) = schedule.requests.next(&busy, now) else {
                break;
            };
            let lists = Lists::Requested(requested.request.clone());
            let connection = requested.connection.clone();
            let read = self.clone().read(connection.clone(), lists);
            let task = reads.spawn(read).id();
            schedule.requests.began(&requested, task);
            schedule.requested_last.insert(connection.clone());
            schedule.running.insert(connection, task);
        }
    }

    /// Begins the reads that are due, as far as there are places.
    fn begin_scheduled(&self, schedule: &mut Schedule, reads: &mut JoinSet<StoreReport>) {
        if schedule.running.len() >= MAX_CONCURRENT_READS {
            return;
        }
        let now = Instant::now();
        let mut stores = self.directory.readable();
        // The longest wait first, so that none waits for ever if there are too many.
        stores.sort_by_key(|store| schedule.next.get(&store.id).map(NextRead::at));
        let ids: HashSet<_> = stores.iter().map(|store| &store.id).collect();
        schedule.next.retain(|id, _| ids.contains(id));
        for store in &stores {
            let interval = match store.polling {
                Some(polling) => Some(polling.interval.unwrap_or(self.poll_interval)),
                None => self.interval,
            };
            if let Some(interval) = interval {
                self.begin_due(schedule, reads, (store, interval), now);
            }
        }
    }

    /// Begins the read of a store with this interval if one is due.
    fn begin_due(
        &self,
        schedule: &mut Schedule,
        reads: &mut JoinSet<StoreReport>,
        (store, interval): (&ReadableStore, Duration),
        now: Instant,
    ) {
        let id = store.id.clone();
        let phases = &schedule.phases;
        let first = now + spread(phases, &id).min(interval);
        let next = schedule
            .next
            .entry(id.clone())
            .or_insert(NextRead::new(first));
        next.update(store.is_degraded, now);
        let is_away = next.is_away();
        let is_free = schedule.running.len() < MAX_CONCURRENT_READS
            && !schedule.running.contains_key(&id)
            && !(is_away && schedule.away_reads.len() >= MAX_AWAY_READS);
        if !is_free {
            return;
        }
        let may_read_full = schedule.full_reads.len() < MAX_FULL_READS;
        let lists = if may_read_full && next.is_full_first(now) {
            next.read_full(interval, now);
            Lists::Full {
                gap_ended_at: next.gap_ended_at(),
            }
        } else if next.is_due(now) {
            next.read(interval, now);
            Lists::Changes
        } else {
            return;
        };
        let is_full = matches!(lists, Lists::Full { .. });
        let task = reads.spawn(self.clone().read(id.clone(), lists)).id();
        if is_full {
            schedule.full_reads.insert(task);
        }
        if is_away {
            schedule.away_reads.insert(task);
        }
        schedule.requested_last.remove(&id);
        schedule.running.insert(id, task);
    }

    async fn end(&self, schedule: &mut Schedule, ended: Result<(Id, StoreReport), JoinError>) {
        let (task, report) = match ended {
            Ok((task, report)) => (task, Some(report)),
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "the read of a store failed");
                (error.id(), None)
            }
        };
        schedule.full_reads.remove(&task);
        schedule.away_reads.remove(&task);
        let ended = schedule
            .running
            .extract_if(|_, running| *running == task)
            .next();
        if let (Some((id, _)), Some(report)) = (ended, &report)
            && let Some(next) = schedule.next.get_mut(&id)
        {
            next.ended(report.entities.iter().any(|list| list.is_store_away));
        }
        if let Some(report) = &report {
            log(report);
        }
        schedule.requests.ended(task, report);
    }

    async fn read(self, id: ConnectionId, lists: Lists) -> StoreReport {
        let mut report = StoreReport {
            connection: id.to_string(),
            skipped: None,
            is_polled: false,
            waits: false,
            is_journal_failure: false,
            entities: Vec::new(),
        };
        match self.read_store(&id, &lists, &mut report).await {
            Ok(None) => {}
            Ok(Some(skipped)) => report.skipped = Some(skipped.to_string()),
            Err(error) => {
                tracing::error!(connection = %id, error = %ErrorChain(&error), "reading a store failed");
                report.skipped = Some(ReasonCode::JournalFailed.to_string());
                report.is_journal_failure = true;
            }
        }
        report
    }

    /// What the data file has of a store; `None` if its connection was removed.
    async fn stored(
        &self,
        id: &ConnectionId,
        now: Timestamp,
    ) -> Result<Option<StoredStore>, JournalError> {
        let (seal, id) = (self.seal.clone(), id.clone());
        let read = self.journal.read(move |reader| {
            let context = reader.connection_context(&seal, &id, None);
            let (Ok(Some(context)), Some(connection)) = (context, reader.connection(&id)?) else {
                return Ok(None);
            };
            Ok(Some(StoredStore {
                connection,
                context,
                reads: reader.store_reads(&id)?,
                pending: PendingDeliveries {
                    is_old: reader.has_pending_before(&id, now - MAX_PENDING_AGE)?,
                    count: reader.count_pending(&id, MAX_COUNTED_PENDING)?,
                },
            }))
        });
        read.await
    }

    /// The exchange with this name for the past of a store. The error is the reason code why nothing can be published to it.
    fn target_exchange<'a>(&'a self, name: &'a str) -> Result<TargetExchange<'a>, ReasonCode> {
        let Some(publisher) = &self.exchanges else {
            return Err(ReasonCode::NoBroker);
        };
        if publisher.is_own(name) {
            return Err(ReasonCode::OwnExchange);
        }
        if !publisher.is_ready() {
            return Err(ReasonCode::BrokerAway);
        }
        Ok(TargetExchange {
            publisher,
            name,
            max_event_bytes: self.max_event_bytes.bytes(),
        })
    }

    /// Reads the entities of a store. Returns a reason code if the store is not read.
    async fn read_store(
        &self,
        id: &ConnectionId,
        lists: &Lists,
        report: &mut StoreReport,
    ) -> Result<Option<ReasonCode>, JournalError> {
        let now = Timestamp::now();
        let Some(stored) = self.stored(id, now).await? else {
            return Ok(Some(ReasonCode::NoSuchConnection));
        };
        let (connection, context, pending) = (stored.connection, stored.context, stored.pending);
        let Some(api) = store_api(&connection.platform).filter(|api| {
            api.can_request(&context.configured()) && !api.readable_lists().is_empty()
        }) else {
            return Ok(Some(ReasonCode::NotReadable));
        };
        let plan = ReadPlan::of(lists, &connection, api);
        report.is_polled = plan.kind == EntryKind::Polled;
        report.waits = pending.is_old && plan.waits_for_pending;
        if report.waits {
            return Ok(Some(ReasonCode::DeliveriesPending));
        }
        let exchange = match lists.exchange().map(|name| self.target_exchange(name)) {
            None => None,
            Some(Ok(exchange)) => Some(exchange),
            Some(Err(reason)) => {
                report.waits = reason == ReasonCode::BrokerAway;
                return Ok(Some(reason));
            }
        };
        let store = Store {
            journal: &self.journal,
            outbound: &self.outbound,
            api,
            context: &context,
            kind: plan.kind,
            exchange,
            deadline: plan.max_time.map(|time| Instant::now() + time),
            pause: plan.pause,
        };
        for list in api.readable_lists() {
            let name = lists.progress_name(*list);
            let last = stored.reads.iter().find(|read| read.entity == name);
            let scheduled =
                ScheduledRead::next(*list, last, plan.following, now).after_gap(lists, now);
            let Some(window) = lists.window(*list, scheduled) else {
                continue;
            };
            if plan.max_pending(*list) < pending.count {
                report.skipped = Some(ReasonCode::DeliveriesPending.to_string());
                continue;
            }
            let read = store.read_window((*list, name), window).await?;
            // A list that fails by itself must not keep the others unread.
            let is_away = read.is_store_away;
            report.entities.push(read);
            if is_away {
                break;
            }
        }
        Ok(None)
    }
}

/// A random part of [`FIRST_READ_SPREAD`] for each connection.
fn spread(phases: &RandomState, id: &ConnectionId) -> Duration {
    let phase = phases.hash_one(id) % 1000;
    FIRST_READ_SPREAD.mul_f64(phase as f64 / 1000.0)
}

fn log(report: &StoreReport) {
    let connection = &report.connection;
    if let Some(reason) = &report.skipped {
        tracing::debug!(connection, reason, "store not read");
    }
    for entity in &report.entities {
        let EntityReport {
            entity,
            read,
            expected: _,
            missing,
            late,
            deleted,
            unreadable,
            failure,
            is_known_failure,
            is_store_away: _,
            is_passing_failure: _,
            goes_on,
            published: _,
        } = entity;
        let (missing, late, deleted) = (missing.count, late.count, deleted.count);
        // A missing permission fails each read, and is logged once.
        if let Some(reason) = failure
            && (*is_known_failure || *goes_on)
        {
            tracing::debug!(
                connection,
                entity,
                reason,
                read,
                "reading a store stopped again"
            );
        } else if let Some(reason) = failure {
            tracing::warn!(
                connection,
                entity,
                reason,
                read,
                "reading a store stopped; it continues later"
            );
        }
        let changes = missing + late + deleted;
        if report.is_polled && changes > 0 && *unreadable == 0 {
            tracing::debug!(connection, entity, read, changes, "store polled");
        } else if changes > 0 || *unreadable > 0 {
            tracing::warn!(
                connection,
                entity,
                read,
                missing,
                late,
                deleted,
                unreadable,
                "found changes that the store did not report"
            );
        }
    }
}
