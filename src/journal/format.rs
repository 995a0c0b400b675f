//! The journal's tables, and the migrations of the whole data file.

use super::completions;
use crate::connections;

/// What brings a file from any older format to this one, in order. Never change one that was released; add another.
pub(crate) const MIGRATIONS: &[&str] = &[
    connections::store::SCHEMA,
    SCHEMA,
    KEYS,
    completions::SCHEMA,
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

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::MIGRATIONS;

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
}
