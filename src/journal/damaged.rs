//! Rows of the data file that cannot be read. They are skipped and reported, and the other rows are read.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::database::FolderCopy;

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct DamagedRow {
    /// The table's name.
    pub table: &'static str,
    /// The row: the position of a delivery or the id of a connection.
    pub row: String,
    /// The error.
    pub error: String,
}

/// The damaged rows of one reader since they were last taken.
#[derive(Debug, Default)]
pub(super) struct DamagedRows {
    rows: RefCell<Vec<DamagedRow>>,
    /// The temporary copy that is read, if the folder cannot be written.
    _copy: Option<FolderCopy>,
}

impl DamagedRows {
    /// Of a reader of a temporary copy.
    pub(super) fn of_copy(copy: FolderCopy) -> Self {
        Self {
            rows: RefCell::default(),
            _copy: Some(copy),
        }
    }

    /// The value of a row, or `None` if the row is damaged. The row is then recorded.
    ///
    /// # Errors
    /// SQLite's, if it is not about a single row.
    pub(super) fn set_aside<T>(
        &self,
        table: &'static str,
        row: impl ToString,
        read: rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_of_one_row(&error) => {
                self.note(DamagedRow {
                    table,
                    row: row.to_string(),
                    error: error.to_string(),
                });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn note(&self, damaged: DamagedRow) {
        self.rows.borrow_mut().push(damaged);
    }

    pub(super) fn take(&self) -> Vec<DamagedRow> {
        self.rows.take()
    }
}

/// `true` if an error is about a value in one row, so that other rows can be read.
pub(crate) fn is_of_one_row(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// Logs each damaged row once.
#[derive(Debug, Default)]
pub(super) struct DamageLog(Mutex<HashSet<DamagedRow>>);

/// Maximum number of rows that are remembered as logged.
const LOGGED_ROWS: usize = 1_000;

impl DamageLog {
    pub(super) fn log(&self, damaged: Vec<DamagedRow>) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in damaged {
            if logged.len() < LOGGED_ROWS && logged.insert(row.clone()) {
                metrics::counter!("cartwire_damaged_rows_total", "table" => row.table).increment(1);
                tracing::error!(table = row.table, row = %row.row, error = %row.error, "damaged row set aside");
            }
        }
    }
}
