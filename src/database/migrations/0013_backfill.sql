-- The rows that were read for a request to read stores, and those that the stores count in the lists that were begun.
ALTER TABLE reconcile_requests ADD COLUMN rows_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reconcile_requests ADD COLUMN rows_expected INTEGER NOT NULL DEFAULT 0;
