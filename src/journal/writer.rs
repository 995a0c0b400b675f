//! The one writer: a thread that turns many commands into one commit.
//!
//! Whatever waits when a commit begins goes into it, so that one sync answers many senders. If the commit fails, everything
//! in it failed and everybody is told so: nothing was answered yet. Then the journal counts as unwritable until a probe
//! succeeds, tried each second, and appends are refused at once meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::append::{FreeRoom, append};
use super::ballast;
use super::budget::Budget;
use super::clock::BelievedClock;
use super::entry::Settlement;
use super::error::{Appended, JournalError};
use super::health::{JournalHealth, Unwritable};
use super::keys::KeyIndex;
use super::retention::Sweeper;
use super::room::Room;
use super::signals::Signals;
use crate::database::checkpoint::{self, LogLength};
use crate::database::{self, DataFolder, MIGRATIONS};
use crate::platforms::VerifiedDelivery;
use crate::report::ErrorChain;

/// At most this many commands in one commit: a bound on how long the first of them waits.
const GROUP: usize = 512;
/// KeyIndex that move into their index in a commit of its own.
const KEYS: usize = 2_048;
/// At most this many bytes of bodies in one commit.
const GROUP_BYTES: usize = 8 << 20;
const TICK: Duration = Duration::from_secs(1);
/// The same while more has to be removed.
const BUSY_TICK: Duration = Duration::from_millis(100);

/// Tells a sender how the commit ended.
type Fetched = Box<dyn FnOnce(Result<(), JournalError>)>;
type Answer<T> = oneshot::Sender<Result<T, JournalError>>;
/// Fetched once the commit is on disk; dropped where it failed.
pub(super) type Committed = Box<dyn FnOnce() + Send>;
/// Something done in the commit.
pub(super) type Work = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<Committed> + Send>;

pub(super) enum Command {
    Append(VerifiedDelivery, Answer<Appended>),
    Settle(Vec<Settlement>, Answer<()>),
    Work(Work),
    Close,
}

pub(super) struct Writer {
    data_folder: Arc<DataFolder>,
    open: Option<Open>,
    commands: mpsc::Receiver<Command>,
    health: Arc<JournalHealth>,
    signals: Signals,
    sweeper: Sweeper,
    log: LogLength,
    /// Has anything been added since the last tick?
    busy: bool,
    /// Retention has more to remove.
    removing: bool,
    /// Bytes of the largest delivery that was refused since the last tick for what its connection keeps.
    wanted: u64,
}

/// The open file, and what is known of it. Both go when a commit fails: SQLite may have met an error of the disk that it
/// holds on to, and the keys may be of deliveries that are not there.
struct Open {
    sqlite: Connection,
    keys: KeyIndex,
}

impl Open {
    fn new(sqlite: Connection, log_limit: u64) -> rusqlite::Result<Self> {
        sqlite.pragma_update(None, "journal_size_limit", log_limit as i64)?;
        // Checkpoints are left to their own thread.
        sqlite.pragma_update(None, "wal_autocheckpoint", 0)?;
        let keys = KeyIndex::load(&sqlite)?;
        Ok(Self { sqlite, keys })
    }

    /// Moves some keys into their index, in a commit of its own.
    fn index_more(&mut self) -> rusqlite::Result<()> {
        let moved = self
            .sqlite
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                self.keys.index_more(&transaction, KEYS)?;
                transaction.commit()
            });
        if moved.is_err() {
            self.keys = KeyIndex::load(&self.sqlite)?;
        }
        moved
    }
}

impl Writer {
    pub(super) fn new(
        data_folder: Arc<DataFolder>,
        sqlite: Connection,
        commands: mpsc::Receiver<Command>,
        health: Arc<JournalHealth>,
        signals: Signals,
        budget: Budget,
        log: LogLength,
    ) -> rusqlite::Result<Self> {
        let believed = sqlite.query_row(
            "SELECT version FROM marks WHERE name = 'clock'",
            [],
            |row| row.get(0),
        )?;
        let clock = BelievedClock::new(believed, Instant::now());
        let open = Some(Open::new(sqlite, budget.log_limit())?);
        data_folder.record_files();
        Ok(Self {
            data_folder,
            open,
            commands,
            health,
            signals,
            sweeper: Sweeper::new(budget, clock),
            log,
            busy: false,
            removing: false,
            wanted: 0,
        })
    }

