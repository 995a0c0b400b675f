-- Acknowledged deliveries, declared bindings, and the state of the broker.
ALTER TABLE entries ADD COLUMN acknowledged_at INTEGER;
DROP INDEX entries_by_trouble;
CREATE INDEX entries_in_trouble ON entries (state, position) WHERE state IN (3, 5) AND acknowledged_at IS NULL;
CREATE TABLE bindings (
    exchange TEXT NOT NULL,
    queue TEXT NOT NULL,
    pattern TEXT NOT NULL,
    PRIMARY KEY (exchange, queue, pattern)
) WITHOUT ROWID;
CREATE TABLE standing (name TEXT PRIMARY KEY, detail TEXT NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
