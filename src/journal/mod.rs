//! The journal: every verified delivery, on disk before its sender is answered, until it is settled and for a while after.
//!
//! One SQLite file, one writer thread, any number of readers.
//!
//! - **Append.** [`Journal::append`] takes only a [`VerifiedDelivery`] and returns when the commit that contains it is
//!   synced. The writer commits whatever has gathered while the last commit was syncing, so one sync answers many senders.
//!   The writer alone decides what is a duplicate, within the commit, whoever races with whom: `keys` tells it.
//! - **Settle.** Entries leave `Pending` through [`Journal::settle`] alone; [`entry`] has the states and transitions. A
//!   settlement that is lost in a crash leaves its entry pending, and it is published again with the same event ids.
//! - **Claim.** The relay claims the oldest pending entries of each connection: see `claims`. Commits become visible in the
//!   order of positions because there is one writer, so a search after the last position finds all arrivals. Only a redrive
//!   or a change of a connection makes older entries claimable; the marks report both.
//! - **Event log.** `events` has a row per event in the order of settling: its positions are the cursors of the admin API.
//!   Bodies are not stored twice: an event is made from its delivery again when it is read, which is what normalizing
//!   being pure is good for.
//! - **Checkpoints** are made beside the writer, so that no sender waits for one: see `checkpoint`.
//! - **Other processes.** The commands open the same file. What they change, they announce in `marks`, which `serve` looks
//!   at each second.
//! - **Room.** `retention` removes what is settled and old; `health` says when nothing more fits.

mod announce;
mod append;
mod ballast;
mod checkpoint;
mod claims;
mod clock;
mod completions;
mod crash_guard;
mod cursor;
mod damaged;
mod data_file;
pub mod entry;
mod event_filter;
mod format;
mod health;
mod inspect;
mod keys;
mod marks;
mod place;
mod reader;
mod reader_connections;
mod readers;
mod redrive;
pub mod retention;
mod room;
mod search;
mod standing;
mod tombstones;
mod usage;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

pub use announce::{Changed, ConnectionChange};
pub(crate) use ballast::release_if_full;
pub use claims::{Claimed, Damaged, Excluded, PendingConnections, Want};
pub use crash_guard::{CRASHED_GATEWAY, CrashGuard, Suspects};
pub use cursor::{EventCursor, InvalidCursor, LogRead};
pub use damaged::DamagedRow;
pub use data_file::{DataFile, UnlockError};
pub use event_filter::{EventFilter, PageLimit};
pub use health::{Health, Unwritable};
pub use inspect::{Arrival, Inspection};
pub use marks::Marks;
pub use reader::{DeliverySummary, LogPage, LogRow, Reader};
pub use redrive::{DeliveryFilter, Progress};
pub use retention::Budget;
pub use room::free_bytes;
pub use search::SEARCHED_BODIES;
pub use standing::{DeclaredBinding, GatewayTrouble};
pub use usage::LogGap;

use crate::delivery::{Completion, DeliveryKey};
use crate::platforms::VerifiedDelivery;
use crate::report::ErrorChain;
use crate::sqlite::{self, OpenError};
use checkpoint::{Checkpointer, LogLength};
use completions::Completions;
use entry::{Entry, Position, Settlement};
use place::Place;
use readers::Readers;
use redrive::Deed;
use writer::{Command, Writer};

/// A sender is told 503 when its commit takes longer than this.
pub(crate) const APPEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Commands that may wait for the writer.
const QUEUE: usize = 4096;

/// What append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk now.
    New(DeliveryKey),
    /// It was on disk before.
    Duplicate(DeliveryKey),
}

/// Why the journal did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// It takes nothing at the moment.
    #[error("the journal takes nothing at the moment: {0}")]
    Refused(Unwritable),
    /// The commit failed.
    #[error("the journal cannot be written: {0}")]
    Unwritable(Arc<str>),
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(Arc<str>),
    /// The connection keeps so much already that what is left is for others.
    #[error(
        "connection keeps {kept} bytes and {free} bytes are free: a connection may keep at most three times the free bytes"
    )]
    ShareUsed {
        /// Bytes of the connection's deliveries.
        kept: u64,
        /// Bytes that are free for all.
        free: u64,
    },
    /// The commit takes too long.
    #[error("the journal does not answer in time")]
    Busy,
    /// The program is shutting down.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    fn unwritable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unwritable(ErrorChain(error).to_string().into())
    }

    fn unreadable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unreadable(ErrorChain(error).to_string().into())
    }

    /// A bounded word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            JournalError::Refused(unwritable) => unwritable.reason(),
            JournalError::Unwritable(_) => "journal_failing",
            JournalError::Unreadable(_) => "journal_unreadable",
            JournalError::ShareUsed { .. } => "connection_share_used",
            JournalError::Busy => "journal_busy",
            JournalError::Closed => "shutting_down",
        }
    }
}

