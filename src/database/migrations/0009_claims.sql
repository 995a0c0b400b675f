-- Indexes of pending entries by connection, and of events by their subject.
CREATE INDEX entries_pending_by_usage ON entries (usage, position) WHERE state = 0;
ALTER TABLE events ADD COLUMN usage INTEGER NOT NULL DEFAULT 0;
UPDATE events SET usage = COALESCE((SELECT e.usage FROM entries e WHERE e.position = events.delivery), 0);
CREATE INDEX events_by_subject ON events (usage, subject);
