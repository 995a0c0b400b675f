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
