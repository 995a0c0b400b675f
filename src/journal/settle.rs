//! Settles an entry: its new state, and its events in the event log.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::entity_states;
use super::entry::Settlement;
use crate::database::rows::unreadable;

pub(super) fn settle(
    transaction: &Transaction<'_>,
    settlement: &Settlement,
) -> rusqlite::Result<()> {
    let now = Timestamp::now();
    let comparison = settlement.comparison.as_ref();
    let record = comparison.and_then(|comparison| comparison.record.as_ref());
    let record = record.map(serde_json::to_string).transpose();
    let record = record.map_err(unreadable)?;
    let settled = transaction
        .prepare_cached(
            "UPDATE entries SET state = ?2, reason = ?3, attempts = ?4, settled_at = ?5, record = COALESCE(?6, record)
             WHERE position = ?1 AND state = 0",
        )?
        .execute(params![
            settlement.position,
            settlement.outcome.state().code(),
            settlement.outcome.reason(),
            settlement.attempts,
            now.as_millisecond(),
            record,
        ])?;
    if settled == 0 {
        return Ok(());
    }
    for state in comparison.map_or(&[][..], |comparison| &comparison.states) {
        entity_states::write(transaction, state, now)?;
    }
    // The events of a redriven entry are moved to the end of the log, so that readers that follow the log get them again.
    let statement = if settlement.redriven {
        "INSERT OR REPLACE INTO events (delivery, idx, type, subject, omits_raw, usage)
         SELECT ?1, ?2, ?3, ?4, ?5, usage FROM entries WHERE position = ?1"
    } else {
        "INSERT OR IGNORE INTO events (delivery, idx, type, subject, omits_raw, usage)
         SELECT ?1, ?2, ?3, ?4, ?5, usage FROM entries WHERE position = ?1"
    };
    let mut insert = transaction.prepare_cached(statement)?;
    for event in settlement.outcome.events() {
        insert.execute(params![
            settlement.position,
            event.index,
            event.event_type,
            event.subject,
            event.omits_raw
        ])?;
    }
    Ok(())
}