/// What wakes those who wait for the journal.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Something became pending.
    arrived: Arc<Notify>,
    /// Something was added to the event log.
    logged: watch::Sender<u64>,
}

/// What a read of the journal gives.
pub type ReadResult<T> = rusqlite::Result<T>;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    commands: mpsc::Sender<Command>,
    health: Arc<Health>,
    signals: Signals,
    readers: Arc<Readers>,
    /// Permits to read.
    turns: Arc<Semaphore>,
}

/// Ends the writer thread when the program ends.
pub struct JournalGuard {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
    checkpointer: Checkpointer,
    ended: watch::Receiver<Option<&'static str>>,
}

/// Notes that a thread has ended, also by a panic.
struct ThreadEnd(watch::Sender<Option<&'static str>>, &'static str);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        self.0.send_replace(Some(self.1));
    }
}

impl JournalGuard {
    /// Waits for a thread of the journal to end before [`JournalGuard::close`], which must not happen. Gives its name.
    pub fn ended(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await.map(|name| *name) {
                Ok(Some(name)) => name,
                Ok(None) | Err(_) => "journal",
            }
        }
    }

    /// Writes what waits, folds the log into the file and closes it.
    pub async fn close(self) {
        let _ = self.commands.send(Command::Close).await;
        let ended = tokio::task::spawn_blocking(move || {
            self.checkpointer.stop();
            self.thread.join()
        });
        let _ = ended.await;
    }
}

/// Reading connections at most for the gateway's own work, and as many again for the admin listener.
const READERS: usize = 5;

