//! Reads the last known states of entities, and makes them again from the stored deliveries.
//!
//! `entity_states` has the table.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::completions::{self, EnrichedReader};
use super::data_file::DataFile;
use super::entity_states;
use super::entry::{DeliveryState, Entry, EntryKind, Position};
use super::entry_row::{ENTRY, read_entry};
use super::error::JournalError;
use super::handle::Journal;
use super::reader::Reader;
use crate::database::rows::instant;
use crate::delivery::{ConnectionId, ReasonCode};
use crate::entities::{EntityKey, EntityState, EntityVersion, NewState};
use crate::platforms::ContentDigest;

const STATE: &str = "form, content, sequence, updated_at, is_deleted, is_whole, verbs, is_low, status, revision, position";

impl Journal {
    /// Reads the states of entities: one result for each key, in the same order. Ends early, but not before the first one,
    /// when the states have more than `max_bytes`.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub(crate) async fn entity_states(
        &self,
        keys: Vec<EntityKey>,
        max_bytes: usize,
    ) -> Result<Vec<Option<EntityState>>, JournalError> {
        self.read(move |reader| {
            let (mut states, mut bytes) = (Vec::with_capacity(keys.len()), 0);
            for key in &keys {
                if bytes > max_bytes {
                    break;
                }
                let state = read(&reader.0, key)?;
                bytes += state.as_ref().map_or(0, |state| state.form.len());
                states.push(state);
            }
            Ok(states)
        })
        .await
    }

    /// Since when states of entities are stored.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub(crate) async fn entity_memory_since(&self) -> Result<Timestamp, JournalError> {
        self.read(|reader| {
            let since = "SELECT since FROM entity_memory";
            instant(reader.0.query_row(since, [], |row| row.get(0))?)
        })
        .await
    }
}

impl Reader {
    /// The numeric ids of the entities in a range that are not deleted, in order. The begin of the range is exclusive.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn known_ids(
        &self,
        connection: &ConnectionId,
        entity: &str,
        range: RangeInclusive<u64>,
        limit: usize,
    ) -> rusqlite::Result<Vec<u64>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM entities WHERE connection = ?1 AND entity = ?2 AND id BETWEEN ?3 AND ?4
               AND length(id) = length(?3) AND is_deleted = 0 AND id NOT GLOB '*[^0-9]*' ORDER BY id LIMIT ?5",
        )?;
        let (after, to) = range.into_inner();
        let mut ids = Vec::new();
        // Ids are texts in the index. Texts of the same number of digits sort as numbers.
        for (first, last) in ranges_by_digits(after.saturating_add(1), to) {
            let limit = i64::try_from(limit.saturating_sub(ids.len())).unwrap_or(i64::MAX);
            let (first, last) = (first.to_string(), last.to_string());
            let found = statement.query_map(
                params![connection.as_str(), entity, first, last, limit],
                |row| row.get::<_, String>(0),
            )?;
            for id in found {
                ids.extend(id?.parse::<u64>().ok());
            }
        }
        Ok(ids)
    }

    /// The settled deliveries of a connection after a position, oldest first, whose events count for the known states: all but
    /// dead letters and those that were ignored for another reason than their content.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn compared_deliveries(
        &self,
        connection: &ConnectionId,
        after: Position,
        limit: u32,
    ) -> rusqlite::Result<Vec<Entry>> {
        let sql = format!(
            "SELECT {ENTRY}, {} FROM entries e JOIN deliveries d ON d.position = e.position {}
             WHERE e.usage = (SELECT id FROM usage WHERE connection = ?1) AND e.position > ?2
               AND (e.state IN (?3, ?4, ?5, ?6) OR e.state = ?7 AND e.reason = ?8)
               AND d.kind <> ?9
             ORDER BY e.position LIMIT ?10",
            completions::COLUMNS,
            completions::JOIN,
        );
        let mut completions = EnrichedReader::default();
        let mut statement = self.0.prepare(&sql)?;
        let rows = statement.query_map(
            params![
                connection.as_str(),
                after,
                DeliveryState::Logged.code(),
                DeliveryState::Published.code(),
                DeliveryState::Unrouted.code(),
                DeliveryState::Unsubscribed.code(),
                DeliveryState::Ignored.code(),
                ReasonCode::Unchanged.as_str(),
                EntryKind::Announcement.code(),
                limit
            ],
            |row| read_entry(row, &mut completions),
        )?;
        rows.collect()
    }
}

impl DataFile {
    /// Writes states that were made again from the stored deliveries, over the known ones. Returns the number of written ones.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`].
    pub(crate) fn replace_entity_states(
        &mut self,
        states: &[NewState],
    ) -> Result<usize, JournalError> {
        let mut replace = || {
            let transaction = self.sqlite.transaction()?;
            let count = entity_states::replace(&transaction, states)?;
            transaction.commit()?;
            Ok(count)
        };
        replace().map_err(|error: rusqlite::Error| JournalError::unwritable(&error))
    }
}

/// Splits a range into ranges of numbers with the same number of digits.
fn ranges_by_digits(first: u64, last: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut from = first;
    while from <= last {
        let largest = 10_u64
            .checked_pow(from.max(1).ilog10() + 1)
            .map_or(u64::MAX, |next| next - 1);
        let to = largest.min(last);
        ranges.push((from, to));
        if to == u64::MAX {
            break;
        }
        from = to + 1;
    }
    ranges
}

/// Reads the state of an entity.
fn read(sqlite: &Connection, key: &EntityKey) -> rusqlite::Result<Option<EntityState>> {
    let sql =
        format!("SELECT {STATE} FROM entities WHERE connection = ?1 AND entity = ?2 AND id = ?3");
    sqlite
        .prepare_cached(&sql)?
        .query_row(params![key.connection.as_str(), key.entity, key.id], state)
        .optional()
}

fn state(row: &Row<'_>) -> rusqlite::Result<EntityState> {
    let verbs: String = row.get(6)?;
    Ok(EntityState {
        form: row.get_ref(0)?.as_str()?.into(),
        content: ContentDigest::from_bytes(row.get(1)?),
        version: EntityVersion {
            sequence: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            updated_at: time(row, 3)?,
        },
        is_deleted: row.get(4)?,
        is_whole: row.get(5)?,
        is_low: row.get(7)?,
        status: row.get(8)?,
        published_verbs: verbs.split_whitespace().map(str::to_owned).collect(),
        revision: row.get::<_, i64>(9)?.cast_unsigned(),
        position: row.get(10)?,
    })
}

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(index)?.map(instant).transpose()
}

#[cfg(test)]
mod tests {
    use super::ranges_by_digits;

    #[test]
    fn range_is_split_where_the_number_of_digits_changes() {
        assert_eq!(ranges_by_digits(1, 9), [(1, 9)]);
        assert_eq!(ranges_by_digits(8, 120), [(8, 9), (10, 99), (100, 120)]);
        assert_eq!(ranges_by_digits(5, 4), []);
        let all = ranges_by_digits(1, u64::MAX);
        assert_eq!(all.len(), 20);
        assert_eq!(all.last(), Some(&(10_u64.pow(19), u64::MAX)));
    }
}
