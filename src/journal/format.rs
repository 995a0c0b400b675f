//! The journal's tables, and the migrations of the whole data file.

use super::{claims, completions, standing, tombstones, usage};
use crate::connections;

/// What brings a file from any older format to this one, in order. Never change one that was released; add another.
pub(crate) const MIGRATIONS: &[&str] = &[
    connections::store::SCHEMA,
    SCHEMA,
    KEYS,
    completions::SCHEMA,
    INSTALLATIONS,
    usage::SCHEMA,
    standing::SCHEMA,
    OMITTED_RAW,
    claims::SCHEMA,
    tombstones::SCHEMA,
];

/// Deliveries never change once written; what became of one stands in its small row of `entries`, so that settling a
/// thousand of them touches a few pages and no body.
const SCHEMA: &str = "
CREATE TABLE deliveries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    recurs INTEGER NOT NULL,
    platform TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    connection TEXT NOT NULL,
    topic TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
-- For what can happen again with the same content: what came in between?
CREATE INDEX deliveries_that_recur ON deliveries (connection, topic, position) WHERE recurs = 1;
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    redriven INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    settled_at INTEGER
);
CREATE INDEX entries_pending ON entries (position) WHERE state = 0;
CREATE INDEX entries_by_trouble ON entries (state, position) WHERE state IN (3, 5);
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    UNIQUE (delivery, idx)
);
-- Counters that other processes and their changes are noticed by.
CREATE TABLE marks (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO marks VALUES ('connections', 0), ('reopened', 0);
CREATE TRIGGER connections_added AFTER INSERT ON connections BEGIN UPDATE marks SET version = version + 1 WHERE name = 'connections'; END;
CREATE TRIGGER connections_changed AFTER UPDATE ON connections BEGIN UPDATE marks SET version = version + 1 WHERE name = 'connections'; END;
CREATE TRIGGER connections_removed AFTER DELETE ON connections BEGIN UPDATE marks SET version = version + 1 WHERE name = 'connections'; END;
CREATE TRIGGER secrets_added AFTER INSERT ON connection_secrets BEGIN UPDATE marks SET version = version + 1 WHERE name = 'connections'; END;
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL);
";

