-- Fresh instances for floor.sql, one per client; prints what their ids begin with.
SELECT left(leveret.uuidv7()::text, 24) AS prefix \gset
INSERT INTO leveret.instances (id, definition, version, status, revision, ready, queue, priority, state_format, branches,
    variables, input, started_at, moved_at, history_count, history_hash)
SELECT (:'prefix' || lpad(to_hex(client), 12, '0'))::uuid, 'floor', 1, 'running', 1, true, 'default', 0, 1, '{}', '{}',
    '{}', now(), now(), 0, '\x' FROM generate_series(0, :clients - 1) AS client;
\echo :prefix
