//! Claims: the connections with pending entries, and the oldest pending entries of each connection.
//!
//! A claim names connections, and how much each may get. The index `entries_pending_by_usage` is sorted by connection and
//! position, so a long backlog of one connection does not slow down the claim of another.
//!
//! A row that cannot be read is reported as [`Damaged`]. The claim of other entries goes on.

use std::collections::HashSet;

use rusqlite::{Connection as Sqlite, ErrorCode, OptionalExtension, params};

use super::claimed::{Claimed, Damaged, Excluded, PendingConnections, Want};
use super::completions::EnrichedReader;
use super::entry::{EntryKind, Position};
use super::reader::Reader;
use crate::delivery::ConnectionId;

/// Maximum number of entries of paused endpoints that one claim skips per connection.
const MAX_PASSED: usize = 256;

/// Maximum number of rows that one search for arrivals reads.
const MAX_ARRIVALS: usize = 4_096;

impl Reader {
    /// All connections with pending entries, and the newest position.
    pub(crate) fn pending_connections(&self) -> rusqlite::Result<PendingConnections> {
        // Read first. The search may find newer entries too.
        let through = self.newest_entry()?;
        let mut next = self.0.prepare_cached(
            "SELECT min(usage) FROM entries INDEXED BY entries_pending_by_usage WHERE state = 0 AND usage > ?1",
        )?;
        let mut connections = Vec::new();
        let mut found: Option<i64> = next.query_row([i64::MIN], |row| row.get(0))?;
        while let Some(usage) = found {
            found = next.query_row([usage], |row| row.get(0))?;
            connections.push((self.name(usage)?, 0));
        }
        Ok(PendingConnections {
            connections,
            through,
            is_complete: true,
        })
    }

    /// The connections of pending entries after a position.
    pub(crate) fn pending_after(&self, after: Position) -> rusqlite::Result<PendingConnections> {
        let newest = self.newest_entry()?;
        let mut statement = self.0.prepare_cached(
            "SELECT position, usage FROM entries WHERE position > ?1 AND state = 0 ORDER BY position",
        )?;
        let mut rows = statement.query([after])?;
        let (mut found, mut seen) = (PendingConnections::default(), HashSet::new());
        found.through = after;
        for _ in 0..MAX_ARRIVALS {
            let Some(row) = rows.next()? else {
                found.through = found.through.max(newest);
                found.is_complete = true;
                break;
            };
            found.through = row.get(0)?;
            let usage: i64 = row.get(1)?;
            if seen.insert(usage) {
                let connection = self.name(usage)?;
                found.connections.push((connection, found.through));
            }
        }
        Ok(found)
    }

    /// Claims the oldest pending entries of some connections; one result for each want, in the same order.
    pub(crate) fn claim(
        &self,
        wants: &[Want],
        excluded: &Excluded,
    ) -> rusqlite::Result<Vec<Claimed>> {
        let mut completions = EnrichedReader::default();
        wants
            .iter()
            .map(|want| self.claim_one(want, excluded, &mut completions))
            .collect()
    }

    fn claim_one(
        &self,
        want: &Want,
        excluded: &Excluded,
        completions: &mut EnrichedReader,
    ) -> rusqlite::Result<Claimed> {
        let mut statement = self.0.prepare_cached(
            "SELECT position FROM entries INDEXED BY entries_pending_by_usage
             WHERE state = 0 AND usage = ?1 AND position >= ?2 ORDER BY position",
        )?;
        let mut rows = statement.query(params![self.usage(&want.connection)?, want.from])?;
        let (mut claimed, mut bytes, mut passed) = (Claimed::default(), 0, 0);
        let mut may_claim = true;
        while let Some(row) = rows.next()? {
            let position: Position = row.get(0)?;
            if !may_claim || claimed.entries.len() + claimed.damaged.len() >= want.entries {
                claimed.next = Some(position);
                break;
            }
            if excluded.in_flight.contains(&position) {
                claimed.passed_over |= self.is_redriven(position)?;
                // The announcement of a paused connection must not overtake entries in flight.
                may_claim = !want.is_paused;
                continue;
            }
            if want.is_paused && !self.is_announcement(position)? {
                break;
            }
            if !excluded.paused_endpoints.is_empty() && self.is_passed(position, excluded)? {
                passed += 1;
                may_claim = passed < MAX_PASSED;
                continue;
            }
            match self.pending(position, completions) {
                Ok(Some(entry)) => {
                    bytes += entry.delivery.bytes();
                    claimed.entries.push(entry);
                    may_claim = bytes < want.bytes;
                }
                // The entry was settled after the index was read.
                Ok(None) if !self.is_pending(position)? => {}
                Ok(None) => claimed.damaged.push(Damaged {
                    position,
                    error: "the delivery of this entry is missing".to_owned(),
                    is_final: true,
                }),
                Err(error) => {
                    let damaged = damaged(position, &error);
                    // An entry that may be readable later keeps its turn: no later entry is claimed before it.
                    may_claim = damaged.is_final;
                    claimed.damaged.push(damaged);
                    if !may_claim {
                        claimed.next = Some(position);
                        break;
                    }
                }
            }
        }
        if want.is_paused {
            claimed.next = None;
        }
        Ok(claimed)
    }

