-- Rows that were read so far for a request to read stores.
ALTER TABLE reconcile_requests ADD COLUMN rows_read INTEGER NOT NULL DEFAULT 0;
