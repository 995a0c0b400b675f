//! The limits of the journal's size and age.

use std::time::Duration;

/// The limits of the journal.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Settled entries older than this are removed.
    pub age: Duration,
    /// While the journal is larger than this number of bytes, the oldest settled entries of the largest connections are
    /// removed.
    pub size: u64,
    /// Beyond this number of bytes, nothing new is accepted.
    pub budget: u64,
    /// While the file system has less than this number of free bytes, nothing new is accepted.
    pub reserve: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(30 * 86_400),
            size: 8 << 30,
            budget: 16 << 30,
            reserve: 256 << 20,
        }
    }
}

impl Budget {
    /// Bytes above the reserve that removal aims at, so that the journal does not stay at the edge of the reserve.
    pub(super) fn margin(&self) -> u64 {
        (self.reserve / 4).min(64 << 20)
    }

    /// The largest write-ahead log in bytes: a small part of a small budget.
    pub(super) fn log_limit(&self) -> u64 {
        (self.budget / 16).clamp(1 << 20, 256 << 20)
    }
}
