-- How long an answer's first text or thought took to come, in milliseconds from its acceptance; the pair of SQLite's.
-- NULL: neither came, or nobody knows. Programs of before go on beside it.
ALTER TABLE generation ADD COLUMN first_token_ms BIGINT;
