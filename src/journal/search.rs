//! Searching deliveries in bounded time. There is no index by time, connection or text, so that storing a delivery stays
//! cheap; positions grow with the time of arrival, so a time is found by bisection, and a text in a bounded number of bodies.

use rusqlite::ToSql;

use super::entry::Position;
use super::event_filter::EventFilter;
use super::reader::Reader;
use super::redrive::DeliveryFilter;

/// Deliveries whose bodies one search for a text reads.
pub const SEARCHED_BODIES: usize = 20_000;
/// Deliveries of concurrent commits may be out of order by less than this, in milliseconds.
const DISORDER: i64 = 60_000;

impl Reader {
    /// Adds conditions on positions to the condition of `filter`, so that a query reads only what can fit.
    pub(super) fn bounded(
        &self,
        filter: &DeliveryFilter,
        before: Position,
    ) -> rusqlite::Result<(String, Vec<Box<dyn ToSql>>)> {
        let (mut condition, values) = filter.condition();
        let upper = match filter.until {
            Some(until) => before.min(self.position_at(until.saturating_add(DISORDER))?),
            None => before,
        };
        condition += &format!(" AND e.position < {upper}");
        if let Some(since) = filter.since {
            let lower = self.position_at(since.saturating_sub(DISORDER))?;
            condition += &format!(" AND e.position >= {lower}");
        }
        if !filter.texts.is_empty() {
            condition += &format!(
                " AND e.position >= (SELECT COALESCE(min(position), 0) FROM (SELECT position FROM entries
                     WHERE position < {upper} ORDER BY position DESC LIMIT {SEARCHED_BODIES}))"
            );
        }
        Ok((condition, values))
    }

    /// The condition on `v` (events) and `d` (deliveries) that the times of `filter` make.
    pub(super) fn event_times(&self, filter: &EventFilter) -> rusqlite::Result<String> {
        let mut conditions = vec!["1".to_owned()];
        if let Some(since) = filter.since {
            let lower = self.position_at(since.saturating_sub(DISORDER))?;
            conditions.push(format!(
                "v.delivery >= {lower} AND d.received_at >= {since}"
            ));
        }
        if let Some(until) = filter.until {
            let upper = self.position_at(until.saturating_add(DISORDER))?;
            conditions.push(format!("v.delivery < {upper} AND d.received_at < {until}"));
        }
        Ok(conditions.join(" AND "))
    }

    /// The cursor after which the newest events begin, at most `limit` of those that fit.
    ///
    /// # Errors
    /// SQLite's.
    pub fn cursor_of_newest(
        &self,
        limit: usize,
        filter: &EventFilter,
    ) -> rusqlite::Result<Position> {
        let mut conditions = self.event_times(filter)?;
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut equal = |condition: &str, value: &str| {
            values.push(Box::new(value.to_owned()));
            conditions += &format!(
                " AND {}",
                condition.replace('?', &format!("?{}", values.len()))
            );
        };
        let event_type = filter.event_type.as_deref();
        match event_type.map(|text| (text, text.strip_suffix('*'))) {
            Some((_, Some(prefix))) => equal("substr(v.type, 1, length(?)) = ?", prefix),
            Some((text, None)) => equal("v.type = ?", text),
            None => {}
        }
        if let Some(connection) = filter.stored_connection() {
            equal("d.connection = ?", &connection);
        }
        if let Some(subject) = &filter.subject {
            equal("v.subject = ?", subject);
        }
        let sql = format!(
            "SELECT COALESCE(min(position), 1) - 1 FROM (SELECT v.position FROM events v
                 JOIN deliveries d ON d.position = v.delivery WHERE {conditions}
                 ORDER BY v.position DESC LIMIT {limit})"
        );
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        self.0.query_row(&sql, &values[..], |row| row.get(0))
    }

    /// The first position whose delivery arrived at or after a time (milliseconds since 1970), up to [`DISORDER`].
    pub(super) fn position_at(&self, time: i64) -> rusqlite::Result<Position> {
        let (mut low, mut high): (Position, Position) = self
            .0
            .prepare_cached(
                "SELECT COALESCE(min(position), 0), COALESCE(max(position), 0) + 1 FROM deliveries",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut next = self.0.prepare_cached(
            "SELECT position, received_at FROM deliveries WHERE position >= ?1 ORDER BY position LIMIT 1",
        )?;
        while low < high {
            let middle = low + (high - low) / 2;
            let (position, received_at): (Position, i64) =
                next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if received_at < time {
                low = position + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
