-- Background work, and where a title comes from, the pair of SQLite's. Programs of before go on beside it: they hand in
-- no jobs, and what they name is taken for a person's.

-- 'person', 'question' (its first words) or 'model'. Nobody knows who gave the titles of before: they stay.
ALTER TABLE conversation ADD COLUMN titled_by TEXT NOT NULL DEFAULT 'person';

-- A row from the commit that hands a job in until it is done. node_id: who has it, if anybody; only with a lease.
CREATE TABLE job (
    id              UUID   NOT NULL PRIMARY KEY,
    owner_id        UUID   NOT NULL,
    conversation_id UUID,
    kind            TEXT   NOT NULL,
    key             TEXT   NOT NULL,
    payload         TEXT   NOT NULL, -- JSON
    progress        TEXT,            -- JSON
    epoch           BIGINT NOT NULL, -- raised by each claim
    attempts        BIGINT NOT NULL,
    node_id         UUID,
    run_at          BIGINT NOT NULL, -- not before
    created_at      BIGINT NOT NULL
);

CREATE UNIQUE INDEX job_key ON job (kind, key);
CREATE INDEX job_due ON job (run_at, id);
CREATE INDEX job_of_conversation ON job (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX job_of_owner ON job (owner_id);
