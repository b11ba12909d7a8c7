-- What a generation's log is written in, the pair of SQLite's. Who doesn't know it shows the log, and neither takes
-- it over nor continues or cuts it. Logs of before are in the first grammar.
ALTER TABLE generation ADD COLUMN grammar BIGINT NOT NULL DEFAULT 1;

-- The newest grammar that a node knows. Those that serve now go on, and as long as one of them does no newer one is
-- begun; without a default none of their version joins any more, which would take kinds of records that it has
-- never heard of for damage.
ALTER TABLE lease ADD COLUMN grammar BIGINT NOT NULL DEFAULT 1;
ALTER TABLE lease ALTER COLUMN grammar DROP DEFAULT;
