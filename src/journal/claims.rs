//! Claims: which connections have pending entries, and the oldest of them per connection.
//!
//! A claim names connections and how much each may get. The index `entries_pending_by_usage` is sorted by connection and
//! position, so a backlog of one connection costs another connection's claim nothing, however long the backlog is.
//!
//! A row that cannot be read is reported as [`Damaged`] and never fails the claim of the others.

use std::collections::HashSet;

use rusqlite::{Connection as Sqlite, ErrorCode, OptionalExtension, params};

use super::completions::EnrichedReader;
use super::entry::{Entry, EntryKind, Position};
use super::reader::Reader;
use crate::delivery::ConnectionId;

/// Entries of paused endpoints that one claim passes over per connection.
const MAX_PASSED: usize = 256;

/// A connection to claim from, and how much.
#[derive(Clone, Debug)]
pub struct Want {
    /// The connection's name as the journal has it.
    pub connection: String,
    /// The first position that may be claimed.
    pub from: Position,
    /// Maximum number of entries.
    pub entries: usize,
    /// Stops after so many bytes; the first entry may be larger.
    pub bytes: usize,
    /// `true` for a paused connection: only the gateway's announcements are claimed, and only before the first delivery.
    pub is_paused: bool,
}

/// What a claim must not return.
#[derive(Clone, Debug, Default)]
pub struct Excluded {
    /// Entries that are in flight.
    pub in_flight: HashSet<Position>,
    /// Deliveries that came in by these connections are passed over.
    pub paused_endpoints: HashSet<ConnectionId>,
}

/// The result for one [`Want`].
#[derive(Debug, Default)]
pub struct Claimed {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// Where to continue; `None` if nothing claimable is left.
    pub next: Option<Position>,
    /// `true` if a redriven entry was passed over because it is in hand: it may have been redriven since.
    pub passed_over: bool,
    /// Rows that cannot be read.
    pub damaged: Vec<Damaged>,
}

/// A pending entry that cannot be read.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Its position.
    pub position: Position,
    /// The error, without any content of the row.
    pub error: String,
    /// `false` if the file could not be read at the moment, for example because of the disk: try again later.
    pub is_final: bool,
}

/// Which connections have entries that became pending after a position.
#[derive(Debug, Default)]
pub struct PendingConnections {
    /// Each connection with the first such position.
    pub connections: Vec<(String, Position)>,
    /// How far the journal was searched.
    pub through: Position,
    /// `false` if there is more after `through`.
    pub is_complete: bool,
}

/// Rows that one search for arrivals reads.
const MAX_ARRIVALS: usize = 4_096;

