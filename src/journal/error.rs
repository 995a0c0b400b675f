//! The result of an append, and why the journal could not do something.

use std::sync::Arc;

use super::health::Unwritable;
use crate::delivery::DeliveryKey;
use crate::report::ErrorChain;

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The delivery is on disk now.
    New(DeliveryKey),
    /// The delivery was on disk before.
    Duplicate(DeliveryKey),
}

/// Why the journal could not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The journal accepts nothing at the moment.
    #[error("the journal accepts nothing at the moment: {0}")]
    Refused(Unwritable),
    /// The commit failed.
    #[error("the journal cannot be written: {0}")]
    Unwritable(Arc<str>),
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(Arc<str>),
    /// The connection has used its share of the space. The rest is for other connections.
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
    pub(super) fn unwritable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unwritable(ErrorChain(error).to_string().into())
    }

    pub(super) fn unreadable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unreadable(ErrorChain(error).to_string().into())
    }

    /// The reason code.
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

/// The result of a read of the journal.
pub type ReadResult<T> = rusqlite::Result<T>;

/// An error of SQLite while the journal is read.
impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreadable(&error)
    }
}
