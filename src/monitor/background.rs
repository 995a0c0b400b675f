//! The background monitor of a running gateway: checks every connection once in each interval.
//!
//! `assess` makes the assessment of a check, and `record` stores it. Nothing is written if nothing changed. `repair`
//! repairs webhooks that a store disabled, lost or changed. All other changes at a store need an operator.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::arrivals::MAX_ARRIVALS_READ;
use super::check::{self, CheckOutcome};
use super::findings::Findings;
use super::outage::Outage;
use super::store_lock;
use super::watch_list::{RunningCheck, WatchList, WatchedConnection};
use crate::connections::{
    Accepted, Condition, Connection, Directory, Rejections, Seal, UnreadableBodies,
};
use crate::delivery::ConnectionId;
use crate::journal::Journal;
use crate::outbound::Outbound;
use crate::platforms::api::CheckMode;
use crate::report::ErrorChain;

/// Delay of the early check after a registered webhook was rejected. The store must first record its delivery attempt.
const REFUSAL_SETTLE_TIME: SignedDuration = SignedDuration::from_secs(3);
/// Time from a repair to the check that shows whether it helped.
const CHECK_AFTER_REPAIR: Duration = Duration::from_secs(10);
/// Minimum time between two checks of one connection if the second check is early.
const EARLY_CHECK_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// Maximum number of concurrent checks.
const MAX_CONCURRENT_CHECKS: usize = 8;
/// Maximum time between two searches for connections that are due.
const MAX_TICK: Duration = Duration::from_secs(1);
/// Maximum age of the arrivals in memory before they are read again.
const MAX_ARRIVALS_AGE: Duration = Duration::from_secs(60);

/// The background monitor.
#[derive(Clone)]
pub struct BackgroundMonitor {
    /// The data folder, with the store lock.
    pub folder: PathBuf,
    pub journal: Journal,
    pub directory: Directory,
    pub seal: Seal,
    pub outbound: Outbound,
    pub rejections: Arc<Rejections>,
    pub accepted: Arc<Accepted>,
    pub unreadable: Arc<UnreadableBodies>,
    /// Receives the findings of each check.
    pub findings: Findings,
    /// The gateway's public URL, which stores deliver to.
    pub public_url: Option<String>,
    /// Each connection is checked once in this time.
    pub interval: Duration,
    /// `true` to repair webhooks that a store disabled, lost or changed.
    pub is_auto_repair: bool,
}

/// A check that has ended; `None` if the connection was removed meanwhile.
type EndedCheck = Option<(Connection, CheckOutcome)>;

