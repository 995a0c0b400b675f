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
use super::report::{EntityReport, StoreReport};
use super::requests::{self, OpenRequest};
use super::store::Store;
use super::window::Following;
use crate::connections::{Directory, Polling, ReadableStore, Seal};
use crate::delivery::ConnectionId;
use crate::journal::entry::EntryKind;
use crate::journal::{Journal, JournalError};
use crate::outbound::Outbound;
use crate::platforms::store_api;
use crate::report::ErrorChain;

/// Maximum number of stores that are read at once.
const MAX_CONCURRENT_READS: usize = 8;
/// Of these, maximum number that a request of the command line reads. It may read for hours.
const MAX_REQUESTED_READS: usize = 2;
/// Of these, maximum number whose lists of all entities are read. The others are free for changes, also after an outage.
const MAX_FULL_READS: usize = 2;
/// A scheduled read of a store ends after this time, so that others get their turn.
const MAX_READ_TIME: Duration = Duration::from_secs(120);
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
    /// Each store with webhooks is read once in this time; `None` to read it on request only.
    pub interval: Option<Duration>,
    /// Each store without webhooks is read once in this time, if its connection has no interval of its own.
    pub poll_interval: Duration,
}

#[derive(Default)]
struct Schedule {
    next: HashMap<ConnectionId, NextRead>,
    /// By connection, with the task that reads it.
    running: HashMap<ConnectionId, Id>,
    /// The tasks that read lists of all entities.
    full_reads: HashSet<Id>,
    request: Option<OpenRequest>,
    phases: RandomState,
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
                None => self.begin(&mut schedule, &mut reads).await,
            }
        }
        reads.shutdown().await;
    }

    async fn begin(&self, schedule: &mut Schedule, reads: &mut JoinSet<StoreReport>) {
        if schedule.request.is_none() {
            schedule.request = requests::open(&self.journal, &self.directory).await;
        }
        if let Some(open) = &mut schedule.request {
            let free = MAX_CONCURRENT_READS
                .saturating_sub(schedule.running.len())
                .min(MAX_REQUESTED_READS.saturating_sub(open.tasks.len()));
            let running = &schedule.running;
            let is_ready = |id: &mut ConnectionId| !running.contains_key(id);
            let ready: Vec<_> = open.waiting.extract_if(.., is_ready).take(free).collect();
            for connection in ready {
                let lists = Lists::Requested(open.request.clone());
                let read = self.clone().read(connection.clone(), lists);
                let task = reads.spawn(read).id();
                open.tasks.insert(task);
                schedule.running.insert(connection, task);
            }
        }
        requests::finish(&self.journal, &mut schedule.request).await;
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
        let is_free =
            schedule.running.len() < MAX_CONCURRENT_READS && !schedule.running.contains_key(&id);
        if !is_free {
            return;
        }
        let may_read_full = schedule.full_reads.len() < MAX_FULL_READS;
        if may_read_full && next.is_full_first(now) {
            next.read_full(interval, now);
            let read = self.clone().read(id.clone(), Lists::Full);
            let task = reads.spawn(read).id();
            schedule.full_reads.insert(task);
            schedule.running.insert(id, task);
        } else if next.is_due(now) {
            next.read(interval, now);
            let read = self.clone().read(id.clone(), Lists::Changes);
            schedule.running.insert(id, reads.spawn(read).id());
        }
    }

    async fn end(&self, schedule: &mut Schedule, ended: Result<(Id, StoreReport), JoinError>) {
        let (task, report) = match ended {
            Ok((task, report)) => (task, Some(report)),
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "the read of a store failed");
                (error.id(), None)
            }
        };
        schedule.running.retain(|_, running| *running != task);
        schedule.full_reads.remove(&task);
        if let Some(report) = &report {
            log(report);
        }
        if let Some(open) = &mut schedule.request
            && open.tasks.remove(&task)
        {
            open.reports.extend(report);
        }
        requests::finish(&self.journal, &mut schedule.request).await;
    }

    async fn read(self, id: ConnectionId, lists: Lists) -> StoreReport {
        let mut report = StoreReport {
            connection: id.to_string(),
            skipped: None,
            is_polled: false,
            entities: Vec::new(),
        };
        match self.read_store(&id, &lists, &mut report).await {
            Ok(skipped) => report.skipped = skipped.map(str::to_owned),
            Err(error) => {
                tracing::error!(connection = %id, error = %ErrorChain(&error), "reading a store failed");
                report.skipped = Some("journal_failed".to_owned());
            }
        }
        report
    }

    /// Reads the entities of a store. Returns a reason code if the store is not read.
    async fn read_store(
        &self,
        id: &ConnectionId,
        lists: &Lists,
        report: &mut StoreReport,
    ) -> Result<Option<&'static str>, JournalError> {
        let now = Timestamp::now();
        let (seal, connection) = (self.seal.clone(), id.clone());
        let read = self.journal.read(move |reader| {
            let pending = reader.has_pending_before(&connection, now - MAX_PENDING_AGE)?;
            let reads = reader.store_reads(&connection)?;
            let context = reader.connection_context(&seal, &connection, None);
            let found = reader.connection(&connection)?;
            Ok((pending, reads, context, found))
        });
        let (has_pending, reads, context, connection) = read.await?;
        let (Ok(Some(context)), Some(connection)) = (context, connection) else {
            return Ok(Some("no_such_connection"));
        };
        let Some(api) = store_api(&connection.platform).filter(|api| {
            api.can_request(&context.configured()) && !api.readable_lists().is_empty()
        }) else {
            return Ok(Some("not_readable"));
        };
        if has_pending {
            return Ok(Some("deliveries_pending"));
        }
        let polling = Polling::of(&connection);
        report.is_polled = polling.is_some();
        let following = Following {
            from: polling.map_or(connection.created_at, |polling| polling.from),
            is_polled: polling.is_some(),
        };
        let store = Store {
            journal: &self.journal,
            outbound: &self.outbound,
            api,
            context: &context,
            kind: if following.is_polled {
                EntryKind::Polled
            } else {
                EntryKind::Found
            },
            deadline: lists.is_scheduled().then(|| Instant::now() + MAX_READ_TIME),
        };
        for list in api.readable_lists() {
            let last = reads.iter().find(|read| read.entity == list.name);
            let scheduled = ScheduledRead::next(*list, last, following, now);
            let Some(window) = lists.window(*list, scheduled) else {
                continue;
            };
            let read = store.read_window(*list, window).await?;
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
            missing,
            late,
            deleted,
            unreadable,
            failure,
            is_store_away: _,
        } = entity;
        let (missing, late, deleted) = (missing.count, late.count, deleted.count);
        if let Some(reason) = failure {
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
