-- The order of an entity's states. An older state is never written over a newer one.
ALTER TABLE entities ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
-- Since when states of entities are stored, in milliseconds. An entity that was created earlier has an unknown past.
CREATE TABLE entity_memory (since INTEGER NOT NULL);
INSERT INTO entity_memory (since) VALUES (CAST(strftime('%s', 'now') AS INTEGER) * 1000);
