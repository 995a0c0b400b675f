//! State of the whole gateway that commands read and write: acknowledged problems, declared bindings, and the broker's problem.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::data_file::DataFile;
use super::entry::DeliveryState;
use super::error::JournalError;
use super::handle::Journal;
use super::reader::Reader;
use super::redrive::{self, Deed, DeliveryFilter};
use crate::database::rows::instant;

/// The name of the row for the broker.
const BROKER: &str = "broker";

/// A binding that the gateway declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredBinding {
    /// The exchange's name.
    pub exchange: String,
    /// The queue's name.
    pub queue: String,
    /// The topic pattern.
    pub pattern: String,
}

/// A problem of the whole gateway.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GatewayTrouble {
    /// The cause.
    pub detail: String,
    /// When the problem began.
    pub since: Timestamp,
}

impl DataFile {
    /// Stores bindings before they are declared. Returns the stored ones that are not among them.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`].
    pub fn note_bindings(
        &mut self,
        wanted: &[DeclaredBinding],
    ) -> Result<Vec<DeclaredBinding>, JournalError> {
        let note = |sqlite: &mut Connection| {
            let transaction =
                sqlite.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for binding in wanted {
                transaction.execute(
                    "INSERT OR IGNORE INTO bindings (exchange, queue, pattern) VALUES (?1, ?2, ?3)",
                    [&binding.exchange, &binding.queue, &binding.pattern],
                )?;
            }
            let mut known = bindings(&transaction)?;
            transaction.commit()?;
            known.retain(|binding| !wanted.contains(binding));
            Ok(known)
        };
        note(&mut self.sqlite).map_err(|error: rusqlite::Error| JournalError::unwritable(&error))
    }
}

impl Journal {
    /// Removes bindings that do not exist at the broker any more.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn forget_bindings(&self, gone: Vec<DeclaredBinding>) -> Result<(), JournalError> {
        self.write(move |transaction| {
            for binding in &gone {
                transaction.execute(
                    "DELETE FROM bindings WHERE exchange = ?1 AND queue = ?2 AND pattern = ?3",
                    [&binding.exchange, &binding.queue, &binding.pattern],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Stores the broker's problem, or its end. Another detail of the same problem keeps the time.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn note_broker_trouble(&self, detail: Option<String>) -> Result<(), JournalError> {
        self.write(move |transaction| set_broker_trouble(transaction, detail.as_deref()))
            .await
    }
}

fn set_broker_trouble(transaction: &Transaction<'_>, detail: Option<&str>) -> rusqlite::Result<()> {
    match detail {
        None => transaction.execute("DELETE FROM standing WHERE name = ?1", [BROKER])?,
        Some(detail) => transaction.execute(
            "INSERT INTO standing (name, detail, since) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET detail = excluded.detail",
            params![BROKER, detail, Timestamp::now().as_millisecond()],
        )?,
    };
    Ok(())
}

impl Reader {
    /// The numbers of unrouted deliveries and dead letters that are not acknowledged.
    ///
    /// # Errors
    /// SQLite's.
    pub fn troubles(&self) -> rusqlite::Result<(u64, u64)> {
        let count = |state: DeliveryState| -> rusqlite::Result<u64> {
            let sql = format!(
                "SELECT count(*) FROM entries WHERE state = {} AND state IN (3, 5) AND acknowledged_at IS NULL",
                state.code()
            );
            let count: i64 = self
                .0
                .prepare_cached(&sql)?
                .query_row([], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        };
        Ok((
            count(DeliveryState::Unrouted)?,
            count(DeliveryState::DeadLettered)?,
        ))
    }

    /// The number of dead letters and unrouted deliveries that an acknowledgement would remove from the lists.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count_acknowledgeable(&self, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
        redrive::count(&self.0, filter, Deed::Acknowledge)
    }

    /// The declared bindings.
    ///
    /// # Errors
    /// SQLite's.
    pub fn declared_bindings(&self) -> rusqlite::Result<Vec<DeclaredBinding>> {
        bindings(&self.0)
    }

    /// The broker's current problem.
    ///
    /// # Errors
    /// SQLite's.
    pub fn broker_trouble(&self) -> rusqlite::Result<Option<GatewayTrouble>> {
        self.0
            .prepare_cached("SELECT detail, since FROM standing WHERE name = ?1")?
            .query_row([BROKER], |row| {
                Ok(GatewayTrouble {
                    detail: row.get(0)?,
                    since: instant(row.get(1)?)?,
                })
            })
            .optional()
    }
}

fn bindings(sqlite: &Connection) -> rusqlite::Result<Vec<DeclaredBinding>> {
    sqlite
        .prepare("SELECT exchange, queue, pattern FROM bindings ORDER BY exchange, queue, pattern")?
        .query_map([], |row| {
            Ok(DeclaredBinding {
                exchange: row.get(0)?,
                queue: row.get(1)?,
                pattern: row.get(2)?,
            })
        })?
        .collect()
}
