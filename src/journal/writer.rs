//! The writer thread: the only writer of the journal. It makes one commit of many commands.
//!
//! All commands that wait when a commit starts are part of it, so one sync answers many senders. If a commit fails, all of
//! its commands fail; none of them was answered before. Then the journal is unwritable until a probe succeeds, which is made
//! each second. Until then appends are refused at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::append::FreeSpace;
use super::ballast;
use super::budget::Budget;
use super::clock::BelievedClock;
use super::command::Command;
use super::disk_space::DiskSpace;
use super::error::JournalError;
use super::group::{GroupResult, write_group};
use super::health::{JournalHealth, Unwritable};
use super::keys::KeyIndex;
use super::open_file::OpenFile;
use super::retention::Sweeper;
use super::signals::Signals;
use crate::database::checkpoint::{self, LogLength};
use crate::database::{self, DataFolder, MIGRATIONS};
use crate::report::ErrorChain;

/// Maximum number of commands in one commit. It limits the wait of the first command.
const MAX_GROUP_COMMANDS: usize = 512;
/// Maximum bytes of bodies in one commit.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// Time between two checks of the space and of the data file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The same while retention has more to remove.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    data_folder: Arc<DataFolder>,
    open: Option<OpenFile>,
    commands: mpsc::Receiver<Command>,
    health: Arc<JournalHealth>,
    signals: Signals,
    sweeper: Sweeper,
    log: LogLength,
    /// `true` if an entry was added since the last check.
    is_busy: bool,
    /// `true` if retention has more to remove.
    is_removing: bool,
    /// Bytes of the largest delivery that was refused since the last check because of its connection's share.
    wanted_bytes: u64,
}

/// The parts of a [`Writer`].
pub(super) struct WriterParts {
    pub(super) data_folder: Arc<DataFolder>,
    pub(super) sqlite: Connection,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) health: Arc<JournalHealth>,
    pub(super) signals: Signals,
    pub(super) budget: Budget,
    pub(super) log: LogLength,
}

impl Writer {
    pub(super) fn new(parts: WriterParts) -> rusqlite::Result<Self> {
        let believed = parts.sqlite.query_row(
            "SELECT version FROM marks WHERE name = 'clock'",
            [],
            |row| row.get(0),
        )?;
        let clock = BelievedClock::new(believed, Instant::now());
        let open = Some(OpenFile::new(parts.sqlite, parts.budget.log_limit())?);
        parts.data_folder.record_files();
        Ok(Self {
            data_folder: parts.data_folder,
            open,
            commands: parts.commands,
            health: parts.health,
            signals: parts.signals,
            sweeper: Sweeper::new(parts.budget, clock),
            log: parts.log,
            is_busy: false,
            is_removing: false,
            wanted_bytes: 0,
        })
    }

    /// Runs until the journal is closed.
    pub(super) fn run(mut self, runtime: &tokio::runtime::Handle) {
        let mut last_check: Option<Instant> = None;
        loop {
            if last_check.is_none_or(|check| check.elapsed() >= self.check_interval()) {
                self.check();
                last_check = Some(Instant::now());
            }
            let next_check =
                last_check.map_or_else(Instant::now, |check| check + self.check_interval());
            let wait = next_check.saturating_duration_since(Instant::now());
            let first =
                runtime.block_on(async { tokio::time::timeout(wait, self.commands.recv()).await });
            let first = match first {
                Err(_) => continue,
                Ok(None) => break,
                Ok(Some(command)) => command,
            };
            let group = self.group(first);
            let is_closing = group.iter().any(Command::is_close);
            self.commit(group);
            if is_closing {
                break;
            }
        }
        self.close();
    }

    fn check_interval(&self) -> Duration {
        if self.is_removing {
            REMOVAL_INTERVAL
        } else {
            CHECK_INTERVAL
        }
    }

