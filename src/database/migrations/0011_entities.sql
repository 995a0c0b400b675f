-- The last known state of each entity of a store. Retention does not remove it.
CREATE TABLE entities (
    row INTEGER PRIMARY KEY,
    connection TEXT NOT NULL,
    entity TEXT NOT NULL,
    id TEXT NOT NULL,
    form TEXT NOT NULL,
    content BLOB NOT NULL,
    sequence INTEGER,
    updated_at INTEGER,
    is_deleted INTEGER NOT NULL,
    is_whole INTEGER NOT NULL,
    verbs TEXT NOT NULL,
    status TEXT,
    is_low INTEGER NOT NULL,
    position INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX entities_by_id ON entities (connection, entity, id);
CREATE INDEX entities_by_entity ON entities (entity, row);
-- The result of the comparison of a delivery's events with the known states, JSON.
ALTER TABLE entries ADD COLUMN record TEXT;
-- How far the entities of a store have been read, and where an unfinished read continues.
CREATE TABLE store_reads (
    connection TEXT NOT NULL,
    entity TEXT NOT NULL,
    watermark INTEGER NOT NULL,
    until INTEGER,
    cursor TEXT,
    finished_at INTEGER,
    failure TEXT,
    PRIMARY KEY (connection, entity)
) WITHOUT ROWID;
-- The changes that were found by reading a store, by a key that is the same if a change is found again.
CREATE TABLE found_changes (
    key BLOB PRIMARY KEY,
    connection TEXT NOT NULL,
    entity TEXT NOT NULL,
    id TEXT NOT NULL,
    gap TEXT NOT NULL,
    found_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX found_changes_by_time ON found_changes (connection, found_at);
-- Requests of the command line to a running gateway to read stores now.
CREATE TABLE reconcile_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    report TEXT,
    requested_at INTEGER NOT NULL
);
