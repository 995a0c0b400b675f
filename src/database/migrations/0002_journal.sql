-- Deliveries never change after they were written. The state of each delivery is in its small row of `entries`, so that
-- settling a thousand of them touches a few pages and no body.
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
