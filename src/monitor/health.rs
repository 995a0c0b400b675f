//! The background check of a running gateway: every connection once in each interval, at a moment of its own.
//!
//! It asks with `CheckMode::Check` only: nothing at a store is ever changed without an operator. What it decides with is in
//! `decide`; a change is one commit with its event, and nothing is written where nothing changed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::check::{self, Look};
use super::decide::{self, Facts, Outage};
use super::hold::{self, LastHeld};
use super::{Arrivals, Findings};
use crate::connections::lifecycle::{LifecycleEvent, transition};
use crate::connections::{
    Accepted, Assessment, Condition, Connection, Directory, RejectionCount, Rejections, Seal,
    Status, UnreadableBodies, UnreadableRun, UnregisteredWebhook,
};
use crate::delivery::ConnectionId;
use crate::journal::entry::State;
use crate::journal::{Changed, ConnectionChange, DeliveryFilter, Journal};
use crate::outbound::Outbound;
use crate::platforms::TOPIC_MISMATCH;
use crate::platforms::api::{CheckMode, CheckReport, Finding, Severity};
use crate::report::ErrorChain;

/// After refusals of a registered webhook the store is asked out of turn, but not before it has noted its attempt, and not
/// more often than this.
const REFUSAL_SETTLE_TIME: SignedDuration = SignedDuration::from_secs(3);
const EARLY_LOOK_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Stores asked at once.
const AT_ONCE: usize = 8;
/// Between two looks at who is due.
const TICK: Duration = Duration::from_secs(1);
/// Arrivals read at once. More than that since the last look are passed over: the pauses between them are short.
pub const ARRIVALS: u32 = 5_000;
/// How old what is known of arrivals may be where nothing hangs on it.
const STALE: Duration = Duration::from_secs(60);

/// What it needs.
#[derive(Clone)]
pub struct Health {
    /// The data folder, where commands say that they change something.
    pub folder: PathBuf,
    /// What arrived, and where changes are written.
    pub journal: Journal,
    /// Which connections there are.
    pub directory: Directory,
    /// Opens their credentials.
    pub seal: Seal,
    /// Asks.
    pub outbound: Outbound,
    /// Who was turned away.
    pub rejections: Arc<Rejections>,
    /// Whose deliveries were accepted.
    pub accepted: Arc<Accepted>,
    /// Verified deliveries that could not be read.
    pub unreadable: Arc<UnreadableBodies>,
    /// Where it keeps what it found.
    pub findings: Findings,
    /// The address that stores are told.
    pub public_url: Option<String>,
    /// Each connection is looked at once in that time.
    pub interval: Duration,
}

/// What is remembered of a connection between two looks.
struct Watched {
    due: Instant,
    /// The look under way, and when a command had last changed something before it.
    looking: Option<(tokio::task::Id, LastHeld)>,
    /// When the last look began.
    looked_at: Timestamp,
    outage: Option<Outage>,
    /// Rejections are counted from here: until a delivery is accepted, or somebody says that it is mended.
    since: Timestamp,
    rejections: Vec<RejectionCount>,
}

/// What a look brought; `None` where the connection went meanwhile.
type Looked = Option<(Connection, Look)>;

#[derive(Default)]
struct Memory {
    watched: HashMap<ConnectionId, Watched>,
    arrivals: Arrivals,
    heard: Option<Instant>,
    phases: RandomState,
}

