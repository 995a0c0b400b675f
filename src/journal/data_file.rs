//! The data file as commands use it, with or without a running gateway.

use std::path::Path;

use super::announce;
use super::connection_change::{Changed, ConnectionChange};
use super::entry::Position;
use super::error::JournalError;
use super::redrive::{self, Deed, DeliveryFilter, Progress};
use crate::connections::{Seal, SealError, store};
use crate::database::{self, MIGRATIONS, OpenError, checkpoint};

/// A known text that is stored encrypted. It shows whether a master key is the right one.
const SEAL_WORD: &str = "cartwire";

/// The secrets in a data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// Another master key encrypted them.
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("cannot read the data file")]
    Sqlite(#[from] rusqlite::Error),
}

/// The data file as commands use it, with or without a running gateway.
pub struct DataFile {
    pub(super) sqlite: rusqlite::Connection,
}

impl DataFile {
    /// Opens the data file of a folder for a command, and creates a missing one. A file of an older format is refused
    /// while a gateway uses it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        database::refuse_served_older(folder, MIGRATIONS)?;
        Self::open_locked(folder)
    }

    /// As [`DataFile::open`], for the process that has the folder's lock.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open_locked(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            sqlite: database::open(folder, MIGRATIONS)?,
        })
    }

    /// Truncates the write-ahead log, before other connections use it.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn truncate_log(&self) -> rusqlite::Result<()> {
        checkpoint::truncate_log(&self.sqlite)
    }

    /// Checks that the master key is the one that encrypted the secrets in the file.
    ///
    /// # Errors
    /// [`UnlockError::Seal`] for another master key.
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

    /// Changes a connection, and announces the change to consumers.
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

    /// Redrives settled deliveries in steps: begin with position 0, and continue with [`Progress::next`].
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

    /// Acknowledges dead letters and unrouted deliveries in steps, as [`DataFile::redrive`].
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
        // The search is before the write lock, so that no sender waits for it.
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
