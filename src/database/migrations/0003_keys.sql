-- Keys get an index of their own. It is filled some time after the deliveries were written.
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
