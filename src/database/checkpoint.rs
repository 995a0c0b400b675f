//! Checkpoints: copy the write-ahead log into the data file, in a thread beside the writer.
//!
//! A checkpoint syncs the file, which takes tens of milliseconds. Senders would wait for their answers if the writer made
//! it. The thread makes ten checkpoints per second and does not block the writer. Under steady load it never catches up, and the log
//! would grow without limit. When the log is too long, the thread makes two checkpoints without a pause, and then the writer
//! itself makes the last one and restarts the log. Senders wait only for this last part.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::data_folder::DataFolder;
use super::migrations::MIGRATIONS;
use super::open::{BUSY_TIMEOUT, open};
use super::thread_end::ThreadEnd;

const INTERVAL: Duration = Duration::from_millis(100);
const PAGE_BYTES: u64 = 4_096;

/// The number of pages in the log at the last checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct LogLength {
    pages: Arc<AtomicU32>,
    /// Pages beyond which the writer restarts the log.
    limit: u32,
}

impl LogLength {
    /// `limit` is in bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            pages: Arc::default(),
            limit: u32::try_from(limit / PAGE_BYTES).unwrap_or(u32::MAX),
        }
    }

    /// `true` once per checkpoint that found the log longer than its limit.
    pub(crate) fn is_long(&self) -> bool {
        self.pages.load(Ordering::Relaxed) > self.limit
            && self.pages.swap(0, Ordering::Relaxed) > self.limit
    }
}

/// The thread that makes checkpoints.
pub(crate) struct Checkpointer {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    pub(crate) fn start(
        folder: Arc<DataFolder>,
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
                    // Never another file in its place, and never a new file, which would receive the content of the log.
                    if connection.is_none() && folder.check_data_file().is_ok() {
                        connection = open(folder.folder(), MIGRATIONS).ok();
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
                        // The writer gets the same error and reports it.
                        Some(Err(_)) => (connection, hurry) = (None, false),
                        None => {}
                    }
                    stop = flag.lock().unwrap_or_else(PoisonError::into_inner);
                    if !*stop && !hurry {
                        stop = changed
                            .wait_timeout(stop, INTERVAL)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0;
                    }
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread.
    pub(crate) fn stop(self) {
        let (flag, changed) = &*self.stop;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        let _ = self.thread.join();
    }
}

/// Restarts the log, unless a reader uses it at the moment. Then the next checkpoint tries again.
pub(crate) fn restart_log(connection: &Connection) -> rusqlite::Result<()> {
    without_waiting(connection, "RESTART")
}

/// Returns the log's bytes to the file system, unless a reader uses the log at the moment.
pub(crate) fn truncate_log(connection: &Connection) -> rusqlite::Result<()> {
    without_waiting(connection, "TRUNCATE")
}

fn without_waiting(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let result = checkpoint(connection, mode);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match result {
        Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Makes a checkpoint. Returns the number of pages in the log.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
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
    use crate::database::open::DATA_FILE;

    #[test]
    fn missing_data_file_is_not_created_again() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(open(folder.path(), MIGRATIONS).expect("opened"));
        let data_folder = Arc::new(DataFolder::new(folder.path().to_owned()));
        data_folder.record_files();
        let file = folder.path().join(DATA_FILE);
        std::fs::remove_file(&file).expect("removed");
        let end = ThreadEnd {
            ended: watch::Sender::new(None),
            name: "checkpoints",
        };
        let thread =
            Checkpointer::start(data_folder, LogLength::new(1 << 20), end).expect("started");
        std::thread::sleep(3 * INTERVAL);
        thread.stop();
        assert!(!file.exists());
    }
}
