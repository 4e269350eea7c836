DROP FUNCTION leveret.broadcast(text, text, jsonb, text);
DROP INDEX leveret.bookmarks_incidents;
COMMENT ON COLUMN leveret.bookmarks.branch IS 'The branch that waits; null for the time limit of the whole instance';
ALTER TABLE leveret.messages DROP COLUMN instance_id;