impl Health {
    /// Looks until the gateway shuts down.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut memory = Memory::default();
        let mut looks: JoinSet<Looked> = JoinSet::new();
        let mut tick = tokio::time::interval(TICK.min(self.interval / 4));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                _ = shutdown.wait_for(|shutdown| *shutdown) => break,
                _ = tick.tick() => None,
                Some(ended) = looks.join_next_with_id() => Some(ended),
            };
            match ended {
                Some(ended) => self.end(&mut memory, ended).await,
                None => {
                    self.retry_mismatched().await;
                    self.begin_due(&mut memory, &mut looks);
                }
            }
        }
        // A look that is cut short has changed nothing.
        looks.shutdown().await;
    }

    fn begin_due(&self, memory: &mut Memory, looks: &mut JoinSet<Looked>) {
        let there = self.directory.ids();
        memory.watched.retain(|id, _| {
            let stays = there.contains(id);
            if !stays {
                // The gauge of a connection that was removed stays until the next start, and says that nothing is healthy there.
                metrics::gauge!("cartwire_connection_healthy", "connection" => id.to_string())
                    .set(0);
                self.findings.keep(id, Vec::new());
            }
            stays
        });
        memory.arrivals.retain(|id| there.contains(id));
        let now = Instant::now();
        for id in there {
            if !memory.watched.contains_key(&id) {
                // Chance spreads them over the interval: a thousand stores are not asked in one second.
                let share =
                    f64::from((memory.phases.hash_one(&id) >> 32) as u32) / f64::from(u32::MAX);
                let watched = Watched {
                    due: now + self.interval.mul_f64(share),
                    looking: None,
                    looked_at: Timestamp::UNIX_EPOCH,
                    outage: None,
                    since: Timestamp::now(),
                    rejections: self.rejections.of(&id),
                };
                memory.watched.insert(id, watched);
            }
        }
        // While a command registers or removes webhooks nobody looks.
        let Some(held) = hold::last_held(&self.folder) else {
            return;
        };
        for (id, watched) in &mut memory.watched {
            if watched.due > now && self.is_early(id, watched) {
                watched.due = now;
            }
        }
        let mut due: Vec<_> = memory
            .watched
            .iter_mut()
            .filter(|(_, watched)| watched.looking.is_none() && watched.due <= now)
            .collect();
        // The longest due first: where many stores are slow, everybody has a turn.
        due.sort_by_key(|(_, watched)| watched.due);
        for (id, watched) in due {
            if looks.len() >= AT_ONCE {
                break;
            }
            watched.due = now + self.interval;
            watched.looked_at = Timestamp::now();
            watched.looking = Some((looks.spawn(self.clone().look(id.clone())).id(), held));
        }
    }

    /// Redrives the dead letters of webhooks that turned out to be the store's own: they were added by hand, or their
    /// first delivery was faster than the command that registered them.
    async fn retry_mismatched(&self) {
        let registered = self
            .rejections
            .take_registered(|id, webhook| self.directory.has_webhook(id, webhook));
        for (connection, unregistered) in registered {
            let UnregisteredWebhook { webhook, first_at } = unregistered;
            let filter = DeliveryFilter {
                states: vec![State::DeadLettered],
                connection: Some(connection.clone()),
                topic: Some(webhook.topic),
                reason: Some(TOPIC_MISMATCH.to_owned()),
                since: Some(first_at.as_millisecond()),
                ..DeliveryFilter::default()
            };
            let mut after = Some(0);
            while let Some(position) = after {
                after = match self.journal.redrive(filter.clone(), position).await {
                    Ok(progress) => progress.next,
                    Err(error) => {
                        tracing::error!(connection = %connection, error = %ErrorChain(&error), "deliveries of a new webhook cannot be redriven");
                        None
                    }
                };
            }
        }
    }

    /// `true` if deliveries named a webhook since the store was last asked that it refused or that it is not known to have,
    /// or if deliveries became unreadable or readable.
    fn is_early(&self, id: &ConnectionId, watched: &Watched) -> bool {
        let changed_at = self.unreadable.changed_at(id);
        if changed_at.is_some_and(|at| at > watched.looked_at)
            && Timestamp::now().duration_since(watched.looked_at) >= EARLY_LOOK_INTERVAL
        {
            return true;
        }
        let refused = self.rejections.refused_webhooks(id);
        let newest = refused
            .iter()
            .filter_map(|refused| refused.times.last().copied())
            .chain(self.rejections.unregistered_at(id))
            .max();
        let now = Timestamp::now();
        newest.is_some_and(|newest| {
            watched.looked_at.duration_since(newest) < REFUSAL_SETTLE_TIME
                && now.duration_since(newest) >= REFUSAL_SETTLE_TIME
                && now.duration_since(watched.looked_at) >= EARLY_LOOK_INTERVAL
        })
    }

    async fn look(self, id: ConnectionId) -> Looked {
        let (seal, public_url) = (self.seal.clone(), self.public_url.clone());
        let read = self.journal.read(move |reader| {
            let Some(connection) = reader.connection(&id)? else {
                return Ok(None);
            };
            Ok(Some((
                connection,
                reader.connection_context(&seal, &id, public_url.as_deref()),
            )))
        });
        let (connection, context) = match read.await {
            Ok(found) => found?,
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "a connection cannot be looked at");
                return None;
            }
        };
        let mut look = Look {
            began: Timestamp::now(),
            report: None,
            clock: None,
        };
        match context {
            Ok(Some(context)) => {
                look = check::look(&self.outbound, &connection, &context, CheckMode::Check).await;
            }
            Ok(None) => return None,
            // `refresh` says so, too, and louder.
            Err(error) => {
                tracing::debug!(connection = %connection.id, error = %ErrorChain(&error), "it cannot be asked")
            }
        }
        Some((connection, look))
    }

    async fn end(&self, memory: &mut Memory, ended: Result<(tokio::task::Id, Looked), JoinError>) {
        let (task, looked) = match ended {
            Ok((task, looked)) => (task, looked),
            Err(error) => (error.id(), None),
        };
        let of_task =
            |watched: &&mut Watched| watched.looking.is_some_and(|(looking, _)| looking == task);
        let begun = memory
            .watched
            .values_mut()
            .find(of_task)
            .and_then(|watched| watched.looking.take());
        let Some((connection, look)) = looked else {
            return;
        };
        let Some(watched) = memory.watched.get_mut(&connection.id) else {
            return;
        };
        if hold::last_held(&self.folder) != begun.map(|(_, held)| held) {
            // What it saw may have been half done.
            watched.due = Instant::now();
            return;
        }
        watched.outage = look
            .report
            .as_ref()
            .and_then(|report| Outage::after(watched.outage, report, look.began));
        if connection.condition() == Condition::Connected && connection.changed_at > watched.since {
            // Somebody says that it is mended: what was rejected before that counts no more.
            watched.count_anew(self.rejections.of(&connection.id));
            self.unreadable.forget(&connection.id);
        }
        let stored = decide::stored_unreadable(&connection);
        self.unreadable.restore(&connection.id, stored);
        self.hear(memory, STALE).await;
        let mut assessment = self.judge(memory, &connection, &look);
        if assessment.as_ref().is_some_and(|judged| judged.by_arrivals) {
            // What hangs on a delivery that may have come in the last minute is decided with it.
            self.hear(memory, Duration::ZERO).await;
            assessment = self.judge(memory, &connection, &look);
        }
        if let Some(judged) = assessment {
            self.tell(&connection, look, judged).await;
        }
        let accepted_at = self.accepted_at(memory, &connection.id);
        if let Some(watched) = memory.watched.get_mut(&connection.id)
            && accepted_at.is_some_and(|at| at > watched.since)
        {
            watched.count_anew(self.rejections.of(&connection.id));
        }
    }

    /// Hears of what has arrived, unless it is known well enough.
    async fn hear(&self, memory: &mut Memory, stale: Duration) {
        if memory
            .heard
            .is_some_and(|heard| heard.elapsed() < stale.min(self.interval))
        {
            return;
        }
        let after = memory.arrivals.through();
        match self
            .journal
            .read(move |reader| reader.arrivals(after, ARRIVALS))
            .await
        {
            Ok(arrivals) => {
                memory.arrivals.hear(&arrivals);
                memory.heard = Some(Instant::now());
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "what arrived cannot be read")
            }
        }
    }

    /// When its last delivery was accepted. What arrived is read with gaps where much arrives; what was accepted is not.
    fn accepted_at(&self, memory: &Memory, id: &ConnectionId) -> Option<Timestamp> {
        memory.arrivals.last(id).max(self.accepted.last(id))
    }

    fn judge(&self, memory: &Memory, connection: &Connection, look: &Look) -> Option<Judged> {
        let now = Timestamp::now();
        let watched = memory.watched.get(&connection.id)?;
        let accepted_at = self.accepted_at(memory, &connection.id);
        let accepted_meanwhile = accepted_at.is_some_and(|at| at > watched.since);
        let suspected = decide::rejected(
            &watched.rejections,
            &self.rejections.of(&connection.id),
            accepted_meanwhile,
        );
        // What was refused before the operator changed something at the store says nothing about it now.
        let mended_at = match connection.condition() {
            Condition::Connected => Some(connection.changed_at),
            Condition::Degraded(_) | Condition::Disconnected(_) => None,
        };
        let held_at = hold::last_held(&self.folder).and_then(LastHeld::at);
        let refused = self.rejections.refused_webhooks(&connection.id);
        let confirmed = decide::confirmed(refused, look, held_at.max(mended_at));
        let receives = connection.receives_deliveries();
        let accepted_at = accepted_at.max(decide::ping_of(connection));
        let silent = receives
            && self.accepted_at(memory, &connection.id) == memory.arrivals.last(&connection.id)
            && memory.arrivals.is_silent(&connection.id, now);
        let unreadable = self.unreadable.established(&connection.id);
        let facts = Facts {
            connection,
            report: look.report.as_ref(),
            outage: watched.outage.and_then(|outage| outage.lasting(now)),
            // Refused requests alone decide nothing: the store confirms them, or its own deliveries stay away.
            rejected: decide::refused_reason(&confirmed, look).or(if silent {
                suspected
            } else {
                None
            }),
            accepted_at,
            silent,
            mended: false,
            still_refused: self.is_still_refused(connection),
            unreadable: unreadable.is_some(),
            readable_at: self.unreadable.readable_at(&connection.id),
        };
        let by_arrivals = facts.rejected.is_some() || facts.silent || facts.still_told();
        Some(Judged {
            assessment: facts.assessment(),
            by_arrivals,
            refused: confirmed
                .iter()
                .map(|refused| format!("{}={}", refused.webhook.id, refused.webhook.topic))
                .collect::<Vec<_>>()
                .join(" "),
            suspected,
            unreadable,
        })
    }

    /// `true` if none of the webhooks that were refused has been accepted since.
    fn is_still_refused(&self, connection: &Connection) -> bool {
        let names = connection.settings.get(decide::REFUSED_WEBHOOKS);
        let ids = names
            .into_iter()
            .flat_map(|names| names.split_whitespace())
            .filter_map(|pair| pair.split_once('='))
            .map(|(id, _)| id);
        let accepted = |id: &str| {
            self.rejections
                .webhook_accepted_at(&connection.id, id)
                .is_some_and(|at| at > connection.changed_at)
        };
        decide::is_refused(connection) && !ids.into_iter().all(accepted)
    }

    /// Keeps what was made out, and tells of it where it changed something.
    async fn tell(&self, connection: &Connection, look: Look, judged: Judged) {
        let Judged {
            assessment,
            refused,
            suspected,
            unreadable,
            ..
        } = judged;
        let id = &connection.id;
        let moved = transition(
            Some(connection.state()),
            LifecycleEvent::Assessed(assessment),
        );
        let condition = moved.map_or_else(
            || connection.condition(),
            |transition| transition.state.condition,
        );
        let (status, reason) = (condition.status(), condition.reason().map(str::to_owned));
        let asked = look.report.is_some();
        let CheckReport {
            mut findings,
            mut settings,
            ..
        } = look.report.unwrap_or_default();
        let was_refused = connection
            .settings
            .get(decide::REFUSED_WEBHOOKS)
            .is_some_and(|names| !names.is_empty());
        if !refused.is_empty() || (was_refused && assessment == Assessment::Healthy) {
            settings.insert(decide::REFUSED_WEBHOOKS.to_owned(), refused);
        }
        decide::keep_unreadable(connection, unreadable.as_ref(), assessment, &mut settings);
        if findings
            .iter()
            .all(|finding| finding.severity == Severity::Note)
            && let Some(told) = reason
                .as_deref()
                .and_then(|reason| decide::finding_of(connection, &settings, reason))
        {
            findings.insert(0, told);
        } else if let Some(note) = suspected.and_then(|reason| decide::unproved(reason, id)) {
            findings.push(note);
        }
        if unreadable.is_some() {
            decide::add_unreadable(connection, &settings, assessment, &mut findings);
        }
        if asked {
            let result = findings
                .first()
                .filter(|finding| finding.severity != Severity::Note)
                .map_or("well", |finding| finding.code);
            let labels = [
                ("platform", connection.platform.clone()),
                ("result", result.to_owned()),
            ];
            metrics::counter!("cartwire_connection_checks_total", &labels).increment(1);
        }
        let healthy = status == Status::Connected;
        metrics::gauge!("cartwire_connection_healthy", "connection" => id.to_string())
            .set(if healthy { 1 } else { 0 });
        let change = ConnectionChange::Examined {
            id: id.clone(),
            settings: check::learned(connection, settings),
            assessment,
            began: look.began,
        };
        match self.journal.change_connection(change).await {
            Ok(Changed::Yes) if moved.is_some() => {
                say(connection, status, reason.as_deref(), findings.first())
            }
            Ok(
                Changed::Yes
                | Changed::No
                | Changed::Stale
                | Changed::Removed
                | Changed::NoSuchConnection
                | Changed::Taken,
            ) => {}
            Err(error) => {
                tracing::error!(connection = %id, error = %ErrorChain(&error), "what a check found cannot be kept")
            }
        }
        self.findings.keep(id, findings);
    }
}

/// An assessment, and whether what has arrived speaks in it.
struct Judged {
    assessment: Assessment,
    by_arrivals: bool,
    /// The webhooks that are refused for certain, as `id=topic`.
    refused: String,
    /// Why requests were rejected, whoever sent them.
    suspected: Option<&'static str>,
    /// Verified deliveries that could not be read, if they make a finding.
    unreadable: Option<UnreadableRun>,
}

impl Watched {
    fn count_anew(&mut self, rejections: Vec<RejectionCount>) {
        self.since = Timestamp::now();
        self.rejections = rejections;
    }
}

/// A line in the log, on a change only.
fn say(connection: &Connection, status: Status, reason: Option<&str>, finding: Option<&Finding>) {
    let (id, platform, status) = (&connection.id, &connection.platform, status.as_str());
    match (reason, finding) {
        (None, _) => {
            tracing::info!(connection = %id, platform, status, "a connection is well again")
        }
        (Some(reason), None) => {
            tracing::warn!(connection = %id, platform, status, reason, "a connection is in trouble")
        }
        (Some(reason), Some(finding)) => {
            let Finding { cause, remedy, .. } = finding;
            tracing::warn!(connection = %id, platform, status, reason, cause, remedy, "a connection is in trouble");
        }
    }
}
