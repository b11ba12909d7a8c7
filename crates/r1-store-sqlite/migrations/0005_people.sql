-- What an administrator does with accounts, the pair of PostgreSQL's.

-- When the account's newest session was made: it outlives that session's row.
ALTER TABLE user ADD COLUMN last_sign_in_at INTEGER;
UPDATE user SET last_sign_in_at = (SELECT max(created_at) FROM session WHERE user_id = user.id);

-- Since when what the account has is being removed, a slice at a time; its own row goes last.
ALTER TABLE user ADD COLUMN deleted_at INTEGER;
CREATE INDEX user_deleted ON user (deleted_at) WHERE deleted_at IS NOT NULL;

-- All that refers to an account is found by it, what has ended and what was deleted too.
DROP INDEX session_by_user;
CREATE INDEX session_of_user ON session (user_id);
CREATE INDEX conversation_of_owner ON conversation (owner_id);

-- What answers used whose rows went with their conversation. day: since 1970-01-01 UTC.
CREATE TABLE usage_of_deleted (
    owner_id          BLOB    NOT NULL,
    day               INTEGER NOT NULL,
    model             TEXT    NOT NULL,
    answers           INTEGER NOT NULL,
    estimated         INTEGER NOT NULL, -- answers whose tokens are an estimate
    uncounted         INTEGER NOT NULL, -- answers whose tokens nobody counted
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    PRIMARY KEY (owner_id, day, model)
) STRICT, WITHOUT ROWID;
