-- Bytes and entries of each connection, kept up to date by triggers.
CREATE TABLE usage (
    id INTEGER PRIMARY KEY,
    connection TEXT NOT NULL UNIQUE,
    entries INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    pending_bytes INTEGER NOT NULL DEFAULT 0,
    removed_through INTEGER NOT NULL DEFAULT 0
);
INSERT INTO usage (connection) SELECT DISTINCT connection FROM deliveries ORDER BY connection;
ALTER TABLE entries ADD COLUMN usage INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE entries SET usage = u.id, bytes = length(d.body) + length(d.headers) + 512
    FROM deliveries d JOIN usage u ON u.connection = d.connection WHERE d.position = entries.position;
UPDATE usage SET entries = s.entries, bytes = s.bytes, pending_bytes = s.pending_bytes
    FROM (SELECT usage, count(*) AS entries, sum(bytes) AS bytes, sum((state = 0) * bytes) AS pending_bytes
          FROM entries GROUP BY usage) s WHERE s.usage = usage.id;
CREATE TRIGGER entries_counted AFTER INSERT ON entries BEGIN
    UPDATE usage SET entries = entries + 1, bytes = bytes + NEW.bytes,
                     pending_bytes = pending_bytes + (NEW.state = 0) * NEW.bytes WHERE id = NEW.usage;
END;
CREATE TRIGGER entries_recounted AFTER UPDATE OF state, bytes ON entries BEGIN
    UPDATE usage SET bytes = bytes + NEW.bytes - OLD.bytes,
                     pending_bytes = pending_bytes + (NEW.state = 0) * NEW.bytes - (OLD.state = 0) * OLD.bytes
        WHERE id = NEW.usage;
END;
CREATE TRIGGER entries_uncounted AFTER DELETE ON entries BEGIN
    UPDATE usage SET entries = entries - 1, bytes = bytes - OLD.bytes,
                     pending_bytes = pending_bytes - (OLD.state = 0) * OLD.bytes WHERE id = OLD.usage;
END;
-- The time that retention by age believes: see `clock`.
INSERT INTO marks VALUES ('clock', COALESCE(
    (SELECT received_at FROM deliveries ORDER BY position DESC LIMIT 1), CAST(unixepoch('subsec') * 1000 AS INTEGER)));
