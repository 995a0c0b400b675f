-- An event that was published without `data.raw` is read again without it.
ALTER TABLE events ADD COLUMN omits_raw INTEGER NOT NULL DEFAULT 0;
