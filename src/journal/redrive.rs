//! Redrive: settled entries become pending again, chosen by filters, a little at a time.

use rusqlite::{Connection, ToSql, Transaction};

use super::entry::{Position, State};
use super::keys;
use crate::delivery::{ConnectionId, DeliveryKey};

/// Which deliveries. Empty means all.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only this one.
    pub key: Option<DeliveryKey>,
    /// Only in one of these states.
    pub states: Vec<State>,
    /// Only of this connection, or of the endpoint of this name.
    pub connection: Option<ConnectionId>,
    /// Only of this platform.
    pub platform: Option<String>,
    /// Only of this topic.
    pub topic: Option<String>,
    /// Only with this reason.
    pub reason: Option<String>,
    /// Only those that arrived at or after this, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Only those that arrived before this, in milliseconds since 1970.
    pub until: Option<i64>,
}

impl DeliveryFilter {
    /// The condition on `d` (deliveries) and `e` (entries), with its values.
    pub(super) fn condition(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        // The first, because its query speaks of `?1`.
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
        (conditions.join(" AND "), values)
    }
}

/// How many settled deliveries a redrive would re-open.
pub(crate) fn count(sqlite: &Connection, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
    let (condition, values) = filter.condition();
    let sql = format!(
        "SELECT count(*) FROM entries e JOIN deliveries d ON d.position = e.position WHERE e.state <> 0 AND {condition}"
    );
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    sqlite
        .query_row(&sql, &values[..], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Deliveries re-opened in one commit: senders wait no longer than that takes.
const CHUNK: usize = 500;

/// How a redrive goes on.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Where to go on; `None` when done.
    pub next: Option<Position>,
    /// Re-opened by this step.
    pub reopened: u64,
}

/// Re-opens the next few after that position.
pub(crate) fn step(
    transaction: &Transaction<'_>,
    filter: &DeliveryFilter,
    after: Position,
    on_demand: bool,
) -> rusqlite::Result<Progress> {
    let (condition, mut values) = filter.condition();
    values.push(Box::new(after));
    let sql = format!(
        "SELECT e.position FROM entries e JOIN deliveries d ON d.position = e.position
         WHERE e.state <> 0 AND {condition} AND e.position > ?{} ORDER BY e.position LIMIT {CHUNK}",
        values.len()
    );
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let positions: Vec<Position> = transaction
        .prepare(&sql)?
        .query_map(&values[..], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut reopen = transaction.prepare_cached(
        "UPDATE entries SET state = 0, redriven = MAX(redriven, ?2), attempts = 0, reason = NULL, settled_at = NULL WHERE position = ?1",
    )?;
    for position in &positions {
        reopen.execute((position, on_demand))?;
    }
    if !positions.is_empty() {
        transaction.execute(
            "UPDATE marks SET version = version + 1 WHERE name = 'reopened'",
            [],
        )?;
    }
    let next = if positions.len() < CHUNK {
        None
    } else {
        positions.last().copied()
    };
    Ok(Progress {
        next,
        reopened: positions.len() as u64,
    })
}
