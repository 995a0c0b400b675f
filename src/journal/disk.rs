//! The free space of the file system.

use std::path::Path;

/// The number of bytes that this process can still write; `None` if it is unknown.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
