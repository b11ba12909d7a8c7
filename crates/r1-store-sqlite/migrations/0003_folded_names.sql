-- Names and addresses in the form in which they are the same for everybody (r1-domain's text.rs), the pair of
-- PostgreSQL's. The program fills it in for accounts of before (folding.rs). NULL: an account that was made
-- the same by that form has it; this one is found by its own spelling, username_key or email_key.
ALTER TABLE user ADD COLUMN username_folded TEXT;
ALTER TABLE user ADD COLUMN email_folded TEXT;
ALTER TABLE user ADD COLUMN is_folded INTEGER NOT NULL DEFAULT 0 CHECK (is_folded IN (0, 1));

CREATE UNIQUE INDEX user_username_folded ON user (username_folded);
CREATE UNIQUE INDEX user_email_folded ON user (email_folded);
CREATE INDEX user_to_fold ON user (created_at, id) WHERE is_folded = 0;
