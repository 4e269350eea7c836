-- The schema stays: the list of applied migrations lives in it.
DROP TABLE leveret.bookmarks;
DROP TABLE leveret.instances;
DROP TABLE leveret.definitions;
