-- Where a model's memory of a conversation began.

-- Of an answer: the oldest message that its model was given; none where that was all before it.
ALTER TABLE message ADD COLUMN remembers_from BLOB;