    /// The commands that are waiting, up to the limits of a commit.
    fn group(&mut self, first: Command) -> Vec<Command> {
        let mut bytes = 0;
        let mut group = vec![first];
        while group.len() < MAX_GROUP_COMMANDS && bytes < MAX_GROUP_BYTES {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            bytes += command.body_bytes();
            group.push(command);
        }
        group
    }

    fn close(self) {
        let Some(mut open) = self.open else {
            return;
        };
        while !open.keys.is_indexed() && open.index_more().is_ok() {}
        // Leaves one plain file, without a log beside it.
        let _ = checkpoint::checkpoint(&open.sqlite, "TRUNCATE");
        if self.data_folder.check().is_ok() {
            let _ = open.sqlite.close();
        } else {
            // Closing would remove the log by its name, and another file may have this name now.
            std::mem::forget(open.sqlite);
        }
    }

    fn commit(&mut self, commands: Vec<Command>) {
        let started = Instant::now();
        let mut group = GroupResult::default();
        let result = match self.begin() {
            Err(error) => {
                commands
                    .into_iter()
                    .for_each(|command| command.fail(&error));
                Err(error)
            }
            Ok((open, mut free)) => {
                let result = write_group(open, commands, &mut free, &mut group);
                self.wanted_bytes = self.wanted_bytes.max(free.refused);
                self.is_removing |= free.refused > 0;
                result
            }
        };
        // Nothing is answered that was written to files that have lost their names.
        let result = result.and_then(|()| self.check_folder());
        self.is_busy |= group.appended > 0;
        metrics::histogram!("cartwire_journal_commit_seconds")
            .record(started.elapsed().as_secs_f64());
        match &result {
            Ok(()) => self.signal(&group),
            Err(JournalError::Refused(unwritable)) => self.refuse(unwritable.clone()),
            Err(error) => self.failed(error),
        }
        for reply in group.replies {
            reply(result.clone());
        }
        if self.log.is_long()
            && let Some(open) = &self.open
            && let Err(error) = checkpoint::restart_log(&open.sqlite)
        {
            self.failed(&JournalError::unwritable(&error));
        }
    }

    fn signal(&self, group: &GroupResult) {
        if group.appended > 0 {
            self.signals.arrived.notify_one();
        }
        if group.has_logged {
            self.signals.logged.send_modify(|count| *count += 1);
        }
    }

    fn check_folder(&self) -> Result<(), JournalError> {
        self.data_folder
            .check()
            .map_err(|moved| JournalError::Refused(moved.into()))
    }

    fn check_data_file(&self) -> Result<(), JournalError> {
        self.data_folder
            .check_data_file()
            .map_err(|moved| JournalError::Refused(moved.into()))
    }

