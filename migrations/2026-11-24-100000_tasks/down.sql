DROP TABLE leveret.task_turns;
DROP SEQUENCE leveret.task_turn;
DROP TABLE leveret.task_candidates;
DROP TABLE leveret.tasks;
DELETE FROM leveret.bookmarks WHERE kind = 'task';
ALTER TABLE leveret.bookmarks DROP CONSTRAINT bookmarks_kind_check;
ALTER TABLE leveret.bookmarks ADD CONSTRAINT bookmarks_kind_check CHECK (kind IN ('timer', 'message', 'intervention'));
