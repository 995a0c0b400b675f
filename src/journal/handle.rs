//! The handle of the journal: all that other rooms can do with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

use super::announce;
use super::claimed::{Claimed, Excluded, PendingConnections, Want};
use super::command::{Command, WriteWork};
use super::completions::{self, EnrichedReader};
use super::connection_change::{Changed, ConnectionChange};
use super::entry::{self, Entry, Position, Settlement};
use super::error::{Appended, JournalError};
use super::health::{JournalHealth, Unwritable};
use super::marks;
use super::reader::Reader;
use super::readers::Readers;
use super::redrive::{self, Deed, DeliveryFilter, Progress};
use super::signals::Signals;
use crate::delivery::Enriched;
use crate::platforms::VerifiedDelivery;

/// Maximum time for the commit of a delivery. After it, the sender is answered 503.
pub(crate) const APPEND_TIMEOUT: Duration = Duration::from_secs(20);

/// The journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    commands: mpsc::Sender<Command>,
    health: Arc<JournalHealth>,
    signals: Signals,
    readers: Arc<Readers>,
    /// One permit per read.
    turns: Arc<Semaphore>,
}

/// Maximum number of reading connections for the gateway itself. The admin listener has the same number of its own.
const MAX_READERS: usize = 5;

impl Journal {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        health: Arc<JournalHealth>,
        signals: Signals,
        readers: Readers,
    ) -> Self {
        Self {
            commands,
            health,
            signals,
            readers: Arc::new(readers),
            turns: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    /// Stores a delivery. After `Ok`, the delivery is on disk.
    ///
    /// # Errors
    /// [`JournalError`]. The delivery may be on disk in spite of it; then the sender's next attempt is a duplicate.
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

    /// Settles entries. After `Ok`, the settlements are on disk.
    ///
    /// # Errors
    /// [`JournalError`]. Try again.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Settle(settlements, answer)).await?;
        answered.await.map_err(|_| JournalError::Closed)?
    }

    /// Changes a connection, and announces the change to consumers.
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

    /// Reports to other processes that the gateway has applied all changes of connections up to this counter.
    ///
    /// # Errors
    /// [`JournalError`]. Commands that wait for the report time out.
    pub async fn note_applied(&self, connections: i64) -> Result<(), JournalError> {
        self.write(move |transaction| marks::note_applied(transaction, connections))
            .await
    }

    /// Stores an enrichment of deliveries. After `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`JournalError`]. Try again.
    pub async fn store_enrichment(
        &self,
        positions: Vec<Position>,
        enriched: Enriched,
    ) -> Result<(), JournalError> {
        self.write(move |transaction| completions::store(transaction, &positions, &enriched))
            .await
    }

    /// Redrives settled deliveries in steps: begin with position 0, and continue with [`Progress::next`].
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

    /// Acknowledges dead letters and unrouted deliveries in steps, as [`Journal::redrive`].
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
        // The search does not use the writer, so that no sender waits for it.
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

    /// Makes deliveries pending again whose events were only logged, because a broker is configured now.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn reopen_logged(&self) -> Result<u64, JournalError> {
        let filter = DeliveryFilter {
            states: vec![entry::DeliveryState::Logged],
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

    /// The connections with entries that became pending after a position; all of them without a position.
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
        self.read(move |reader| reader.pending(position, &mut EnrichedReader::default()))
            .await
    }

    /// Reads on another thread. The writer is not used.
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
        self.readers.data_folder.folder()
    }

    /// A handle with readers of its own, so that many reads of one part of the gateway do not delay another part.
    #[must_use]
    pub fn with_own_readers(&self) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MAX_READERS)),
            ..self.clone()
        }
    }

    /// The reason if the journal accepts no delivery.
    #[must_use]
    pub fn unwritable(&self) -> Option<Unwritable> {
        self.health.get()
    }

    /// Notifies when entries became pending.
    #[must_use]
    pub fn arrived(&self) -> Arc<Notify> {
        Arc::clone(&self.signals.arrived)
    }

    /// Changes when the event log has new events.
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

    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: WriteWork = Box::new(move |transaction| {
            let result = work(transaction)?;
            Ok(Box::new(move || drop(answer.send(result))))
        });
        self.send(Command::Work(work)).await?;
        answered
            .await
            .map_err(|_| JournalError::Unwritable("the commit failed".into()))
    }
}
