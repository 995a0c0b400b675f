//! The data file as the commands use it: beside a running gateway or without one.

use std::path::Path;

use super::announce;
use super::connection_change::{Changed, ConnectionChange};
use super::entry::Position;
use super::error::JournalError;
use super::redrive::{self, Deed, DeliveryFilter, Progress};
use crate::connections::{Seal, SealError, store};
use crate::database::{self, MIGRATIONS, OpenError, checkpoint};

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
    pub(super) sqlite: rusqlite::Connection,
}

impl DataFile {
    /// Opens the data file of a folder for a command; creates it where there is none. The format of a file is not changed
    /// while a gateway uses it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        database::refuse_served_older(folder, MIGRATIONS)?;
        Self::open_locked(folder)
    }

    /// The same for the process that holds the folder's lock.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open_locked(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            sqlite: database::open(folder, MIGRATIONS)?,
        })
    }

    /// Gives the bytes of the write-ahead log back to the file system, before other connections use it.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn truncate_log(&self) -> rusqlite::Result<()> {
        checkpoint::truncate_log(&self.sqlite)
    }

    /// Makes sure that this is the master key that the secrets in the file are sealed with.
    ///
    /// # Errors
    /// [`UnlockError`]; `Seal` among them where it is another key.
    pub fn unlock(&self, seal: &Seal) -> Result<(), UnlockError> {
        match store::key_check(&self.sqlite)? {
            Some(word) => seal
                .open(SEAL_WORD, &word)
                .map(drop)
                .map_err(UnlockError::Seal),
            None => Ok(store::set_key_check(
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
        // Searched before the lock is taken, so that no sender waits for the search.
        let found = redrive::find(&self.sqlite, filter, after, deed).map_err(unwritable)?;
        let mut changed = 0;
        if !found.positions.is_empty() {
            let behavior = rusqlite::TransactionBehavior::Immediate;
            let transaction = self
                .sqlite
                .transaction_with_behavior(behavior)
                .map_err(unwritable)?;
            changed = redrive::change(&transaction, &found.positions, deed).map_err(unwritable)?;
            transaction.commit().map_err(unwritable)?;
        }
        Ok(Progress {
            next: found.next,
            changed,
        })
    }
}