impl Reader {
    /// All connections with pending entries, and the newest position.
    pub(crate) fn pending_connections(&self) -> rusqlite::Result<PendingConnections> {
        // Read first: newer entries may be found or not.
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
                // A paused connection's announcement must not overtake what is in hand.
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
                // Settled since the index was read.
                Ok(None) if !self.is_pending(position)? => {}
                Ok(None) => claimed.damaged.push(Damaged {
                    position,
                    error: "the delivery of this entry is missing".to_owned(),
                    is_final: true,
                }),
                Err(error) => {
                    let damaged = damaged(position, &error);
                    // What may be readable later keeps its place: nothing after it is claimed before.
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
        self.0
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM events WHERE usage = ?1 AND subject = ?2 AND type NOT LIKE '%.deleted')",
            )?
            .query_row(params![self.usage(connection.as_str())?, subject], |row| {
                row.get(0)
            })
    }

    /// The number that a connection has in `entries`; 0 if it has none.
    fn usage(&self, connection: &str) -> rusqlite::Result<i64> {
        self.0
            .prepare_cached("SELECT id FROM usage WHERE connection = ?1")?
            .query_row([connection], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
    }

    /// The connection with a number; empty if there is none.
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

/// A value that the gateway cannot have written, or a broken page, stays as it is. Anything else may pass.
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
mod tests {
    use super::*;
    use crate::database::MIGRATIONS;
    use crate::journal::damaged::DamagedRows;

    /// A journal with these connections' pending entries, in this order.
    fn journal(connections: &[&str]) -> Reader {
        let sqlite = Sqlite::open_in_memory().expect("a file");
        sqlite
            .execute_batch(&MIGRATIONS.concat())
            .expect("its tables");
        for (number, connection) in connections.iter().enumerate() {
            let key = [u8::try_from(number).expect("few"); 16];
            sqlite
                .execute(
                    "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
                     VALUES (?1, 0, 'p', ?2, ?2, 't', 7, '[]', x'7b7d')",
                    params![key, connection],
                )
                .expect("written");
            let position = sqlite.last_insert_rowid();
            sqlite
                .execute(
                    "INSERT OR IGNORE INTO usage (connection) VALUES (?1)",
                    [connection],
                )
                .expect("written");
            sqlite
                .execute(
                    "INSERT INTO entries (position, state, usage) SELECT ?1, 0, id FROM usage WHERE connection = ?2",
                    params![position, connection],
                )
                .expect("written");
        }
        Reader(sqlite, DamagedRows::default())
    }

    fn want(connection: &str, entries: usize) -> Want {
        Want {
            connection: connection.to_owned(),
            from: 0,
            entries,
            bytes: 1 << 20,
            is_paused: false,
        }
    }

    fn positions(claimed: &Claimed) -> Vec<Position> {
        claimed.entries.iter().map(|entry| entry.position).collect()
    }

    #[test]
    fn a_claim_takes_the_oldest_entries_of_each_connection() {
        let reader = journal(&["a", "a", "a", "b", "a", "b"]);
        let found = reader.pending_connections().expect("read");
        assert_eq!(
            found.connections,
            [("a".to_owned(), 0), ("b".to_owned(), 0)]
        );
        assert_eq!(found.through, 6);
        let after = reader.pending_after(3).expect("read").connections;
        assert_eq!(after, [("b".to_owned(), 4), ("a".to_owned(), 5)]);
        let excluded = Excluded {
            in_flight: HashSet::from([2]),
            ..Excluded::default()
        };
        let claimed = reader
            .claim(&[want("a", 2), want("b", 9)], &excluded)
            .expect("read");
        assert_eq!(positions(&claimed[0]), [1, 3]);
        assert_eq!(claimed[0].next, Some(5));
        assert_eq!(positions(&claimed[1]), [4, 6]);
        assert_eq!(claimed[1].next, None);
    }

    #[test]
    fn damaged_rows_are_reported_and_do_not_fail_the_claim() {
        for damage in [
            "UPDATE deliveries SET headers = 'no JSON' WHERE position = 2",
            "UPDATE deliveries SET headers = x'ff' WHERE position = 2",
            "UPDATE deliveries SET body = 7 WHERE position = 2",
            "UPDATE deliveries SET key = x'00' WHERE position = 2",
            "UPDATE deliveries SET endpoint = '../..' WHERE position = 2",
            "UPDATE deliveries SET connection = '' WHERE position = 2",
            "UPDATE deliveries SET kind = 'x' WHERE position = 2",
            "UPDATE deliveries SET received_at = 9223372036854775807 WHERE position = 2",
            "UPDATE deliveries SET platform = x'ff' WHERE position = 2",
            "UPDATE deliveries SET topic = x'fe' WHERE position = 2",
            "UPDATE entries SET attempts = -1 WHERE position = 2",
            "UPDATE entries SET attempts = 'x' WHERE position = 2",
            "UPDATE entries SET redriven = 'x' WHERE position = 2",
            "DELETE FROM deliveries WHERE position = 2",
            "INSERT INTO completions VALUES (2, 0, NULL, NULL, 'x')",
            "INSERT INTO completions VALUES (2, 'x', NULL, NULL, 7)",
            "INSERT INTO completions VALUES (2, 2, x'ff', NULL, 7)",
        ] {
            let reader = journal(&["a", "a", "a"]);
            reader.0.execute(damage, []).expect("damaged");
            let claimed = reader
                .claim(&[want("a", 9)], &Excluded::default())
                .expect("read");
            assert_eq!(positions(&claimed[0]), [1, 3], "{damage}");
            let damaged = &claimed[0].damaged;
            assert_eq!(damaged.len(), 1, "{damage}");
            assert!(damaged[0].position == 2 && damaged[0].is_final, "{damage}");
        }
    }

    #[test]
    fn a_paused_connection_gives_announcements_before_its_first_delivery_only() {
        let reader = journal(&["a", "a", "a"]);
        let paused = Want {
            is_paused: true,
            ..want("a", 9)
        };
        let announce = |position: Position| {
            reader
                .0
                .execute(
                    "UPDATE deliveries SET kind = 1 WHERE position = ?1",
                    [position],
                )
                .expect("written")
        };
        announce(3);
        let claim = |in_flight: &[Position]| {
            let excluded = Excluded {
                in_flight: in_flight.iter().copied().collect(),
                ..Excluded::default()
            };
            let claimed = reader.claim(std::slice::from_ref(&paused), &excluded);
            positions(&claimed.expect("read")[0])
        };
        assert!(claim(&[]).is_empty());
        announce(1);
        assert_eq!(claim(&[]), [1]);
        assert!(claim(&[1]).is_empty(), "it must not overtake");
    }

    #[test]
    fn an_entity_is_known_once_an_event_other_than_its_deletion_was_told() {
        let reader = journal(&["a"]);
        let insert = "INSERT INTO events (delivery, idx, type, subject, usage) VALUES (1, ?1, ?2, 'product/7', 1)";
        let known = |connection: &str| {
            let id = ConnectionId::new(connection).expect("an id");
            reader.is_known(&id, "product/7").expect("read")
        };
        reader
            .0
            .execute(insert, params![0, "cartwire.product.deleted"])
            .expect("written");
        assert!(!known("a"));
        reader
            .0
            .execute(insert, params![1, "cartwire.product.updated"])
            .expect("written");
        assert!(known("a") && !known("b"));
    }
}
