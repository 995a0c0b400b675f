//! Reading the journal with a pooled reader, and logging the damaged rows that it skipped.

use std::sync::Arc;

use rusqlite::Connection;

use super::damaged::DamageLog;
use super::error::JournalError;
use super::reader::Reader;
use crate::database::{DataFolder, PooledReader, ReaderPool};

/// The readers of a data folder.
pub(super) struct Readers {
    pub(super) data_folder: Arc<DataFolder>,
    damage: DamageLog,
    pool: ReaderPool<Reader>,
}

impl PooledReader for Reader {
    fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Readers {
    pub(super) fn new(data_folder: Arc<DataFolder>) -> Self {
        Self {
            data_folder,
            damage: DamageLog::default(),
            pool: ReaderPool::default(),
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let open = || self.open();
        let mut damaged = Vec::new();
        let result = self.pool.read(open, |reader| {
            let result = read(reader);
            damaged = reader.take_damaged();
            result
        });
        self.damage.log(damaged);
        result
    }

    fn open(&self) -> Result<Reader, JournalError> {
        let reader = Reader::open(self.data_folder.folder())
            .map_err(|error| JournalError::unreadable(&error))?;
        // Positions of another file would be settled in this one.
        let moved = self.data_folder.check_data_file();
        moved.map_err(|moved| JournalError::Refused(moved.into()))?;
        Ok(reader)
    }
}