    /// Runs until the journal is closed.
    pub(super) fn run(mut self, runtime: &tokio::runtime::Handle) {
        let mut last_tick: Option<Instant> = None;
        loop {
            let pause = if self.removing { BUSY_TICK } else { TICK };
            if last_tick.is_none_or(|tick| tick.elapsed() >= pause) {
                self.tick();
                last_tick = Some(Instant::now());
            }
            let pause = if self.removing { BUSY_TICK } else { TICK };
            let next_tick = last_tick.map_or_else(Instant::now, |tick| tick + pause);
            let wait = next_tick.saturating_duration_since(Instant::now());
            let first =
                runtime.block_on(async { tokio::time::timeout(wait, self.commands.recv()).await });
            let mut group = match first {
                Err(_) => continue,
                Ok(None) => break,
                Ok(Some(command)) => vec![command],
            };
            let mut bytes = 0;
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(command) = self.commands.try_recv() else {
                    break;
                };
                if let Command::Append(delivery, _) = &command {
                    bytes += delivery.parts().body.len();
                }
                group.push(command);
            }
            let closing = group
                .iter()
                .any(|command| matches!(command, Command::Close));
            self.commit(group);
            if closing {
                break;
            }
        }
        if let Some(mut open) = self.open.take() {
            while !open.keys.is_indexed() && open.index_more().is_ok() {}
            // Leaves one plain file behind, without a log beside it.
            let _ = checkpoint::checkpoint(&open.sqlite, "TRUNCATE");
            if self.data_folder.check().is_ok() {
                let _ = open.sqlite.close();
            } else {
                // Closing would remove the log by its name, which may be another file's by now.
                std::mem::forget(open.sqlite);
            }
        }
    }

    fn commit(&mut self, group: Vec<Command>) {
        let started = Instant::now();
        let mut answers: Vec<Fetched> = Vec::with_capacity(group.len());
        let (mut appended, mut logged) = (0_u64, false);
        let result = match self.begin() {
            Err(error) => {
                fail_all(group, &error);
                Err(error)
            }
            Ok((open, mut free)) => {
                let result = write_group(
                    open,
                    group,
                    &mut free,
                    &mut answers,
                    &mut appended,
                    &mut logged,
                );
                // What is settled makes room soon.
                self.wanted = self.wanted.max(free.refused);
                self.removing |= free.refused > 0;
                result
            }
        };
        // Nothing is answered that went into files without a name.
        let result = result.and_then(|()| {
            self.data_folder
                .check()
                .map_err(|moved| JournalError::Refused(moved.into()))
        });
        self.busy |= appended > 0;
        metrics::histogram!("cartwire_journal_commit_seconds")
            .record(started.elapsed().as_secs_f64());
        match &result {
            Ok(()) => {
                if appended > 0 {
                    self.signals.arrived.notify_one();
                }
                if logged {
                    self.signals.logged.send_modify(|count| *count += 1);
                }
            }
            Err(JournalError::Refused(unwritable)) => self.refuse(unwritable.clone()),
            Err(error) => self.failed(error),
        }
        for answer in answers {
            answer(result.clone());
        }
        if self.log.is_long()
            && let Some(open) = &self.open
            && let Err(error) = checkpoint::restart_log(&open.sqlite)
        {
            self.failed(&JournalError::unwritable(&error));
        }
    }

    fn open(&mut self) -> Result<&mut Open, JournalError> {
        if self.open.is_none() {
            // Never another file, and never a new one.
            self.data_folder
                .check_data_file()
                .map_err(|moved| JournalError::Refused(moved.into()))?;
            let sqlite = database::open(self.data_folder.folder(), MIGRATIONS)
                .map_err(|error| JournalError::unwritable(&error))?;
            let limit = self.sweeper.budget().log_limit();
            let open = Open::new(sqlite, limit);
            self.open = Some(open.map_err(|error| JournalError::unwritable(&error))?);
            self.data_folder.record_files();
        }
        self.data_folder
            .check()
            .map_err(|moved| JournalError::Refused(moved.into()))?;
        self.open.as_mut().ok_or(JournalError::Closed)
    }

    /// The open file for a commit, and the bytes that new deliveries may add.
    fn begin(&mut self) -> Result<(&mut Open, FreeRoom), JournalError> {
        self.open()?;
        let (open, data_folder) = (self.open.as_mut(), &self.data_folder);
        let open = open.ok_or(JournalError::Closed)?;
        let room = Room::measure(&open.sqlite, data_folder.folder())
            .map_err(|error| JournalError::unwritable(&error))?;
        let free = FreeRoom {
            bytes: room.free(self.sweeper.budget()),
            unwritable: room.unwritable(self.sweeper.budget()),
            refused: 0,
        };
        Ok((open, free))
    }

    /// Nothing is taken until the next tick finds out otherwise.
    fn refuse(&self, unwritable: Unwritable) {
        let reason = unwritable.to_string();
        if self.health.set(Some(unwritable)) {
            tracing::error!(%reason, "webhooks are answered 503");
        }
    }

    /// After a failed commit the file is opened anew.
    fn failed(&mut self, error: &JournalError) {
        self.open = None;
        metrics::counter!("cartwire_journal_commit_failures_total").increment(1);
        if self
            .health
            .set(Some(Unwritable::Failing(error.to_string())))
        {
            tracing::error!(error = %ErrorChain(error), "the journal cannot be written; webhooks are answered 503 until it can");
        }
    }

    /// Writes something where the last write failed, removes what may go, and asks whether there is room.
    fn probe(&mut self, write: bool) -> Result<Option<Unwritable>, JournalError> {
        let unwritable = |error: rusqlite::Error| JournalError::unwritable(&error);
        // Only in the folder that was opened: a folder in its place is left alone.
        self.data_folder
            .check_data_file()
            .map_err(|moved| JournalError::Refused(moved.into()))?;
        let is_full = ballast::release_if_full(self.data_folder.folder());
        self.open()?;
        let Some(open) = self.open.as_mut() else {
            return Err(JournalError::Closed);
        };
        let folder = self.data_folder.folder();
        if is_full {
            if let Err(error) = checkpoint::truncate_log(&open.sqlite) {
                tracing::warn!(error = %ErrorChain(&error), "write-ahead log cannot be folded into the full disk's data file");
            }
        } else {
            ballast::keep(folder, self.sweeper.budget().reserve);
        }
        // While nothing comes in, so that nobody waits for it. What cannot be moved now is moved later.
        let mut idle = !std::mem::take(&mut self.busy);
        while idle && !open.keys.is_indexed() {
            if let Err(error) = open.index_more() {
                tracing::warn!(error = %ErrorChain(&error), "the index of keys cannot be written at the moment");
                break;
            }
            idle = self.commands.is_empty();
        }
        // What cannot be removed now is removed later: no reason to turn webhooks away.
        self.sweeper.make_room_for(std::mem::take(&mut self.wanted));
        let swept = self.sweeper.sweep(&mut open.sqlite, &mut open.keys, folder);
        self.removing = *swept.as_ref().unwrap_or(&false);
        if let Err(error) = swept {
            tracing::warn!(error = %ErrorChain(&error), "old deliveries cannot be removed at the moment");
            // Its keys may be of what was not removed after all.
            open.keys = KeyIndex::load(&open.sqlite).map_err(unwritable)?;
        }
        let room = Room::measure(&open.sqlite, folder).map_err(unwritable)?;
        // After the removal, so that a full disk can be written again.
        if write {
            let probe = "INSERT INTO probe VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET at = ?1";
            open.sqlite
                .execute(probe, [Timestamp::now().as_millisecond()])
                .map_err(unwritable)?;
        }
        Ok(room.unwritable(self.sweeper.budget()))
    }

    /// Once a second: is there room, and can we write?
    fn tick(&mut self) {
        let was_failing = matches!(self.health.get(), Some(Unwritable::Failing(_)));
        let probed = self.probe(was_failing);
        match probed {
            Err(JournalError::Refused(unwritable)) => self.refuse(unwritable),
            Err(error) => self.failed(&error),
            Ok(room) => {
                if self.health.set(room) {
                    match self.health.get() {
                        None => tracing::info!("the journal can be written again"),
                        Some(reason) => {
                            tracing::error!(%reason, "webhooks are answered 503 until there is room again")
                        }
                    }
                }
            }
        }
    }
}

