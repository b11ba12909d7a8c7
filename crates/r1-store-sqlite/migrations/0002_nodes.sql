-- Several processes that share a database, the pair of PostgreSQL's; one process has this one.

-- Somebody asked to stop it where it does not run.
ALTER TABLE generation ADD COLUMN stop_requested INTEGER NOT NULL DEFAULT 0 CHECK (stop_requested IN (0, 1));
