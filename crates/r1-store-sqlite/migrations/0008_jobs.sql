-- Background work, and where a title comes from, the pair of PostgreSQL's.

-- 'person', 'question' (its first words) or 'model'. Nobody knows who gave the titles of before: they stay.
ALTER TABLE conversation ADD COLUMN titled_by TEXT NOT NULL DEFAULT 'person';

-- A row from the commit that hands a job in until it is done. node_id: who has it, if anybody.
CREATE TABLE job (
    id              BLOB    NOT NULL PRIMARY KEY,
    owner_id        BLOB    NOT NULL,
    conversation_id BLOB,
    kind            TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    payload         TEXT    NOT NULL, -- JSON
    progress        TEXT,             -- JSON
    epoch           INTEGER NOT NULL, -- raised by each claim
    attempts        INTEGER NOT NULL,
    node_id         BLOB,
    run_at          INTEGER NOT NULL, -- not before
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX job_key ON job (kind, key);
CREATE INDEX job_due ON job (run_at, id);
CREATE INDEX job_of_conversation ON job (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX job_of_owner ON job (owner_id);
