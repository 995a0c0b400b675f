//! The journal: every verified delivery, on disk before its sender is answered, until it is settled and for a while after.
//!
//! One SQLite file, one writer thread, any number of readers.
//!
//! - **Append.** [`Journal::append`] takes only a [`VerifiedDelivery`] and returns when the commit that contains it is
//!   synced. The writer commits whatever has gathered while the last commit was syncing, so one sync answers many senders.
//!   The writer alone decides what is a duplicate, within the commit, whoever races with whom: `keys` tells it.
//! - **Settle.** Entries leave `Pending` through [`Journal::settle`] alone; [`entry`] has the states and transitions. A
//!   settlement that is lost in a crash leaves its entry pending, and it is published again with the same event ids.
//! - **Claim.** The relay asks for pending entries after the last position it has seen. Commits become visible in the order
//!   of positions because there is one writer, so nothing can appear behind the relay's back except by redrive, which the
//!   marks tell of.
//! - **Event log.** `events` has a row per event in the order of settling: its positions are the cursors of the admin API.
//!   Bodies are not stored twice: an event is made from its delivery again when it is read, which is what normalizing
//!   being pure is good for.
//! - **Checkpoints** are made beside the writer, so that no sender waits for one: see `checkpoint`.
//! - **Other processes.** The commands open the same file. What they change, they announce in `marks`, which `serve` looks
//!   at each second.
//! - **Room.** `retention` removes what is settled and old; `health` says when nothing more fits.

mod announce;
mod append;
mod checkpoint;
mod clock;
mod completions;
mod crash_guard;
pub mod entry;
mod format;
mod health;
mod inspect;
mod keys;
mod marks;
mod place;
mod reader;
mod redrive;
pub mod retention;
mod room;
mod search;
mod standing;
mod usage;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use announce::{Changed, ConnectionChange};
pub use crash_guard::{CRASHED_GATEWAY, CrashGuard, Suspects};
pub use health::{Health, Unwritable};
pub use inspect::{Arrival, Inspection};
pub use marks::Marks;
pub use reader::{Claim, DeliverySummary, EventFilter, LogPage, LogRow, Reader};
pub use redrive::{DeliveryFilter, Progress};
pub use retention::Budget;
pub use room::free_bytes;
pub use search::SEARCHED_BODIES;
pub use standing::{DeclaredBinding, GatewayTrouble};
pub use usage::LogGap;

use crate::connections::{Seal, SealError, store};
use crate::delivery::{Completion, ConnectionId, DeliveryKey};
use crate::platforms::VerifiedDelivery;
use crate::report::ErrorChain;
use crate::sqlite::{self, OpenError};
use checkpoint::{Checkpointer, LogLength};
use entry::{Position, Settlement};
use place::Place;
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

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    commands: mpsc::Sender<Command>,
    health: Arc<Health>,
    signals: Signals,
    readers: Arc<Readers>,
}

/// Ends the writer thread when the program ends.
pub struct JournalGuard {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
    checkpointer: Checkpointer,
}

