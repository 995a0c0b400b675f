//! Can the journal be written? The one answer for the receiver, the readiness probe and the log.

use std::fmt;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

/// Why the journal takes nothing at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// The last commit failed.
    Failing(String),
    /// The journal has used up what it may.
    OverBudget {
        /// Bytes in use.
        used: u64,
        /// Bytes it may use.
        budget: u64,
    },
    /// The file system has less left than we leave free.
    DiskAlmostFull {
        /// Bytes left.
        free: u64,
        /// Bytes we leave free.
        reserve: u64,
    },
    /// The open files have lost their names: see `place`.
    Moved {
        /// The first path that names another file, or none.
        path: PathBuf,
        /// Another file has this name now.
        replaced: bool,
    },
}

impl Unwritable {
    /// A bounded word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Unwritable::Failing(_) => "journal_failing",
            Unwritable::OverBudget { .. } => "journal_over_budget",
            Unwritable::DiskAlmostFull { .. } => "disk_almost_full",
            Unwritable::Moved { .. } => "data_folder_moved",
        }
    }
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::Failing(error) => write!(f, "the last write failed: {error}"),
            Unwritable::OverBudget { used, budget } => {
                write!(
                    f,
                    "{used} bytes are in use and {budget} allowed (--disk-budget), none of which retention may remove"
                )
            }
            Unwritable::DiskAlmostFull { free, reserve } => {
                write!(
                    f,
                    "the disk has {free} bytes left and {reserve} are to stay free (--disk-reserve)"
                )
            }
            Unwritable::Moved { path, replaced } => {
                let path = path.display();
                let now = if *replaced {
                    "was replaced by another file or folder"
                } else {
                    "was moved or removed"
                };
                write!(
                    f,
                    "{path} {now} while it is in use: put it back, or restart the gateway to use what is there"
                )
            }
        }
    }
}

/// Shared between the writer, who sets it, and all who ask.
#[derive(Debug, Default)]
pub struct Health(RwLock<Option<Unwritable>>);

impl Health {
    /// Why not, or `None` where all is well.
    #[must_use]
    pub fn get(&self) -> Option<Unwritable> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets it. Did it change in kind?
    pub(super) fn set(&self, now: Option<Unwritable>) -> bool {
        let mut health = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed =
            health.as_ref().map(Unwritable::reason) != now.as_ref().map(Unwritable::reason);
        *health = now;
        changed
    }
}
