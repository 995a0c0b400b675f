//! The exit codes, and which error gets which.

use std::process::ExitCode;

use crate::app::{AlreadyRunning, TaskEnded};
use crate::config::ConfigErrors;
use crate::connections::SealError;
use crate::journal::JournalError;
use crate::replay::fixture::FixtureError;
use crate::sqlite::OpenError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what it says.
    Success,
    /// 1: it ran, and the answer is no.
    No,
    /// 64: it was called wrongly.
    Usage,
    /// 69: something that it needs is not available.
    Unavailable,
    /// 70: a part of the program stopped working.
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
    /// The code.
    pub exit: Exit,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Makes a [`Failure`].
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
        if cause.is::<AlreadyRunning>() || cause.downcast_ref().is_some_and(is_busy) {
            return Exit::Unavailable;
        }
        if matches!(cause.downcast_ref(), Some(FixtureError::Format { .. })) {
            return Exit::Usage;
        }
        if cause.is::<OpenError>()
            || cause.is::<JournalError>()
            || cause.is::<std::io::Error>()
            || cause.is::<rusqlite::Error>()
        {
            return Exit::Io;
        }
    }
    Exit::No
}
