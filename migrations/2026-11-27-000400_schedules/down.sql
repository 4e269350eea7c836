DROP TABLE leveret.schedules;
