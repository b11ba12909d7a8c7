-- The first schema. Identifiers are UUIDs as 16 bytes, instants are microseconds since the Unix
-- epoch (UTC), JSON is text. Every table that holds a user's thing names its owner.

CREATE TABLE user (
    id            BLOB    NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL,
    username_key  TEXT    NOT NULL UNIQUE, -- normalised: what is compared
    email         TEXT    NOT NULL,
    email_key     TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,
    is_admin      INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    disabled      INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX user_by_age ON user (created_at, id);
CREATE INDEX user_admin ON user (id) WHERE is_admin = 1;

CREATE TABLE session (
    id         BLOB    NOT NULL PRIMARY KEY,
    user_id    BLOB    NOT NULL REFERENCES user (id),
    kind       TEXT    NOT NULL CHECK (kind IN ('bearer', 'cookie')),
    token_hash BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_user ON session (user_id) WHERE ended_at IS NULL;
CREATE INDEX session_by_expiry ON session (expires_at);
CREATE INDEX session_by_end ON session (ended_at) WHERE ended_at IS NOT NULL;

-- Every refresh token that a session had before its present one: its second use is theft.
CREATE TABLE session_replaced_token (
    token_hash BLOB NOT NULL PRIMARY KEY,
    session_id BLOB NOT NULL REFERENCES session (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_replaced_token_by_session ON session_replaced_token (session_id);

CREATE TABLE setting (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversation (
    id              BLOB    NOT NULL PRIMARY KEY,
    owner_id        BLOB    NOT NULL REFERENCES user (id),
    title           TEXT    NOT NULL,
    head_message_id BLOB,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    deleted_at      INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX conversation_by_update ON conversation (owner_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX conversation_deleted ON conversation (deleted_at) WHERE deleted_at IS NOT NULL;

-- `number` is the row's place in message_search; nothing else knows it.
CREATE TABLE message (
    number          INTEGER NOT NULL PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE,
    conversation_id BLOB    NOT NULL REFERENCES conversation (id),
    owner_id        BLOB    NOT NULL,
    parent_id       BLOB,
    role            TEXT    NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    content         TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    model           TEXT,
    generation_id   BLOB,
    finish_reason   TEXT,
    error_code      TEXT,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX message_by_conversation ON message (conversation_id, created_at, id);

CREATE TABLE generation (
    id              BLOB    NOT NULL PRIMARY KEY,
    owner_id        BLOB    NOT NULL,
    conversation_id BLOB    NOT NULL REFERENCES conversation (id),
    message_id      BLOB    NOT NULL,
    state           TEXT    NOT NULL
        CHECK (state IN ('queued', 'running', 'completed', 'stopped', 'failed', 'interrupted')),
    epoch           INTEGER NOT NULL CHECK (epoch >= 1),
    node_id         BLOB    NOT NULL,
    request         TEXT    NOT NULL, -- JSON
    usage           TEXT,             -- JSON
    terminal        TEXT,             -- JSON: the terminal event's payload, which outlives the log
    log_retired     INTEGER NOT NULL DEFAULT 0 CHECK (log_retired IN (0, 1)),
    created_at      INTEGER NOT NULL,
    ended_at        INTEGER
) STRICT, WITHOUT ROWID;

-- One running generation per conversation: the database itself says no to a second one.
CREATE UNIQUE INDEX generation_running ON generation (conversation_id) WHERE state IN ('queued', 'running');
CREATE INDEX generation_running_by_owner ON generation (owner_id, created_at, id)
    WHERE state IN ('queued', 'running');
CREATE INDEX generation_by_conversation ON generation (conversation_id, created_at, id);
CREATE INDEX generation_log_to_retire ON generation (ended_at) WHERE ended_at IS NOT NULL AND log_retired = 0;

-- A generation's log as far as it is folded: seq first_seq up to, not including, next_seq.
CREATE TABLE generation_log (
    generation_id BLOB    NOT NULL REFERENCES generation (id),
    first_seq     INTEGER NOT NULL,
    next_seq      INTEGER NOT NULL,
    records       BLOB    NOT NULL,
    PRIMARY KEY (generation_id, first_seq)
) STRICT, WITHOUT ROWID;

-- The newest records of all generations, one row per commit: the write-ahead log of generation_log.
CREATE TABLE journal (
    id      INTEGER NOT NULL PRIMARY KEY,
    entries BLOB    NOT NULL
) STRICT;

CREATE TABLE idempotency (
    owner_id        BLOB    NOT NULL,
    key             TEXT    NOT NULL,
    fingerprint     BLOB    NOT NULL,
    generation_id   BLOB,
    conversation_id BLOB,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (owner_id, key),
    CHECK ((generation_id IS NULL) <> (conversation_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- The owner is a term of the index, so a search never walks another user's postings. The text is
-- in message alone.
CREATE VIRTUAL TABLE message_search USING fts5 (
    owner,
    content,
    content = '',
    contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);
