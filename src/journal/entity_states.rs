//! Writes the last known states of entities: one row per entity of a connection.
//!
//! A state is written in the transaction that settles its delivery. Retention does not remove states.
//!
//! ```text
//! row                    the cursor of lists
//! connection, entity, id unique
//! form                   the normalized entity, JSON
//! content                the digest of the store's payload
//! sequence, updated_at   the version, by the store's own counter and clock
//! is_deleted, is_whole
//! verbs                  the published verbs that still describe the state
//! status, is_low         for lists: the order's or product's status; the stock is low or out
//! revision               the number of states so far: a state with a lower one is not written
//! position, seen_at      the newest delivery, and when it was settled
//! ```

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::database::rows::instant;
use crate::delivery::ConnectionId;
use crate::entities::{EntityState, NewState};

/// Writes a state, unless its connection was removed or a newer state is stored. A delivery with several entities can be
/// settled after a later delivery about one of them.
pub(super) fn write(
    transaction: &Transaction<'_>,
    new: &NewState,
    seen_at: Timestamp,
) -> rusqlite::Result<()> {
    let NewState { key, state } = new;
    let verbs: Vec<&str> = state.published_verbs.iter().map(String::as_str).collect();
    transaction
        .prepare_cached(
            "INSERT INTO entities (connection, entity, id, form, content, sequence, updated_at, is_deleted, is_whole,
                                   verbs, status, is_low, position, seen_at, revision)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15
             WHERE EXISTS (SELECT 1 FROM connections WHERE id = ?1)
             ON CONFLICT (connection, entity, id) DO UPDATE SET form = ?4, content = ?5, sequence = ?6, updated_at = ?7,
                 is_deleted = ?8, is_whole = ?9, verbs = ?10, status = ?11, is_low = ?12, position = ?13, seen_at = ?14,
                 revision = ?15
             WHERE revision < ?15",
        )?
        .execute(params![
            key.connection.as_str(),
            key.entity,
            key.id,
            state.form,
            state.content.as_bytes(),
            state.version.sequence.map(u64::cast_signed),
            state.version.updated_at.map(Timestamp::as_millisecond),
            state.is_deleted,
            state.is_whole,
            verbs.join(" "),
            state.status,
            state.is_low,
            state.position,
            seen_at.as_millisecond(),
            state.revision.cast_signed(),
        ])?;
    Ok(())
}

/// Writes states that were made again from the stored deliveries, over the known ones. Returns the number of written ones. If
/// retention removed the delivery with the whole entity, the known state stays: the other deliveries have a part of it.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    states: &[NewState],
) -> rusqlite::Result<usize> {
    let mut written = 0;
    for new in states {
        let NewState { key, state } = new;
        let stored: Option<(i64, bool)> = transaction
            .prepare_cached(
                "SELECT revision, is_whole FROM entities WHERE connection = ?1 AND entity = ?2 AND id = ?3",
            )?
            .query_row(
                params![key.connection.as_str(), key.entity, key.id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (revision, is_whole) = stored.unwrap_or_default();
        if is_whole && !state.is_whole && !state.is_deleted {
            continue;
        }
        written += 1;
        let seen_at: i64 = transaction
            .prepare_cached("SELECT received_at FROM deliveries WHERE position = ?1")?
            .query_row([state.position], |row| row.get(0))?;
        let newer = NewState {
            key: key.clone(),
            state: EntityState {
                revision: state.revision + revision.cast_unsigned(),
                ..state.clone()
            },
        };
        write(transaction, &newer, instant(seen_at)?)?;
    }
    Ok(written)
}

/// Removes the states of a removed connection.
pub(super) fn remove(transaction: &Transaction<'_>, id: &ConnectionId) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM entities WHERE connection = ?1")?
        .execute([id.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::database::MIGRATIONS;
    use crate::entities::{EntityKey, EntityVersion};
    use crate::platforms::ContentDigest;

    fn state(revision: u64) -> EntityState {
        EntityState {
            revision,
            position: 1,
            form: format!(r#"{{"revision":{revision}}}"#).into(),
            status: None,
            content: ContentDigest::from_bytes([0; 16]),
            version: EntityVersion::default(),
            is_deleted: false,
            is_low: false,
            is_whole: true,
            published_verbs: BTreeSet::new(),
        }
    }

    /// The tables with a connection and a delivery.
    fn tables() -> rusqlite::Connection {
        let sqlite = rusqlite::Connection::open_in_memory().expect("a file");
        sqlite.execute_batch(&MIGRATIONS.concat()).expect("tables");
        let rows = "INSERT INTO connections (id, platform, kind, status, settings, created_at, changed_at)
                      VALUES ('a', 'woocommerce', 'woocommerce', 'active', '{}', 1, 1);
                    INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
                      VALUES (zeroblob(16), 0, 'woocommerce', 'a', 'a', 'order.created', 7, '[]', x'7b7d');";
        sqlite.execute_batch(rows).expect("rows");
        sqlite
    }

    fn key() -> EntityKey {
        EntityKey {
            connection: ConnectionId::new("a").expect("an id"),
            entity: "order",
            id: "7".to_owned(),
        }
    }

    fn stored_form(sqlite: &rusqlite::Connection) -> String {
        sqlite
            .query_row("SELECT form FROM entities", [], |row| row.get(0))
            .expect("one row")
    }

    #[test]
    fn part_of_an_entity_does_not_replace_the_whole_one() {
        let mut sqlite = tables();
        let transaction = sqlite.transaction().expect("begun");
        let of = |state: EntityState| NewState { key: key(), state };
        let whole = replace(&transaction, &[of(state(1))]).expect("written");
        let part = EntityState {
            is_whole: false,
            ..state(5)
        };
        let part = replace(&transaction, &[of(part)]).expect("read");
        transaction.commit().expect("committed");
        assert_eq!((whole, part), (1, 0));
        assert_eq!(stored_form(&sqlite), r#"{"revision":1}"#);
    }

    #[test]
    fn older_state_is_not_written_over_a_newer_one() {
        let mut sqlite = tables();
        for revision in [1, 3, 2] {
            let transaction = sqlite.transaction().expect("begun");
            let new = NewState {
                key: key(),
                state: state(revision),
            };
            write(&transaction, &new, Timestamp::UNIX_EPOCH).expect("written");
            transaction.commit().expect("committed");
        }
        assert_eq!(stored_form(&sqlite), r#"{"revision":3}"#);
    }
}
