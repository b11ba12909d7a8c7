-- What a message consists of beside its text, the pair of SQLite's: a JSON list, in which text stands by span of
-- content (bytes of UTF-8). NULL: it is only text. Programs of before go on beside it: of answers with such parts the
-- grammar keeps them away.
ALTER TABLE message ADD COLUMN parts TEXT;