impl JournalGuard {
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

/// Idle reading connections.
struct Readers {
    place: Arc<Place>,
    idle: Mutex<Vec<Reader>>,
}

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
        let checkpointer = Checkpointer::start(folder.to_owned(), log).map_err(failed)?;
        let runtime = tokio::runtime::Handle::current();
        let ended = Arc::clone(&health);
        let work = move || {
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run(&runtime)));
            let why = if result.is_ok() {
                "the journal is closed"
            } else {
                "its writer failed: start the gateway anew"
            };
            ended.set(Some(Unwritable::Failing(why.to_owned())));
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(work)
            .map_err(failed)?;
        let readers = Arc::new(Readers {
            place,
            idle: Mutex::default(),
        });
        let guard = JournalGuard {
            commands: commands.clone(),
            thread,
            checkpointer,
        };
        Ok((
            Self {
                commands,
                health,
                signals,
                readers,
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
        self.write(move |transaction| redrive::step(transaction, &filter, after, Deed::Redrive))
            .await
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
        self.write(move |transaction| redrive::step(transaction, &filter, after, Deed::Acknowledge))
            .await
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
            let step = self
                .write(move |transaction| redrive::step(transaction, &filter, after, Deed::Reopen))
                .await?;
            reopened += step.changed;
            match step.next {
                Some(next) => after = next,
                None => return Ok(reopened),
            }
        }
    }

    /// The next pending entries after a position.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub async fn claim(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
        paused: HashSet<ConnectionId>,
        resting: HashSet<ConnectionId>,
        held: HashSet<Position>,
    ) -> Result<Claim, JournalError> {
        self.read(move |reader| reader.claim(after, limit, bytes, &paused, &resting, &held))
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
        let readers = Arc::clone(&self.readers);
        let work = tokio::task::spawn_blocking(move || {
            let reader = match readers.idle().pop() {
                Some(reader) => reader,
                None => readers.open()?,
            };
            let result = read(&reader).map_err(|error| JournalError::unreadable(&error))?;
            // Only a reader that worked is used again.
            readers.idle().push(reader);
            Ok(result)
        });
        work.await.map_err(|_| JournalError::Closed)?
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.readers.place.folder()
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

impl Readers {
    fn open(&self) -> Result<Reader, JournalError> {
        let reader =
            Reader::open(self.place.folder()).map_err(|error| JournalError::unreadable(&error))?;
        // Positions of another file would be settled in this one.
        self.place
            .check_data_file()
            .map_err(JournalError::Refused)?;
        Ok(reader)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the sealed word says, and is sealed for.
const SEAL_WORD: &str = "cartwire";

/// Why the secrets in a data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// Another key sealed them.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// SQLite refuses.
    #[error("cannot look into the data file")]
    Sqlite(#[from] rusqlite::Error),
}

/// The data file as the commands use it: beside a running gateway or without one.
pub struct DataFile {
    sqlite: rusqlite::Connection,
}

impl DataFile {
    /// Opens the data file of a folder; makes it where there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            sqlite: sqlite::open(folder, format::MIGRATIONS)?,
        })
    }

    /// Makes sure that this is the master key that the secrets in the file are sealed with.
    ///
    /// # Errors
    /// [`UnlockError`]; `Seal` among them where it is another key.
    pub fn unlock(&self, seal: &Seal) -> Result<(), UnlockError> {
        match store::sealed_word(&self.sqlite)? {
            Some(word) => seal
                .open(SEAL_WORD, &word)
                .map(drop)
                .map_err(UnlockError::Seal),
            None => Ok(store::set_sealed_word(
                &self.sqlite,
                &seal.seal(SEAL_WORD, SEAL_WORD)?,
            )?),
        }
    }

    /// Changes a connection, and tells consumers of it.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`].
    pub fn change_connection(
        &mut self,
        change: &ConnectionChange,
    ) -> Result<Changed, JournalError> {
        announce::change_directly(&mut self.sqlite, change)
            .map_err(|error| JournalError::unwritable(&error))
    }

    /// Re-opens settled deliveries, a few at a time: begin with position 0 and go on with [`Progress::next`].
    ///
    /// # Errors
    /// [`JournalError::Unwritable`].
    pub fn redrive(
        &mut self,
        filter: &DeliveryFilter,
        after: Position,
    ) -> Result<Progress, JournalError> {
        self.step(filter, after, Deed::Redrive)
    }

    /// Acknowledges dead letters and unrouted deliveries, a few at a time, like [`DataFile::redrive`].
    ///
    /// # Errors
    /// [`JournalError::Unwritable`].
    pub fn acknowledge(
        &mut self,
        filter: &DeliveryFilter,
        after: Position,
    ) -> Result<Progress, JournalError> {
        self.step(filter, after, Deed::Acknowledge)
    }

    fn step(
        &mut self,
        filter: &DeliveryFilter,
        after: Position,
        deed: Deed,
    ) -> Result<Progress, JournalError> {
        let unwritable = |error: rusqlite::Error| JournalError::unwritable(&error);
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let transaction = self
            .sqlite
            .transaction_with_behavior(behavior)
            .map_err(unwritable)?;
        let progress = redrive::step(&transaction, filter, after, deed).map_err(unwritable)?;
        transaction.commit().map_err(unwritable)?;
        Ok(progress)
    }
}