fn fail_all(group: Vec<Command>, error: &JournalError) {
    for command in group {
        match command {
            Command::Append(_, answer) => drop(answer.send(Err(error.clone()))),
            Command::Settle(_, answer) => drop(answer.send(Err(error.clone()))),
            // Its answer is dropped with it, which the caller takes for a failure.
            Command::Work(_) | Command::Close => {}
        }
    }
}

fn write_group(
    open: &mut Open,
    group: Vec<Command>,
    free: &mut FreeRoom,
    answers: &mut Vec<Fetched>,
    appended: &mut u64,
    logged: &mut bool,
) -> Result<(), JournalError> {
    let unwritable = |error: rusqlite::Error| JournalError::unwritable(&error);
    let Open { sqlite, keys } = open;
    let transaction = match sqlite.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            let error = unwritable(error);
            fail_all(group, &error);
            return Err(error);
        }
    };
    let mut broken: Option<JournalError> = None;
    for command in group {
        match command {
            Command::Append(delivery, answer) => {
                let result = match &broken {
                    Some(error) => Err(error.clone()),
                    None => match append(&transaction, keys, free, &delivery) {
                        Ok(result) => result,
                        Err(error) => {
                            let error = unwritable(error);
                            broken = Some(error.clone());
                            Err(error)
                        }
                    },
                };
                *appended += u64::from(matches!(result, Ok(Appended::New(_))));
                answers.push(Box::new(move |committed| {
                    drop(answer.send(committed.and(result)))
                }));
            }
            Command::Settle(settlements, answer) => {
                let result = match &broken {
                    Some(error) => Err(error.clone()),
                    None => settlements
                        .iter()
                        .try_for_each(|settlement| settle(&transaction, settlement))
                        .map_err(unwritable),
                };
                *logged |= settlements
                    .iter()
                    .any(|settlement| !settlement.outcome.events().is_empty());
                broken = broken.or_else(|| result.as_ref().err().cloned());
                answers.push(Box::new(move |committed| {
                    drop(answer.send(committed.and(result)))
                }));
            }
            Command::Work(change) => {
                if broken.is_none() {
                    match change(&transaction) {
                        // It may have announced something.
                        Ok(committed) => {
                            *appended += 1;
                            answers.push(Box::new(move |result| {
                                if result.is_ok() {
                                    committed()
                                }
                            }));
                        }
                        Err(error) => broken = Some(unwritable(error)),
                    }
                }
            }
            Command::Close => {}
        }
    }
    if broken.is_none() {
        broken = keys
            .index(&transaction, *appended as usize)
            .err()
            .map(unwritable);
    }
    match broken {
        Some(error) => Err(error),
        None => transaction.commit().map_err(unwritable),
    }
}

