//! What the gateway tells the commands beside the deliveries: acknowledged troubles, declared bindings, and how the broker
//! stands.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::data_file::DataFile;
use super::entry::DeliveryState;
use super::error::JournalError;
use super::handle::Journal;
use super::reader::Reader;
use super::redrive::{self, Deed, DeliveryFilter};
use crate::database::rows::instant;

/// The name under which the broker's trouble stands.
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

/// Trouble of the whole gateway.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GatewayTrouble {
    /// What is wrong.
    pub detail: String,
    /// When it was noticed.
    pub since: Timestamp,
}

impl DataFile {
    /// Notes bindings before they are declared, and returns the noted ones that are not among them.
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
    /// Forgets bindings that no longer exist at the broker.
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

    /// Notes the broker's trouble for the commands, or its end. A changed detail keeps the time.
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
    /// How many unrouted deliveries and dead letters there are that were not acknowledged.
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

    /// How many dead letters and unrouted deliveries would be acknowledged.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count_acknowledgeable(&self, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
        redrive::count(&self.0, filter, Deed::Acknowledge)
    }

    /// The bindings that were declared.
    ///
    /// # Errors
    /// SQLite's.
    pub fn declared_bindings(&self) -> rusqlite::Result<Vec<DeclaredBinding>> {
        bindings(&self.0)
    }

    /// The broker's trouble, as the gateway noted it last.
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