impl BackgroundMonitor {
    /// Checks until the gateway shuts down. The shutdown aborts running checks.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut list = WatchList::default();
        let mut checks: JoinSet<EndedCheck> = JoinSet::new();
        let mut tick = tokio::time::interval(MAX_TICK.min(self.interval / 4));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                _ = shutdown.wait_for(|shutdown| *shutdown) => break,
                _ = tick.tick() => None,
                Some(ended) = checks.join_next_with_id() => Some(ended),
            };
            match ended {
                Some(ended) => self.end(&mut list, ended).await,
                None => {
                    self.redrive_mismatched().await;
                    self.begin_due(&mut list, &mut checks);
                }
            }
        }
        checks.shutdown().await;
    }

    fn begin_due(&self, list: &mut WatchList, checks: &mut JoinSet<EndedCheck>) {
        self.update(list);
        // No check begins while a command registers or removes webhooks.
        let Some(last_locked) = store_lock::last_locked(&self.folder) else {
            return;
        };
        let now = Instant::now();
        for (id, watched) in &mut list.connections {
            if watched.next_check > now && self.is_early(id, watched) {
                watched.next_check = now;
            }
        }
        for (id, watched) in list.due(now) {
            if checks.len() >= MAX_CONCURRENT_CHECKS {
                break;
            }
            watched.checked_at = Timestamp::now();
            let (mode, wait) = if watched.repairs.is_due {
                watched.repairs.begin(now);
                (CheckMode::Fix, CHECK_AFTER_REPAIR.min(self.interval))
            } else {
                (
                    CheckMode::Check,
                    watched.second_check.take().unwrap_or(self.interval),
                )
            };
            watched.next_check = now + wait;
            let task = checks.spawn(self.clone().check(id.clone(), mode)).id();
            watched.running = Some(RunningCheck { task, last_locked });
        }
    }

    /// Adds new connections to the list, and removes those that do not exist any more.
    fn update(&self, list: &mut WatchList) {
        let ids = self.directory.ids();
        for id in list.retain(&ids) {
            // The gauge of a removed connection remains until the next start of the program.
            metrics::gauge!("cartwire_connection_healthy", "connection" => id.to_string()).set(0);
            self.findings.set(&id, Vec::new());
        }
        for id in ids {
            if !list.connections.contains_key(&id) {
                let rejections = self.rejections.of(&id);
                list.add(id, self.interval, rejections);
            }
        }
    }

    /// `true` if an event since the last check needs an explanation: a registered webhook was rejected, a delivery
    /// named an unknown webhook, or deliveries became unreadable or readable.
    fn is_early(&self, id: &ConnectionId, watched: &WatchedConnection) -> bool {
        let now = Timestamp::now();
        if now.duration_since(watched.checked_at) < EARLY_CHECK_INTERVAL {
            return false;
        }
        let changed_at = self.unreadable.changed_at(id);
        if changed_at.is_some_and(|at| at > watched.checked_at) {
            return true;
        }
        let refused = self.rejections.refused_webhooks(id);
        let newest = refused
            .iter()
            .filter_map(|refused| refused.times.last().copied())
            .chain(self.rejections.unregistered_at(id))
            .max();
        newest.is_some_and(|newest| {
            watched.checked_at.duration_since(newest) < REFUSAL_SETTLE_TIME
                && now.duration_since(newest) >= REFUSAL_SETTLE_TIME
        })
    }

    async fn check(self, id: ConnectionId, mode: CheckMode) -> EndedCheck {
        let (seal, public_url) = (self.seal.clone(), self.public_url.clone());
        let read = self.journal.read(move |reader| {
            let Some(connection) = reader.connection(&id)? else {
                return Ok(None);
            };
            let context = reader.connection_context(&seal, &id, public_url.as_deref());
            Ok(Some((connection, context)))
        });
        let (connection, context) = match read.await {
            Ok(found) => found?,
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "cannot read connection for check");
                return None;
            }
        };
        let outcome = match context {
            Ok(Some(context)) if mode == CheckMode::Fix => {
                self.repair(&connection, &context).await;
                return None;
            }
            Ok(Some(context)) => {
                check::run(&self.outbound, &connection, &context, CheckMode::Check).await
            }
            Ok(None) => return None,
            // The refresh of the directory logs the same fault as an error.
            Err(error) => {
                tracing::debug!(connection = %connection.id, error = %ErrorChain(&error), "cannot check connection");
                CheckOutcome::unchecked()
            }
        };
        Some((connection, outcome))
    }

    async fn end(&self, list: &mut WatchList, ended: Result<(Id, EndedCheck), JoinError>) {
        let (task, check) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), None),
        };
        let running = list.finish(task);
        let Some((connection, outcome)) = check else {
            return;
        };
        let report = outcome.report.clone();
        let Some(watched) = list.connections.get_mut(&connection.id) else {
            return;
        };
        let begun_locked = running.map(|running| running.last_locked);
        if store_lock::last_locked(&self.folder) != begun_locked {
            // A command changed something at the store during the check, so the result may be inconsistent.
            watched.next_check = Instant::now();
            return;
        }
        watched.outage = match &outcome.report {
            Some(report) => Outage::after(watched.outage, report, outcome.began),
            None => None,
        };
        let is_connected = connection.condition() == Condition::Connected;
        if is_connected && connection.changed_at > watched.counted_since {
            // The operator repaired something, so earlier rejections do not count any more.
            watched.restart_count(self.rejections.of(&connection.id));
            self.unreadable.forget(&connection.id);
        }
        self.restore_unreadable(&connection);
        self.read_arrivals(list, MAX_ARRIVALS_AGE).await;
        let mut assessed = self.assess(list, &connection, &outcome);
        if assessed
            .as_ref()
            .is_some_and(|assessed| assessed.depends_on_arrivals)
        {
            // A delivery of the last minute may change this assessment.
            self.read_arrivals(list, Duration::ZERO).await;
            assessed = self.assess(list, &connection, &outcome);
        }
        if let Some(assessed) = assessed {
            self.record(&connection, outcome, assessed).await;
        }
        let accepted_at = self.accepted_at(list, &connection.id);
        if let Some(watched) = list.connections.get_mut(&connection.id)
            && self.request_repair(&mut watched.repairs, &connection, report.as_ref())
        {
            watched.next_check = Instant::now();
        }
        if let Some(watched) = list.connections.get_mut(&connection.id)
            && accepted_at.is_some_and(|at| at > watched.counted_since)
        {
            watched.restart_count(self.rejections.of(&connection.id));
        }
    }

    /// Reads the arrivals since the last read, unless that read is younger than `max_age`.
    async fn read_arrivals(&self, list: &mut WatchList, max_age: Duration) {
        let max_age = max_age.min(self.interval);
        if list
            .arrivals_read_at
            .is_some_and(|at| at.elapsed() < max_age)
        {
            return;
        }
        let after = list.arrivals.through();
        let read = self
            .journal
            .read(move |reader| reader.arrivals(after, MAX_ARRIVALS_READ));
        match read.await {
            Ok(arrivals) => {
                list.arrivals.add(&arrivals);
                list.arrivals_read_at = Some(Instant::now());
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "cannot read arrivals");
            }
        }
    }
}
