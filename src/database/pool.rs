//! A pool of connections for reading. A read that takes too long is interrupted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// Maximum duration of a read. While a read runs, the write-ahead log cannot be restarted and only grows.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Number of SQLite's instructions between two checks of the deadline: some tenths of a millisecond.
const DEADLINE_CHECK_INSTRUCTIONS: i32 = 50_000;

/// A reader with a connection of its own.
pub(crate) trait PooledReader {
    fn connection(&mut self) -> &mut Connection;
}

/// The idle readers.
pub(crate) struct ReaderPool<R> {
    idle: Mutex<Vec<TimedReader<R>>>,
}

/// A reader whose statements are interrupted after a deadline.
struct TimedReader<R> {
    reader: R,
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl<R: PooledReader> TimedReader<R> {
    fn new(mut reader: R) -> rusqlite::Result<Self> {
        let deadline = Arc::new(Mutex::new(None));
        let until = Arc::clone(&deadline);
        let is_late = move || {
            let until = until.lock().unwrap_or_else(PoisonError::into_inner);
            until.is_some_and(|until: Instant| Instant::now() > until)
        };
        reader
            .connection()
            .progress_handler(DEADLINE_CHECK_INSTRUCTIONS, Some(is_late))?;
        Ok(Self { reader, deadline })
    }

    fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

impl<R> Default for ReaderPool<R> {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
        }
    }
}

impl<R: PooledReader> ReaderPool<R> {
    /// Reads with an idle reader, or with a new one that `open` creates. A reader whose read failed is not used again.
    pub(crate) fn read<T, E: From<rusqlite::Error>>(
        &self,
        open: impl FnOnce() -> Result<R, E>,
        read: impl FnOnce(&R) -> rusqlite::Result<T>,
    ) -> Result<T, E> {
        let idle = self.idle().pop();
        let timed = match idle {
            Some(timed) => timed,
            None => TimedReader::new(open()?)?,
        };
        timed.set_deadline(Some(Instant::now() + READ_TIMEOUT));
        let result = read(&timed.reader)?;
        timed.set_deadline(None);
        self.idle().push(timed);
        Ok(result)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TimedReader<R>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
