DROP TABLE leveret.start_limits;
DROP TABLE leveret.suspects;
DROP TABLE leveret.dead_letters;
DROP TABLE leveret.messages;
DROP TABLE leveret.inbox;
DROP TABLE leveret.outbox;
