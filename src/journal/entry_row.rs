//! The columns that make an [`Entry`], and how a row becomes one.

use bytes::Bytes;
use rusqlite::Row;

use super::completions::{self, EnrichedReader};
use super::entry::{Entry, EntryKind};
use crate::database::rows::{id, instant, unreadable};
use crate::delivery::{DeliveryKey, JournaledDelivery};
use crate::entities::DeliveryRecord;

/// The columns of an [`Entry`] in a query.
pub(super) const ENTRY: &str = "e.position, d.key, d.kind, e.redriven, e.attempts, d.platform, d.endpoint, d.connection, d.topic, d.received_at, d.headers, d.body, e.record";
/// Number of columns in [`ENTRY`]. The columns of the enrichment follow, then the query's own.
const ENTRY_COLUMNS: usize = 13;
/// Index of the first column of the query itself.
pub(super) const OWN: usize = ENTRY_COLUMNS + completions::COLUMN_COUNT;

pub(super) fn read_entry(
    row: &Row<'_>,
    completions: &mut EnrichedReader,
) -> rusqlite::Result<Entry> {
    Ok(Entry {
        position: row.get(0)?,
        key: DeliveryKey::from_bytes(row.get(1)?),
        kind: EntryKind::from_code(row.get(2)?),
        redriven: row.get(3)?,
        attempts: row.get(4)?,
        delivery: JournaledDelivery {
            platform: row.get(5)?,
            endpoint: id(row, 6)?,
            connection: id(row, 7)?,
            topic: row.get(8)?,
            received_at: instant(row.get(9)?)?,
            headers: serde_json::from_str(row.get_ref(10)?.as_str()?).map_err(unreadable)?,
            body: Bytes::copy_from_slice(row.get_ref(11)?.as_blob()?),
            enriched: completions.read(row, ENTRY_COLUMNS)?,
        },
        record: record(row, 12)?,
    })
}

/// The stored result of the comparison of a delivery's events.
pub(super) fn record(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<DeliveryRecord>> {
    let text = row.get_ref(index)?.as_str_or_null()?;
    let record = text.map(serde_json::from_str).transpose();
    record.map_err(unreadable)
}
