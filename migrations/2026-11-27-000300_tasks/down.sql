DROP TABLE leveret.task_turns;
DROP SEQUENCE leveret.task_turn;
DROP TABLE leveret.task_candidates;
DROP TABLE leveret.tasks;
