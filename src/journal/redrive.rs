//! Redrive and acknowledge. A redriven entry is pending again; an acknowledged one leaves the lists of problems. Both choose
//! entries by filters, in small steps, so that no commit delays the senders for long.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction};

use super::entry::{DeliveryState, Position};
use super::keys;
use crate::delivery::{ConnectionId, DeliveryKey};

/// Which deliveries; an empty member selects all.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub key: Option<DeliveryKey>,
    pub states: Vec<DeliveryState>,
    /// The connection, or the endpoint.
    pub connection: Option<ConnectionId>,
    pub platform: Option<String>,
    pub topic: Option<String>,
    /// Reason code.
    pub reason: Option<String>,
    /// Received at or after this time, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Received before this time, in milliseconds since 1970.
    pub until: Option<i64>,
    /// Acknowledged deliveries too. A delivery that `key` names is always included.
    pub with_acknowledged: bool,
    /// Texts, one of which is in the body or in the store's response, byte by byte; empty for any content.
    pub texts: Vec<String>,
}

impl DeliveryFilter {
    /// The SQL condition on `d` (deliveries) and `e` (entries), with its values.
    pub(super) fn condition(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        // The first condition, because its query uses `?1`.
        if let Some(key) = self.key {
            values.push(Box::new(key.as_bytes().to_vec()));
            conditions.push(format!("e.position = {}", keys::POSITION));
        }
        let mut equal = |column: &str, operator: &str, value: Option<Box<dyn ToSql>>| {
            if let Some(value) = value {
                values.push(value);
                conditions.push(format!("{column} {operator} ?{}", values.len()));
            }
        };
        equal(
            "d.platform",
            "=",
            self.platform.clone().map(|v| Box::new(v) as _),
        );
        equal("d.topic", "=", self.topic.clone().map(|v| Box::new(v) as _));
        equal(
            "e.reason",
            "=",
            self.reason.clone().map(|v| Box::new(v) as _),
        );
        equal("d.received_at", ">=", self.since.map(|v| Box::new(v) as _));
        equal("d.received_at", "<", self.until.map(|v| Box::new(v) as _));
        if let Some(connection) = &self.connection {
            values.push(Box::new(connection.to_string()));
            conditions.push(format!("?{0} IN (d.connection, d.endpoint)", values.len()));
        }
        if !self.states.is_empty() {
            let codes: Vec<String> = self
                .states
                .iter()
                .map(|state| state.code().to_string())
                .collect();
            conditions.push(format!("e.state IN ({})", codes.join(", ")));
        }
        if !self.with_acknowledged && self.key.is_none() {
            conditions.push("e.acknowledged_at IS NULL".to_owned());
        }
        if !self.texts.is_empty() {
            let mut found = Vec::new();
            for text in &self.texts {
                values.push(Box::new(text.as_bytes().to_vec()));
                found.push(format!(
                    "instr(d.body, ?{0}) > 0 OR EXISTS (SELECT 1 FROM completions c JOIN answers a ON a.id = c.answer
                         WHERE c.position = d.position AND instr(a.body, ?{0}) > 0)",
                    values.len()
                ));
            }
            conditions.push(format!("({})", found.join(" OR ")));
        }
        (conditions.join(" AND "), values)
    }
}

/// What a step does with the chosen deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Publish them again: an operator redrives them.
    Redrive,
    /// Publish the events that were only logged.
    Reopen,
    /// Remove dead letters and unrouted deliveries from the lists.
    Acknowledge,
}

impl Deed {
    /// The states of the entries that may be chosen.
    fn condition(self) -> String {
        match self {
            Deed::Redrive | Deed::Reopen => "e.state <> 0".to_owned(),
            Deed::Acknowledge => format!(
                "e.state IN ({}, {}) AND e.acknowledged_at IS NULL",
                DeliveryState::Unrouted.code(),
                DeliveryState::DeadLettered.code()
            ),
        }
    }
}

