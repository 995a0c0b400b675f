//! Folding the write-ahead log into the file, beside the writer.
//!
//! A checkpoint syncs the file, tens of milliseconds in which no sender would get his answer if the writer did it. A thread
//! of its own does it ten times a second without blocking anybody. Under steady load it never quite catches up and the log
//! would grow for ever, so when that is long the writer itself does the rest and begins the log anew. The thread then makes
//! two checkpoints without a pause, so that the rest is what came in during the second: senders wait for it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::place::Place;
use super::{ThreadEnd, format};
use crate::sqlite;

const PAUSE: Duration = Duration::from_millis(100);
const PAGE_BYTES: u64 = 4_096;

/// Pages in the log, as the last checkpoint saw it.
#[derive(Clone, Debug)]
pub(super) struct LogLength {
    pages: Arc<AtomicU32>,
    /// Pages beyond which the writer restarts the log.
    limit: u32,
}

impl LogLength {
    /// `limit` is in bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            pages: Arc::default(),
            limit: u32::try_from(limit / PAGE_BYTES).unwrap_or(u32::MAX),
        }
    }

    /// `true` once per checkpoint that found the log longer than its limit.
    pub(super) fn is_long(&self) -> bool {
        self.pages.load(Ordering::Relaxed) > self.limit
            && self.pages.swap(0, Ordering::Relaxed) > self.limit
    }
}

/// The thread.
pub(super) struct Checkpointer {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    pub(super) fn start(
        place: Arc<Place>,
        length: LogLength,
        end: ThreadEnd,
    ) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                let _end = end;
                let (mut connection, mut hurry): (Option<Connection>, bool) = (None, false);
                let (flag, changed) = &*stopped;
                let mut stop = flag.lock().unwrap_or_else(PoisonError::into_inner);
                while !*stop {
                    drop(stop);
                    // Never another file in its place, and never a new one: it would take what is in the log.
                    if connection.is_none() && place.check_data_file().is_ok() {
                        connection = sqlite::open(place.folder(), format::MIGRATIONS).ok();
                    }
                    match connection
                        .as_ref()
                        .map(|connection| checkpoint(connection, "PASSIVE"))
                    {
                        Some(Ok(pages)) => {
                            hurry = pages > length.limit && !hurry;
                            if !hurry {
                                length.pages.store(pages, Ordering::Relaxed);
                            }
                        }
                        // The writer meets the same trouble and tells of it.
                        Some(Err(_)) => (connection, hurry) = (None, false),
                        None => {}
                    }
                    stop = flag.lock().unwrap_or_else(PoisonError::into_inner);
                    if !*stop && !hurry {
                        stop = changed
                            .wait_timeout(stop, PAUSE)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0;
                    }
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        let (flag, changed) = &*self.stop;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        let _ = self.thread.join();
    }
}

/// Begins the log anew, unless somebody reads in it just now: then the next checkpoint asks again.
pub(super) fn begin_log_anew(connection: &Connection) -> rusqlite::Result<()> {
    without_waiting(connection, "RESTART")
}

/// Gives the log's bytes back to the file system, unless a reader uses them just now.
pub(super) fn truncate_log(connection: &Connection) -> rusqlite::Result<()> {
    without_waiting(connection, "TRUNCATE")
}

fn without_waiting(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let result = checkpoint(connection, mode);
    connection.busy_timeout(sqlite::BUSY_TIMEOUT)?;
    match result {
        Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Folds what it can into the file; gives the pages in the log.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            row.get::<_, i64>(1)
        })
        .map(|pages| u32::try_from(pages).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[test]
    fn data_file_that_vanished_is_not_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(sqlite::open(folder.path(), format::MIGRATIONS).expect("opened"));
        let place = Arc::new(Place::new(folder.path().to_owned()));
        place.note();
        let file = folder.path().join(sqlite::FILE);
        std::fs::remove_file(&file).expect("removed");
        let end = ThreadEnd(watch::Sender::new(None), "checkpoints");
        let thread = Checkpointer::start(place, LogLength::new(1 << 20), end).expect("started");
        std::thread::sleep(3 * PAUSE);
        thread.stop();
        assert!(!file.exists());
    }
}
