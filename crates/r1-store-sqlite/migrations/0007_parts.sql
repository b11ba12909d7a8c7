-- What a message consists of beside its text, the pair of PostgreSQL's: a JSON list, in which text stands by span of
-- content (bytes of UTF-8). NULL: it is only text.
ALTER TABLE message ADD COLUMN parts TEXT;