/// The number of deliveries that a redrive or an acknowledgement would change.
pub(crate) fn count(
    sqlite: &Connection,
    filter: &DeliveryFilter,
    deed: Deed,
) -> rusqlite::Result<u64> {
    let (condition, values) = filter.condition();
    let sql = format!(
        "SELECT count(*) FROM entries e JOIN deliveries d ON d.position = e.position WHERE {} AND {condition}",
        deed.condition()
    );
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    sqlite
        .query_row(&sql, &values[..], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Maximum number of deliveries that one commit changes. Senders wait for this commit.
const CHUNK: usize = 500;
/// Maximum number of entries that one search reads.
const SEARCH: usize = 20_000;
/// The same for a search for a text in bodies.
const SEARCH_BODIES: usize = 500;

/// The progress of a redrive or an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Where the next step begins; `None` at the end.
    pub next: Option<Position>,
    /// Number of deliveries that this step changed.
    pub changed: u64,
}

/// The result of one search.
pub(crate) struct Found {
    pub(crate) positions: Vec<Position>,
    /// Where the next search begins; `None` at the end.
    pub(crate) next: Option<Position>,
}

/// Searches the next deliveries after a position. It does not use the writer.
pub(crate) fn find(
    sqlite: &Connection,
    filter: &DeliveryFilter,
    after: Position,
    deed: Deed,
) -> rusqlite::Result<Found> {
    let most = if filter.texts.is_empty() {
        SEARCH
    } else {
        SEARCH_BODIES
    };
    let end: Option<Position> = sqlite
        .prepare_cached(
            "SELECT position FROM entries WHERE position > ?1 ORDER BY position LIMIT 1 OFFSET ?2",
        )?
        .query_row((after, most as i64), |row| row.get(0))
        .optional()?;
    let (condition, mut values) = filter.condition();
    values.push(Box::new(after));
    values.push(Box::new(end.unwrap_or(Position::MAX)));
    let sql = format!(
        "SELECT e.position FROM entries e JOIN deliveries d ON d.position = e.position
         WHERE {} AND {condition} AND e.position > ?{} AND e.position <= ?{} ORDER BY e.position LIMIT {CHUNK}",
        deed.condition(),
        values.len() - 1,
        values.len()
    );
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let positions: Vec<Position> = sqlite
        .prepare(&sql)?
        .query_map(&values[..], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let next = if positions.len() == CHUNK {
        positions.last().copied()
    } else {
        end
    };
    Ok(Found { positions, next })
}

/// Redrives or acknowledges the found deliveries that are still settled. Returns their number.
pub(crate) fn change(
    transaction: &Transaction<'_>,
    positions: &[Position],
    deed: Deed,
) -> rusqlite::Result<u64> {
    if deed != Deed::Acknowledge {
        return reopen(transaction, positions, deed == Deed::Redrive);
    }
    let mut acknowledge = transaction.prepare_cached(
        "UPDATE entries SET acknowledged_at = ?2 WHERE position = ?1 AND state <> 0",
    )?;
    let now = Timestamp::now().as_millisecond();
    let mut changed = 0;
    for position in positions {
        changed += acknowledge.execute((position, now))? as u64;
    }
    Ok(changed)
}

fn reopen(
    transaction: &Transaction<'_>,
    positions: &[Position],
    on_demand: bool,
) -> rusqlite::Result<u64> {
    let mut reopen = transaction.prepare_cached(
        "UPDATE entries SET state = 0, redriven = MAX(redriven, ?2), attempts = 0, reason = NULL, settled_at = NULL,
             acknowledged_at = NULL WHERE position = ?1 AND state <> 0",
    )?;
    let mut reopened = 0;
    for position in positions {
        reopened += reopen.execute((position, on_demand))? as u64;
    }
    if reopened > 0 {
        transaction.execute(
            "UPDATE marks SET version = version + 1 WHERE name = 'reopened'",
            [],
        )?;
    }
    Ok(reopened)
}
