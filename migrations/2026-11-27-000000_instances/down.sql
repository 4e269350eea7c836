-- The schema stays: the list of applied migrations is in it.
DROP TABLE leveret.bookmarks;
DROP TABLE leveret.search_attributes;
DROP TABLE leveret.instances;
DROP TABLE leveret.definitions;