    fn open(&mut self) -> Result<(), JournalError> {
        let unwritable =
            |error: &(dyn std::error::Error + 'static)| JournalError::unwritable(error);
        if self.open.is_none() {
            // Never another file in its place, and never a new file.
            self.check_data_file()?;
            let sqlite = database::open(self.data_folder.folder(), MIGRATIONS)
                .map_err(|error| unwritable(&error))?;
            let limit = self.sweeper.budget().log_limit();
            let open = OpenFile::new(sqlite, limit).map_err(|error| unwritable(&error))?;
            self.open = Some(open);
            self.data_folder.record_files();
        }
        self.check_folder()
    }

    /// The open file for a commit, and the space for new deliveries.
    fn begin(&mut self) -> Result<(&mut OpenFile, FreeSpace), JournalError> {
        self.open()?;
        let open = self.open.as_mut().ok_or(JournalError::Closed)?;
        let room = DiskSpace::measure(&open.sqlite, self.data_folder.folder())
            .map_err(|error| JournalError::unwritable(&error))?;
        let free = FreeSpace {
            bytes: room.free(self.sweeper.budget()),
            unwritable: room.unwritable(self.sweeper.budget()),
            refused: 0,
        };
        Ok((open, free))
    }

    /// Accepts nothing until the next check.
    fn refuse(&self, unwritable: Unwritable) {
        let reason = unwritable.to_string();
        if self.health.set(Some(unwritable)) {
            tracing::error!(%reason, "webhooks are answered 503");
        }
    }

    /// After a failed commit, the file is opened again.
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

    /// Checks the space and the data file, once a second.
    fn check(&mut self) {
        let was_failing = matches!(self.health.get(), Some(Unwritable::Failing(_)));
        let unwritable = match self.probe(was_failing) {
            Err(JournalError::Refused(unwritable)) => return self.refuse(unwritable),
            Err(error) => return self.failed(&error),
            Ok(unwritable) => unwritable,
        };
        if self.health.set(unwritable) {
            match self.health.get() {
                None => tracing::info!("the journal can be written again"),
                Some(reason) => {
                    tracing::error!(%reason, "webhooks are answered 503 until there is space again");
                }
            }
        }
    }

    /// Removes what retention may remove, and measures the space. With `write`, also makes a test write, because the last
    /// write failed.
    fn probe(&mut self, write: bool) -> Result<Option<Unwritable>, JournalError> {
        let unwritable = |error: rusqlite::Error| JournalError::unwritable(&error);
        // Only in the folder that was opened. Another folder in its place is not changed.
        self.check_data_file()?;
        let is_full = ballast::release_if_full(self.data_folder.folder());
        self.open()?;
        self.care_for_log(is_full);
        self.index_keys_if_idle();
        self.remove_old()?;
        let open = self.open.as_ref().ok_or(JournalError::Closed)?;
        let room =
            DiskSpace::measure(&open.sqlite, self.data_folder.folder()).map_err(unwritable)?;
        // After the removal, so that a full disk can be written again.
        if write {
            let probe = "INSERT INTO probe VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET at = ?1";
            open.sqlite
                .execute(probe, [Timestamp::now().as_millisecond()])
                .map_err(unwritable)?;
        }
        Ok(room.unwritable(self.sweeper.budget()))
    }

    /// Truncates the log on a full disk, and creates the reserve file on a disk with space.
    fn care_for_log(&self, is_full: bool) {
        if !is_full {
            ballast::keep(self.data_folder.folder(), self.sweeper.budget().reserve);
            return;
        }
        if let Some(open) = &self.open
            && let Err(error) = checkpoint::truncate_log(&open.sqlite)
        {
            tracing::warn!(error = %ErrorChain(&error), "the write-ahead log cannot be truncated on the full disk");
        }
    }

    /// Moves keys into their index while no command waits, so that no sender is delayed.
    fn index_keys_if_idle(&mut self) {
        let mut is_idle = !std::mem::take(&mut self.is_busy);
        let Some(open) = &mut self.open else {
            return;
        };
        while is_idle && !open.keys.is_indexed() {
            if let Err(error) = open.index_more() {
                tracing::warn!(error = %ErrorChain(&error), "the index of keys cannot be written at the moment");
                break;
            }
            is_idle = self.commands.is_empty();
        }
    }

    /// Removes old entries. A failure is no reason to refuse webhooks, because they can be removed later.
    fn remove_old(&mut self) -> Result<(), JournalError> {
        let open = self.open.as_mut().ok_or(JournalError::Closed)?;
        self.sweeper
            .make_space_for(std::mem::take(&mut self.wanted_bytes));
        let folder = self.data_folder.folder();
        let swept = self.sweeper.sweep(&mut open.sqlite, &mut open.keys, folder);
        self.is_removing = *swept.as_ref().unwrap_or(&false);
        if let Err(error) = swept {
            tracing::warn!(error = %ErrorChain(&error), "old deliveries cannot be removed at the moment");
            // The index may lack keys of deliveries that were not removed.
            open.keys =
                KeyIndex::load(&open.sqlite).map_err(|error| JournalError::unwritable(&error))?;
        }
        Ok(())
    }
}
