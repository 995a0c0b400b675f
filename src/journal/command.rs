//! The commands for the writer thread.

use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::entry::Settlement;
use super::error::{Appended, JournalError};
use crate::platforms::VerifiedDelivery;

/// Where the result of a command is sent.
pub(super) type ResultSender<T> = oneshot::Sender<Result<T, JournalError>>;
/// Called when the commit is on disk, and dropped if the commit failed.
pub(super) type OnCommitted = Box<dyn FnOnce() + Send>;
/// A change that is made within the commit.
pub(super) type WriteWork =
    Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<OnCommitted> + Send>;

pub(super) enum Command {
    Append(VerifiedDelivery, ResultSender<Appended>),
    Settle(Vec<Settlement>, ResultSender<()>),
    Work(WriteWork),
    Close,
}

impl Command {
    /// Bytes of the body that the command writes.
    pub(super) fn body_bytes(&self) -> usize {
        match self {
            Command::Append(delivery, _) => delivery.parts().body.len(),
            Command::Settle(..) | Command::Work(_) | Command::Close => 0,
        }
    }

    pub(super) fn is_close(&self) -> bool {
        matches!(self, Command::Close)
    }

    /// Reports an error that occurred before the command was executed.
    pub(super) fn fail(self, error: &JournalError) {
        match self {
            Command::Append(_, sender) => drop(sender.send(Err(error.clone()))),
            Command::Settle(_, sender) => drop(sender.send(Err(error.clone()))),
            // The work is dropped, which its caller takes for a failure.
            Command::Work(_) | Command::Close => {}
        }
    }
}
