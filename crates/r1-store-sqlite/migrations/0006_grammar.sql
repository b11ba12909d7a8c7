-- What a generation's log is written in, the pair of PostgreSQL's. Who doesn't know it shows the log, and neither
-- takes it over nor continues or cuts it. Logs of before are in the first grammar.
ALTER TABLE generation ADD COLUMN grammar INTEGER NOT NULL DEFAULT 1;