fn settle(transaction: &Transaction<'_>, settlement: &Settlement) -> rusqlite::Result<()> {
    let settled = transaction
        .prepare_cached(
            "UPDATE entries SET state = ?2, reason = ?3, attempts = ?4, settled_at = ?5 WHERE position = ?1 AND state = 0",
        )?
        .execute(params![
            settlement.position,
            settlement.outcome.state().code(),
            settlement.outcome.reason(),
            settlement.attempts,
            Timestamp::now().as_millisecond(),
        ])?;
    if settled == 0 {
        return Ok(());
    }
    // A redriven entry's events are read once more by those who follow the log: they get new places at its end.
    let statement = if settlement.redriven {
        "INSERT OR REPLACE INTO events (delivery, idx, type, subject, omits_raw, usage)
         SELECT ?1, ?2, ?3, ?4, ?5, usage FROM entries WHERE position = ?1"
    } else {
        "INSERT OR IGNORE INTO events (delivery, idx, type, subject, omits_raw, usage)
         SELECT ?1, ?2, ?3, ?4, ?5, usage FROM entries WHERE position = ?1"
    };
    let mut insert = transaction.prepare_cached(statement)?;
    for event in settlement.outcome.events() {
        insert.execute(params![
            settlement.position,
            event.index,
            event.event_type,
            event.subject,
            event.omits_raw
        ])?;
    }
    Ok(())
}
