DROP TABLE leveret.sessions;
DROP TABLE leveret.api_keys;
