DROP TABLE leveret.targets;
DROP TABLE leveret.calls;
