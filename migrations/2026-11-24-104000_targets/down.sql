DROP TABLE leveret.targets;
