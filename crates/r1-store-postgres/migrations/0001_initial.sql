-- The first schema, the pair of SQLite's. Instants are microseconds since the Unix epoch (UTC), JSON
-- is text, texts hold no U+0000 (see column.rs). Every table that holds a user's thing names its owner.

CREATE TABLE account ( -- SQLite's "user", which is a keyword here
    id            UUID    NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL,
    username_key  TEXT    NOT NULL, -- normalised: what is compared
    email         TEXT    NOT NULL,
    email_key     TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    is_admin      BOOLEAN NOT NULL,
    disabled      BOOLEAN NOT NULL DEFAULT FALSE,
    created_at    BIGINT  NOT NULL,
    CONSTRAINT account_username UNIQUE (username_key),
    CONSTRAINT account_email UNIQUE (email_key)
);

CREATE INDEX account_by_age ON account (created_at, id);
CREATE INDEX account_admin ON account (id) WHERE is_admin;

CREATE TABLE session (
    id         UUID   NOT NULL PRIMARY KEY,
    user_id    UUID   NOT NULL REFERENCES account (id),
    kind       TEXT   NOT NULL CHECK (kind IN ('bearer', 'cookie')),
    token_hash BYTEA  NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT
);

CREATE INDEX session_by_user ON session (user_id) WHERE ended_at IS NULL;
CREATE INDEX session_by_expiry ON session (expires_at);
CREATE INDEX session_by_end ON session (ended_at) WHERE ended_at IS NOT NULL;

-- Every refresh token that a session had before its present one: its second use is theft.
CREATE TABLE session_replaced_token (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    session_id UUID  NOT NULL REFERENCES session (id)
);

CREATE INDEX session_replaced_token_by_session ON session_replaced_token (session_id);

CREATE TABLE setting (
    key   TEXT  NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- The processes that may write what generations do. A process is fenced by the deletion of its row: an
-- append holds it FOR KEY SHARE, so that whoever deletes it waits for what is under way, and nothing
-- comes after. expires_at is by this server's clock; NULL: for as long as no other process serves.
CREATE TABLE lease (
    node_id    UUID NOT NULL PRIMARY KEY,
    expires_at BIGINT
);

CREATE TABLE conversation (
    id              UUID   NOT NULL PRIMARY KEY,
    owner_id        UUID   NOT NULL REFERENCES account (id),
    title           TEXT   NOT NULL,
    head_message_id UUID,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    deleted_at      BIGINT
);

CREATE INDEX conversation_by_update ON conversation (owner_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX conversation_deleted ON conversation (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE message (
    id              UUID   NOT NULL PRIMARY KEY,
    conversation_id UUID   NOT NULL REFERENCES conversation (id),
    owner_id        UUID   NOT NULL,
    parent_id       UUID,
    role            TEXT   NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    content         TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    model           TEXT,
    generation_id   UUID,
    finish_reason   TEXT,
    error_code      TEXT,
    created_at      BIGINT NOT NULL
);

CREATE INDEX message_by_conversation ON message (conversation_id, created_at, id);

CREATE TABLE generation (
    id              UUID    NOT NULL PRIMARY KEY,
    owner_id        UUID    NOT NULL,
    conversation_id UUID    NOT NULL REFERENCES conversation (id),
    message_id      UUID    NOT NULL,
    state           TEXT    NOT NULL
        CHECK (state IN ('queued', 'running', 'completed', 'stopped', 'failed', 'interrupted')),
    epoch           BIGINT  NOT NULL CHECK (epoch >= 1),
    node_id         UUID    NOT NULL, -- whose lease it is run under
    request         TEXT    NOT NULL, -- JSON
    usage           TEXT,             -- JSON
    terminal        TEXT,             -- JSON: the terminal event's payload, which outlives the log
    log_retired     BOOLEAN NOT NULL DEFAULT FALSE,
    created_at      BIGINT  NOT NULL,
    ended_at        BIGINT
);

-- One running generation per conversation: the database itself says no to a second one.
CREATE UNIQUE INDEX generation_running ON generation (conversation_id) WHERE state IN ('queued', 'running');
CREATE INDEX generation_running_by_owner ON generation (owner_id, created_at, id)
    WHERE state IN ('queued', 'running');
CREATE INDEX generation_by_conversation ON generation (conversation_id, created_at, id);
CREATE INDEX generation_log_to_retire ON generation (ended_at) WHERE ended_at IS NOT NULL AND NOT log_retired;

-- A generation's log, a row per append: seq first_seq up to, not including, next_seq. No foreign key:
-- the check would lock the generation's row for each; an append joins it anyhow.
CREATE TABLE generation_log (
    generation_id UUID   NOT NULL,
    first_seq     BIGINT NOT NULL,
    next_seq      BIGINT NOT NULL,
    records       BYTEA  NOT NULL,
    PRIMARY KEY (generation_id, first_seq)
);

CREATE TABLE idempotency (
    owner_id        UUID   NOT NULL,
    key             TEXT   NOT NULL,
    fingerprint     BYTEA  NOT NULL,
    generation_id   UUID,
    conversation_id UUID,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (owner_id, key),
    CHECK ((generation_id IS NULL) <> (conversation_id IS NULL))
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- The owner is a lexeme of the document, so a search never walks another user's postings. The text is
-- in message alone. What waits to be sorted into the index is kept short: a commit may have to do it.
CREATE TABLE message_search (
    message_id UUID     NOT NULL PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    document   TSVECTOR NOT NULL
);

CREATE INDEX message_search_document ON message_search USING gin (document) WITH (gin_pending_list_limit = 256);
