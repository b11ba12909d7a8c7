-- Several processes that share a database, the pair of SQLite's.

-- Somebody asked to stop it where it does not run.
ALTER TABLE generation ADD COLUMN stop_requested BOOLEAN NOT NULL DEFAULT FALSE;

-- What a node runs, and what nobody has.
CREATE INDEX generation_running_by_node ON generation (node_id) WHERE state IN ('queued', 'running');

-- Every lease ends now. place: of one data directory's processes only one lives at a time.
DELETE FROM lease;
ALTER TABLE lease ALTER COLUMN expires_at SET NOT NULL;
ALTER TABLE lease ADD COLUMN place UUID;