impl Journal {
    /// Opens the journal of a data folder, makes it where there is none, and starts the writer.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(folder: &Path, budget: Budget) -> Result<(Self, JournalGuard), OpenError> {
        let sqlite = sqlite::open(folder, format::MIGRATIONS)?;
        let (commands, waiting) = mpsc::channel(QUEUE);
        let health = Arc::new(Health::default());
        let signals = Signals {
            arrived: Arc::new(Notify::new()),
            logged: watch::Sender::new(0),
        };
        let log = LogLength::new(budget.log_limit());
        let place = Arc::new(Place::new(folder.to_owned()));
        let writer = Writer::new(
            Arc::clone(&place),
            sqlite,
            waiting,
            Arc::clone(&health),
            signals.clone(),
            budget,
            log.clone(),
        );
        let writer = writer.map_err(|source| OpenError::Sqlite {
            path: folder.join(sqlite::FILE),
            source,
        })?;
        let failed = |source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        };
        let (ends, has_ended) = watch::channel(None);
        let end = ThreadEnd(ends.clone(), "checkpoints of the journal");
        let checkpointer = Checkpointer::start(Arc::clone(&place), log, end).map_err(failed)?;
        let runtime = tokio::runtime::Handle::current();
        let ended = Arc::clone(&health);
        let end = ThreadEnd(ends, "writer of the journal");
        let work = move || {
            let _end = end;
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run(&runtime)));
            let why = if result.is_ok() {
                "the journal is closed"
            } else {
                "the writer of the journal stopped: restart the gateway"
            };
            ended.set(Some(Unwritable::Failing(why.to_owned())));
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(work)
            .map_err(failed)?;
        let readers = Arc::new(Readers::new(place));
        let guard = JournalGuard {
            commands: commands.clone(),
            thread,
            checkpointer,
            ended: has_ended,
        };
        Ok((
            Self {
                commands,
                health,
                signals,
                readers,
                turns: Arc::new(Semaphore::new(READERS)),
            },
            guard,
        ))
    }

    /// Keeps a delivery. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`JournalError`]; the delivery may be on disk all the same, and the sender's next try will find it.
    pub async fn append(&self, delivery: VerifiedDelivery) -> Result<Appended, JournalError> {
        if let Some(unwritable) = self.health.get() {
            return Err(JournalError::Refused(unwritable));
        }
        let (answer, answered) = oneshot::channel();
        let work = async {
            self.send(Command::Append(delivery, answer)).await?;
            answered.await.map_err(|_| JournalError::Closed)?
        };
        tokio::time::timeout(APPEND_TIMEOUT, work)
            .await
            .map_err(|_| JournalError::Busy)?
    }

    /// Settles entries. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`JournalError`]; try again.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Settle(settlements, answer)).await?;
        answered.await.map_err(|_| JournalError::Closed)?
    }

    /// Changes a connection, and tells consumers of it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn change_connection(
        &self,
        change: ConnectionChange,
    ) -> Result<Changed, JournalError> {
        self.write(move |transaction| announce::apply(transaction, &change, Timestamp::now()))
            .await
    }

    /// Tells other processes that the gateway has taken over all changes of connections up to that counter.
    ///
    /// # Errors
    /// [`JournalError`]; the commands that wait for it give up after a while.
    pub async fn note_applied(&self, connections: i64) -> Result<(), JournalError> {
        self.write(move |transaction| marks::note_applied(transaction, connections))
            .await
    }

    /// Keeps what a store said of thin deliveries. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`JournalError`]; try again.
    pub async fn complete(
        &self,
        positions: Vec<Position>,
        completion: Completion,
    ) -> Result<(), JournalError> {
        self.write(move |transaction| completions::keep(transaction, &positions, &completion))
            .await
    }

    /// Re-opens settled deliveries, a few at a time: begin with position 0 and go on with [`Progress::next`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn redrive(
        &self,
        filter: DeliveryFilter,
        after: Position,
    ) -> Result<Progress, JournalError> {
        self.step(filter, after, Deed::Redrive).await
    }

    /// Acknowledges dead letters and unrouted deliveries, a few at a time, like [`Journal::redrive`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn acknowledge(
        &self,
        filter: DeliveryFilter,
        after: Position,
    ) -> Result<Progress, JournalError> {
        self.step(filter, after, Deed::Acknowledge).await
    }

    async fn step(
        &self,
        filter: DeliveryFilter,
        after: Position,
        deed: Deed,
    ) -> Result<Progress, JournalError> {
        // Searched beside the writer, so that no sender waits for the search.
        let found = self
            .read(move |reader| redrive::find(&reader.0, &filter, after, deed))
            .await?;
        let changed = if found.positions.is_empty() {
            0
        } else {
            let positions = found.positions;
            self.write(move |transaction| redrive::change(transaction, &positions, deed))
                .await?
        };
        Ok(Progress {
            next: found.next,
            changed,
        })
    }

    /// Makes what was logged without a broker pending again: now there is one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn reopen_logged(&self) -> Result<u64, JournalError> {
        let filter = DeliveryFilter {
            states: vec![entry::State::Logged],
            ..DeliveryFilter::default()
        };
        let (mut after, mut reopened) = (0, 0);
        loop {
            let filter = filter.clone();
            let step = self.step(filter, after, Deed::Reopen).await?;
            reopened += step.changed;
            match step.next {
                Some(next) => after = next,
                None => return Ok(reopened),
            }
        }
    }

    /// The connections with entries that became pending after a position; all connections if there is none.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub async fn pending_connections(
        &self,
        after: Option<Position>,
    ) -> Result<PendingConnections, JournalError> {
        self.read(move |reader| match after {
            Some(after) => reader.pending_after(after),
            None => reader.pending_connections(),
        })
        .await
    }

    /// The oldest pending entries of some connections: one result for each want, in the same order.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub async fn claim(
        &self,
        wants: Vec<Want>,
        excluded: Excluded,
    ) -> Result<Vec<Claimed>, JournalError> {
        self.read(move |reader| reader.claim(&wants, &excluded))
            .await
    }

    /// The entry at a position, if it is pending.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub async fn pending(&self, position: Position) -> Result<Option<Entry>, JournalError> {
        self.read(move |reader| reader.pending(position, &mut Completions::default()))
            .await
    }

    /// Reads, beside the writer.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub async fn read<T, F>(&self, read: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| JournalError::Closed)?;
        let readers = Arc::clone(&self.readers);
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.read(read)
        });
        work.await.map_err(|_| JournalError::Closed)?
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.readers.place.folder()
    }

    /// The same journal with readers of its own, so that many reads of one part of the gateway never delay another's.
    #[must_use]
    pub fn with_own_readers(&self) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(READERS)),
            ..self.clone()
        }
    }

    /// Why the journal takes nothing, or `None` where it does.
    #[must_use]
    pub fn unwritable(&self) -> Option<Unwritable> {
        self.health.get()
    }

    /// Wakes when something became pending.
    #[must_use]
    pub fn arrived(&self) -> Arc<Notify> {
        Arc::clone(&self.signals.arrived)
    }

    /// Changes when the event log grew.
    #[must_use]
    pub fn logged(&self) -> watch::Receiver<u64> {
        self.signals.logged.subscribe()
    }

    async fn send(&self, command: Command) -> Result<(), JournalError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| JournalError::Closed)
    }

    async fn write<T, F>(&self, change: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let change: writer::Change = Box::new(move |transaction| {
            let result = change(transaction)?;
            Ok(Box::new(move || drop(answer.send(result))))
        });
        self.send(Command::Change(change)).await?;
        answered
            .await
            .map_err(|_| JournalError::Unwritable("the commit failed".into()))
    }
}
