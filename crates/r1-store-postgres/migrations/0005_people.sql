-- What an administrator does with accounts, the pair of SQLite's. Programs of before go on beside it: of the
-- sessions that they make the rows tell, and of the conversations that they remove nothing is kept.

-- When the account's newest session was made: it outlives that session's row.
ALTER TABLE account ADD COLUMN last_sign_in_at BIGINT;
UPDATE account SET last_sign_in_at = (SELECT max(created_at) FROM session WHERE user_id = account.id);

-- Since when what the account has is being removed, a slice at a time; its own row goes last.
ALTER TABLE account ADD COLUMN deleted_at BIGINT;
CREATE INDEX account_deleted ON account (deleted_at) WHERE deleted_at IS NOT NULL;

-- All that refers to an account is found by it, what has ended and what was deleted too.
DROP INDEX session_by_user;
CREATE INDEX session_of_user ON session (user_id);
CREATE INDEX conversation_of_owner ON conversation (owner_id);

-- What answers used whose rows went with their conversation. day: since 1970-01-01 UTC.
CREATE TABLE usage_of_deleted (
    owner_id          UUID   NOT NULL,
    day               BIGINT NOT NULL,
    model             TEXT   NOT NULL,
    answers           BIGINT NOT NULL,
    estimated         BIGINT NOT NULL, -- answers whose tokens are an estimate
    uncounted         BIGINT NOT NULL, -- answers whose tokens nobody counted
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    PRIMARY KEY (owner_id, day, model)
);