    /// `true` if the event log has an event of this entity other than its deletion.
    ///
    /// # Errors
    /// SQLite's.
    pub fn is_known(&self, connection: &ConnectionId, subject: &str) -> rusqlite::Result<bool> {
        // Retention removes events and keeps states.
        let (entity, id) = subject.split_once('/').unwrap_or_default();
        self.0
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM events WHERE usage = ?1 AND subject = ?2 AND type NOT LIKE '%.deleted')
                     OR EXISTS (SELECT 1 FROM entities WHERE connection = ?3 AND entity = ?4 AND id = ?5 AND is_deleted = 0)",
            )?
            .query_row(
                params![self.usage(connection.as_str())?, subject, connection.as_str(), entity, id],
                |row| row.get(0),
            )
    }

    /// The position of the newest delivery.
    ///
    /// # Errors
    /// SQLite's.
    pub fn newest_position(&self) -> rusqlite::Result<Position> {
        self.newest_entry()
    }

    /// The id of a connection in `usage`; 0 if it has none.
    fn usage(&self, connection: &str) -> rusqlite::Result<i64> {
        self.0
            .prepare_cached("SELECT id FROM usage WHERE connection = ?1")?
            .query_row([connection], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
    }

    /// The connection with an id in `usage`; empty for an unknown one.
    fn name(&self, usage: i64) -> rusqlite::Result<String> {
        self.0
            .prepare_cached("SELECT connection FROM usage WHERE id = ?1")?
            .query_row([usage], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
    }

    fn newest_entry(&self) -> rusqlite::Result<Position> {
        self.0
            .prepare_cached("SELECT COALESCE(max(position), 0) FROM entries")?
            .query_row([], |row| row.get(0))
    }

    fn is_pending(&self, position: Position) -> rusqlite::Result<bool> {
        flag(
            &self.0,
            "SELECT EXISTS (SELECT 1 FROM entries WHERE position = ?1 AND state = 0)",
            position,
        )
    }

    fn is_redriven(&self, position: Position) -> rusqlite::Result<bool> {
        flag(
            &self.0,
            "SELECT EXISTS (SELECT 1 FROM entries WHERE position = ?1 AND redriven <> 0)",
            position,
        )
    }

    fn is_announcement(&self, position: Position) -> rusqlite::Result<bool> {
        self.0
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM deliveries WHERE position = ?1 AND kind = ?2)",
            )?
            .query_row(params![position, EntryKind::Announcement.code()], |row| {
                row.get(0)
            })
    }

    fn is_passed(&self, position: Position, excluded: &Excluded) -> rusqlite::Result<bool> {
        let endpoint = self
            .0
            .prepare_cached("SELECT endpoint FROM deliveries WHERE position = ?1 AND kind = ?2")?
            .query_row(params![position, EntryKind::Delivery.code()], |row| {
                Ok(crate::database::rows::id(row, 0).ok())
            })
            .optional()?
            .flatten();
        Ok(endpoint.is_some_and(|endpoint| excluded.paused_endpoints.contains(&endpoint)))
    }
}

fn flag(sqlite: &Sqlite, sql: &str, position: Position) -> rusqlite::Result<bool> {
    sqlite
        .prepare_cached(sql)?
        .query_row([position], |row| row.get(0))
}

/// A value that the gateway cannot have written, or a broken page, never becomes readable. Other errors may be temporary.
fn damaged(position: Position, error: &rusqlite::Error) -> Damaged {
    let is_final = match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        rusqlite::Error::SqliteFailure(failure, _) => failure.code == ErrorCode::DatabaseCorrupt,
        _ => false,
    };
    Damaged {
        position,
        error: crate::report::ErrorChain(error).to_string(),
        is_final,
    }
}

#[cfg(test)]
mod tests;
