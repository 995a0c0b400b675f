//! The exit codes, and the exit code of each error.

use std::process::ExitCode;

use crate::app::TaskEnded;
use crate::config::ConfigErrors;
use crate::connections::SealError;
use crate::database::{self, LockError, OpenError};
use crate::journal::JournalError;
use crate::replay::fixture::FixtureError;

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the command succeeded.
    Success,
    /// 1: the command ran, and its result is negative.
    No,
    /// 64: the arguments are invalid.
    Usage,
    /// 69: a required service or lock is not available.
    Unavailable,
    /// 70: a task of the program ended unexpectedly.
    Internal,
    /// 74: reading or writing failed.
    Io,
    /// 78: the configuration is wrong.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::No => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::Io => 74,
            Exit::Config => 78,
        })
    }
}

/// An error with its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    /// The problem and the remedy.
    pub message: String,
}

/// Creates a [`Failure`].
pub(super) fn fail(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    Failure {
        exit,
        message: message.into(),
    }
    .into()
}

/// The exit code of an error.
#[must_use]
pub fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
        if cause.is::<ConfigErrors>() || cause.is::<SealError>() {
            return Exit::Config;
        }
        if cause.is::<TaskEnded>() {
            return Exit::Internal;
        }
        let is_busy = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        if matches!(cause.downcast_ref(), Some(LockError::AlreadyRunning(_)))
            || cause.downcast_ref().is_some_and(is_busy)
        {
            return Exit::Unavailable;
        }
        if matches!(cause.downcast_ref(), Some(FixtureError::Format { .. })) {
            return Exit::Usage;
        }
        if cause.is::<OpenError>()
            || cause.is::<LockError>()
            || cause.is::<JournalError>()
            || cause.is::<std::io::Error>()
            || database::is_sqlite_error(cause)
        {
            return Exit::Io;
        }
    }
    Exit::No
}
