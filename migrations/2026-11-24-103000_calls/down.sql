DROP TABLE leveret.calls;
DELETE FROM leveret.bookmarks WHERE kind = 'call';
ALTER TABLE leveret.bookmarks DROP CONSTRAINT bookmarks_kind_check;
ALTER TABLE leveret.bookmarks ADD CONSTRAINT bookmarks_kind_check
    CHECK (kind IN ('timer', 'message', 'intervention', 'task'));