/// Keys get an index of their own, which is filled a while after the deliveries were written: see `keys`.
const KEYS: &str = "
CREATE TABLE keys (key BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO keys SELECT key, position FROM deliveries ORDER BY key;
INSERT INTO marks SELECT 'indexed', COALESCE(max(position), 0) FROM deliveries;
CREATE TABLE kept (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL,
    kind INTEGER NOT NULL,
    recurs INTEGER NOT NULL,
    platform TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    connection TEXT NOT NULL,
    topic TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
INSERT INTO kept SELECT position, key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body FROM deliveries;
-- Positions never come again, even where all deliveries were removed.
DELETE FROM sqlite_sequence WHERE name = 'kept';
INSERT INTO sqlite_sequence SELECT 'kept', seq FROM sqlite_sequence WHERE name = 'deliveries';
DROP TABLE deliveries;
ALTER TABLE kept RENAME TO deliveries;
CREATE INDEX deliveries_that_recur ON deliveries (connection, topic, position) WHERE recurs = 1;
";

/// A delivery's key alone identifies it. Installations remember when their newest installation or removal was signed, and
/// ids in the form of a UUID are in lower case.
const INSTALLATIONS: &str = "
DROP INDEX deliveries_that_recur;
ALTER TABLE deliveries DROP COLUMN recurs;
ALTER TABLE connections ADD COLUMN signed_at INTEGER;
ALTER TABLE connections ADD COLUMN signed_by INTEGER;
UPDATE OR REPLACE connections SET id = lower(id)
 WHERE id <> lower(id) AND length(id) = 36 AND id GLOB '????????-????-????-????-????????????'
   AND replace(id, '-', '') NOT GLOB '*[^0-9A-Fa-f]*';
UPDATE connections SET parent = lower(parent)
 WHERE parent <> lower(parent) AND length(parent) = 36 AND parent GLOB '????????-????-????-????-????????????'
   AND replace(parent, '-', '') NOT GLOB '*[^0-9A-Fa-f]*';
UPDATE connection_secrets SET connection = lower(connection)
 WHERE connection <> lower(connection) AND length(connection) = 36
   AND connection GLOB '????????-????-????-????-????????????' AND replace(connection, '-', '') NOT GLOB '*[^0-9A-Fa-f]*';
UPDATE deliveries SET connection = lower(connection)
 WHERE connection <> lower(connection) AND length(connection) = 36
   AND connection GLOB '????????-????-????-????-????????????' AND replace(connection, '-', '') NOT GLOB '*[^0-9A-Fa-f]*';
UPDATE deliveries SET endpoint = lower(endpoint)
 WHERE endpoint <> lower(endpoint) AND length(endpoint) = 36
   AND endpoint GLOB '????????-????-????-????-????????????' AND replace(endpoint, '-', '') NOT GLOB '*[^0-9A-Fa-f]*';
";

/// An event that was published without `data.raw` is read again without it.
const OMITTED_RAW: &str = "ALTER TABLE events ADD COLUMN omits_raw INTEGER NOT NULL DEFAULT 0;";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::MIGRATIONS;
    use crate::journal::{Budget, EventCursor, EventFilter, Journal, LogRead, PageLimit};
    use crate::sqlite;

    /// A file as it was before keys had an index of their own.
    fn older(rows: u8) -> Connection {
        let sqlite = Connection::open_in_memory().expect("a file");
        sqlite
            .execute_batch(&MIGRATIONS[..2].concat())
            .expect("its tables");
        for number in 0..rows {
            let insert =
                "INSERT INTO deliveries (key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body)
                          VALUES (?1, 0, 1, 'p', 'e', 'c', 't', 7, '[]', x'7b7d')";
            sqlite.execute(insert, [[number; 16]]).expect("written");
        }
        sqlite
    }

    fn number(sqlite: &Connection, query: &str) -> i64 {
        sqlite
            .query_row(query, [], |row| row.get(0))
            .expect("asked")
    }

    #[test]
    fn an_older_file_keeps_its_deliveries_and_finds_them_by_their_keys() {
        let sqlite = older(3);
        sqlite.execute_batch(MIGRATIONS[2]).expect("migrated");
        let matching = "SELECT count(*) FROM keys k JOIN deliveries d ON d.position = k.position AND d.key = k.key";
        assert_eq!(number(&sqlite, matching), 3);
        assert_eq!(
            number(&sqlite, "SELECT version FROM marks WHERE name = 'indexed'"),
            3
        );
    }

    #[tokio::test]
    async fn oldest_format_is_opened_with_its_deliveries_events_and_pending_entries() {
        let folder = tempfile::tempdir().expect("a folder");
        let older = sqlite::open(folder.path(), &MIGRATIONS[..2]).expect("made");
        for (number, state) in [(1_u8, 1), (2, 0), (3, 5), (4, 0)] {
            let shop = if number == 4 { "b" } else { "a" };
            let insert =
                "INSERT INTO deliveries (key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body)
                          VALUES (?1, 0, 1, 'woocommerce', ?2, ?2, 'order.created', 7, '[]', x'7b7d')";
            older
                .execute(insert, ([number; 16], shop))
                .expect("written");
            let entry = "INSERT INTO entries (position, state) VALUES (?1, ?2)";
            older.execute(entry, [number, state]).expect("written");
        }
        let event = "INSERT INTO events (delivery, idx, type, subject) VALUES (1, 0, 't', 's')";
        older.execute(event, []).expect("written");
        drop(older);
        let budget = Budget {
            reserve: 0,
            ..Budget::default()
        };
        let (journal, guard) = Journal::open(folder.path(), budget).expect("opened");
        let found = journal.read(|reader| {
            let (cursor, limit) = (EventCursor::default(), PageLimit::rows(9));
            let log = reader.log_after(cursor, limit, &EventFilter::default())?;
            let events = match log {
                LogRead::Page { page, .. } => page.rows.len(),
                LogRead::Ahead { .. } | LogRead::Lost { .. } => 0,
            };
            Ok((
                events,
                reader.pending_after(0)?.connections,
                reader.troubles()?,
            ))
        });
        let (events, pending, troubles) = found.await.expect("read");
        assert_eq!(events, 1);
        assert_eq!(pending, [("a".to_owned(), 2), ("b".to_owned(), 4)]);
        assert_eq!(troubles, (0, 1));
        guard.close().await;
        let migrated = sqlite::open(folder.path(), MIGRATIONS).expect("opened");
        let known = "SELECT count(*) FROM keys k JOIN deliveries d ON d.position = k.position AND d.key = k.key";
        assert_eq!(number(&migrated, known), 4, "duplicates are still found");
        let sums = "SELECT count(*) FROM usage u WHERE entries = (SELECT count(*) FROM entries e WHERE e.usage = u.id)
             AND bytes = (SELECT sum(bytes) FROM entries e WHERE e.usage = u.id)
             AND pending_bytes = (SELECT sum(bytes) FROM entries e WHERE e.usage = u.id AND state = 0)";
        assert_eq!(number(&migrated, sums), 2);
    }

    #[test]
    fn positions_never_come_again_even_where_everything_was_removed() {
        let sqlite = older(3);
        sqlite
            .execute("DELETE FROM deliveries", [])
            .expect("removed");
        sqlite.execute_batch(MIGRATIONS[2]).expect("migrated");
        let insert =
            "INSERT INTO deliveries (key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body)
                      VALUES (x'00', 0, 0, '', '', '', '', 0, '', '')";
        sqlite.execute(insert, []).expect("written");
        assert_eq!(sqlite.last_insert_rowid(), 4);
    }

    #[test]
    fn ids_in_the_form_of_a_uuid_become_lower_case() {
        let sqlite = older(2);
        sqlite
            .execute_batch(&MIGRATIONS[2..4].concat())
            .expect("migrated");
        let (upper, shop) = ("3BBCABC7-EBB7-4FC8-8829-13EA0E142123", "Shop-A-xxx");
        for id in [upper, shop] {
            let added = "INSERT INTO connections (id, platform, kind, parent, status, settings, created_at, changed_at)
                         VALUES (?1, 'p', 'k', 'My-App', 'connected', '{}', 1, 1)";
            sqlite.execute(added, [id]).expect("added");
        }
        let moved = "UPDATE deliveries SET connection = ?1 WHERE position = 1";
        sqlite.execute(moved, [upper]).expect("changed");
        sqlite.execute_batch(MIGRATIONS[4]).expect("migrated");
        let lower = upper.to_lowercase();
        for id in [shop, lower.as_str()] {
            let found = format!("SELECT count(*) FROM connections WHERE id = '{id}'");
            assert_eq!(number(&sqlite, &found), 1, "{id}");
        }
        let known = format!("SELECT count(*) FROM deliveries WHERE connection = '{lower}'");
        assert_eq!(number(&sqlite, &known), 1);
        assert_eq!(
            number(
                &sqlite,
                "SELECT count(*) FROM connections WHERE parent = 'My-App'"
            ),
            2
        );
    }
}
