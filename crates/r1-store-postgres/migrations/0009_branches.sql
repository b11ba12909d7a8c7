-- What follows a message, oldest first: the versions of one, and the end of a branch, are found by it. The pair of
-- SQLite's. Programs of before go on beside it.
CREATE INDEX message_by_parent ON message (conversation_id, parent_id, created_at, id);
