-- Connections and their secrets.
CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT,
    status TEXT NOT NULL,
    reason TEXT,
    before_pause TEXT,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;
-- Of a name, the row without valid_until is the current secret; others are previous ones in their grace time.
CREATE TABLE connection_secrets (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    valid_until INTEGER,
    made_at INTEGER NOT NULL
);
-- A text that is encrypted with the master key. It shows whether a given key is the one that encrypted the secrets.
CREATE TABLE seal (id INTEGER PRIMARY KEY CHECK (id = 1), word BLOB NOT NULL);
CREATE INDEX connection_secrets_by_connection ON connection_secrets (connection, name);
