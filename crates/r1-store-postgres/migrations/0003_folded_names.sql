-- Names and addresses in the form in which they are the same for everybody (r1-domain's text.rs), the pair of
-- SQLite's. The program fills it in for accounts of before, and for those that a program of before makes
-- meanwhile (folding.rs). NULL: an account that was made the same by that form has it; this one is found by
-- its own spelling, username_key or email_key.
ALTER TABLE account ADD COLUMN username_folded TEXT;
ALTER TABLE account ADD COLUMN email_folded TEXT;
ALTER TABLE account ADD COLUMN is_folded BOOLEAN NOT NULL DEFAULT FALSE;

CREATE UNIQUE INDEX account_username_folded ON account (username_folded);
CREATE UNIQUE INDEX account_email_folded ON account (email_folded);
CREATE INDEX account_to_fold ON account (created_at, id) WHERE NOT is_folded;
