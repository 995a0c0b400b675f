//! The pool of reading connections: bounded, and no read is endless.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::JournalError;
use super::damaged::DamageLog;
use super::place::Place;
use super::reader::Reader;

/// How long one read may take. A longer one is interrupted: as long as it runs, the write-ahead log only grows.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Idle reading connections.
pub(super) struct Readers {
    pub(super) place: Arc<Place>,
    damage: DamageLog,
    idle: Mutex<Vec<PooledReader>>,
}

/// A reader whose statements are interrupted after a deadline.
struct PooledReader {
    reader: Reader,
    deadline: Arc<Mutex<Option<Instant>>>,
}

/// Virtual machine instructions of SQLite between two looks at the deadline: some tenths of a millisecond.
const INSTRUCTIONS: i32 = 50_000;

impl PooledReader {
    fn new(mut reader: Reader) -> rusqlite::Result<Self> {
        let deadline = Arc::new(Mutex::new(None));
        let until = Arc::clone(&deadline);
        let is_late = move || {
            let until = until.lock().unwrap_or_else(PoisonError::into_inner);
            until.is_some_and(|until: Instant| Instant::now() > until)
        };
        reader.0.progress_handler(INSTRUCTIONS, Some(is_late))?;
        Ok(Self { reader, deadline })
    }

    fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

impl Readers {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self {
            place,
            damage: DamageLog::default(),
            idle: Mutex::default(),
        }
    }

    /// Runs one read on an idle reader, or on a new one.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let idle = self.idle().pop();
        let pooled = idle.map_or_else(|| self.open(), Ok)?;
        pooled.set_deadline(Some(Instant::now() + READ_TIMEOUT));
        let result = read(&pooled.reader).map_err(|error| JournalError::unreadable(&error))?;
        pooled.set_deadline(None);
        self.damage.log(pooled.reader.take_damaged());
        // Only a reader that worked is used again.
        self.idle().push(pooled);
        Ok(result)
    }

    fn open(&self) -> Result<PooledReader, JournalError> {
        let reader =
            Reader::open(self.place.folder()).map_err(|error| JournalError::unreadable(&error))?;
        // Positions of another file would be settled in this one.
        self.place
            .check_data_file()
            .map_err(JournalError::Refused)?;
        PooledReader::new(reader).map_err(|error| JournalError::unreadable(&error))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PooledReader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
