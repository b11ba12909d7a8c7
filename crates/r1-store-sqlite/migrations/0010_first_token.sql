-- How long an answer's first text or thought took to come, in milliseconds from its acceptance; the pair of PostgreSQL's.
-- NULL: neither came, or nobody knows.
ALTER TABLE generation ADD COLUMN first_token_ms INTEGER;
