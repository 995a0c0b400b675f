-- Installations that the operator removed.
CREATE TABLE removed_installations (
    id TEXT NOT NULL,
    parent TEXT NOT NULL,
    removed_at INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    PRIMARY KEY (parent, id)
) WITHOUT ROWID;
