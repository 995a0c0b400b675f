-- Responses of stores that complete thin deliveries.
CREATE TABLE completions (
    position INTEGER PRIMARY KEY,
    outcome INTEGER NOT NULL,
    reason TEXT,
    answer INTEGER,
    asked_at INTEGER NOT NULL
);
CREATE INDEX completions_by_answer ON completions (answer) WHERE answer IS NOT NULL;
-- One answer may complete many deliveries, and stays as long as one of them does.
CREATE TABLE answers (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
