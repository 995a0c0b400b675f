//! The id that every answer carries as `x-request-id`.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A new id. It is hashed with a secret of this process, so that ids do not tell how many requests there were.
pub(super) fn next() -> String {
    format!(
        "{:016x}",
        SECRET.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
    )
}
