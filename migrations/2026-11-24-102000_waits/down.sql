DROP FUNCTION leveret.broadcast(text, text, jsonb, text);
DROP INDEX leveret.bookmarks_incidents;
COMMENT ON COLUMN leveret.bookmarks.branch IS 'The branch that waits; null for the time limit of the whole instance';
-- Copies for one instance must not become anybody's.
DELETE FROM leveret.messages WHERE instance_id IS NOT NULL;
ALTER TABLE leveret.messages DROP COLUMN instance_id;
