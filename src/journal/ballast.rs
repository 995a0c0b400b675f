//! A file of a few megabytes that is removed when the disk is full.
//!
//! Removing deliveries needs disk space too, because changed pages are written to the write-ahead log first. The bytes of this
//! file are reserved for that, and for the start after a crash. The file is created again when there is space.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use super::disk::free_bytes;
use crate::report::ErrorChain;

const FILE: &str = "cartwire.reserve";
pub(super) const BYTES: u64 = 4 << 20;
/// On a small file system the file is at most this fraction of its size.
const FILE_SYSTEM_FRACTION: u64 = 16;
/// Bytes of the disk below which a commit may not fit.
pub(super) const FLOOR: u64 = 2 << 20;

/// Creates the file if it is missing and the disk has space beyond the reserve.
pub(super) fn keep(folder: &Path, reserve: u64) {
    let path = folder.join(FILE);
    if path.exists() {
        return;
    }
    let total = rustix::fs::statvfs(folder).map_or(0, |stat| stat.f_blocks * stat.f_frsize);
    let bytes = BYTES.min(total / FILE_SYSTEM_FRACTION);
    let free = free_bytes(folder).unwrap_or(0);
    if bytes == 0 || free < reserve.saturating_add(bytes) {
        return;
    }
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let allocated = created.map_err(|error| error.to_string()).and_then(|file| {
        fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(|error| error.to_string())
    });
    if let Err(error) = allocated {
        tracing::debug!(error, "reserve file cannot be created");
        let _ = std::fs::remove_file(&path);
    }
}

/// Gives the file up where the disk is full. `true` if the disk was full.
pub(crate) fn release_if_full(folder: &Path) -> bool {
    let is_full = free_bytes(folder).is_some_and(|free| free < FLOOR);
    if is_full {
        match std::fs::remove_file(folder.join(FILE)) {
            Ok(()) => {
                tracing::warn!("disk is full; reserve file given up to remove settled deliveries")
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "disk is full and the reserve file cannot be removed");
            }
        }
    }
    is_full
}
