//! Whether the journal can be written, for the receiver, the readiness probe and the log.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use crate::database::FolderMoved;

/// The reason why the journal accepts no delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// The last commit failed.
    Failing(String),
    /// The journal has reached its size limit.
    OverBudget {
        /// Bytes in use.
        used: u64,
        /// The limit in bytes.
        budget: u64,
    },
    /// The free space of the file system is below the reserve.
    DiskAlmostFull {
        /// Free bytes.
        free: u64,
        /// Bytes of the reserve.
        reserve: u64,
    },
    /// The open files were renamed or deleted.
    Moved(FolderMoved),
}

impl From<FolderMoved> for Unwritable {
    fn from(moved: FolderMoved) -> Self {
        Self::Moved(moved)
    }
}

impl Unwritable {
    /// The reason code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Unwritable::Failing(_) => "journal_failing",
            Unwritable::OverBudget { .. } => "journal_over_budget",
            Unwritable::DiskAlmostFull { .. } => "disk_almost_full",
            Unwritable::Moved(_) => "data_folder_moved",
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
            Unwritable::Moved(FolderMoved { path, replaced }) => {
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

/// The state. The writer sets it.
#[derive(Debug, Default)]
pub struct JournalHealth(RwLock<Option<Unwritable>>);

impl JournalHealth {
    /// The reason why the journal cannot be written; `None` if it can.
    #[must_use]
    pub fn get(&self) -> Option<Unwritable> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets the state. `true` if the reason changed.
    pub(super) fn set(&self, now: Option<Unwritable>) -> bool {
        let mut health = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed =
            health.as_ref().map(Unwritable::reason) != now.as_ref().map(Unwritable::reason);
        *health = now;
        changed
    }
}
