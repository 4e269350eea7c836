-- Every row that is there keeps the narrower rule this one takes the place of.
ALTER TABLE leveret.bookmarks DROP CONSTRAINT bookmarks_kind_check;
ALTER TABLE leveret.bookmarks ADD CONSTRAINT bookmarks_kind_check
    CHECK (kind IN ('timer', 'message', 'intervention', 'task', 'call')) NOT VALID;

-- No foreign key to instances: a call is only ever opened in the transaction that has just written its instance.
CREATE TABLE leveret.calls (
    id           uuid        PRIMARY KEY,
    instance_id  uuid        NOT NULL,
    bookmark     bigint      NOT NULL,
    definition   text        NOT NULL,
    activity     text        NOT NULL,
    instance_key text,
    kind         text        NOT NULL CHECK (kind IN ('http', 'work')),
    target       text        NOT NULL,
    state        text        NOT NULL CHECK (state IN
                     ('pending', 'running', 'waiting', 'reported', 'unknown', 'succeeded', 'failed', 'cancelled')),
    attempt      integer     NOT NULL,
    dispatch          integer     NOT NULL,
    purpose      text        NOT NULL CHECK (purpose IN ('attempt', 'probe')),
    request      jsonb       NOT NULL,
    probe        jsonb,
    timeout_ms   bigint,
    heartbeat_ms bigint,
    until        timestamptz,
    callback     boolean     NOT NULL,
    limits       jsonb,
    trace        text,
    token_hash   bytea,
    opened_at    timestamptz NOT NULL,
    begun_at     timestamptz,
    deadline     timestamptz,
    next_at      timestamptz,
    ended_at     timestamptz,
    reported_at   timestamptz,
    outcome      jsonb,
    result       jsonb,
    error        jsonb,
    progress     jsonb,
    CHECK ((ended_at IS NULL) = (state IN ('pending', 'running', 'waiting', 'reported', 'unknown')))
) WITH (fillfactor = 70);
COMMENT ON TABLE leveret.calls IS 'One row per call: work outside the database, over HTTP or by a worker';
COMMENT ON COLUMN leveret.calls.id IS 'Follows from instance and bookmark; also the idempotency key of every attempt';
COMMENT ON COLUMN leveret.calls.target IS 'Whose limits and breaker it falls under';
COMMENT ON COLUMN leveret.calls.state IS
    'pending: to be made. running: being made. waiting: taken by its target, which will call back. settled: its outcome came while the instance was suspended. unknown: a person has to find out';
COMMENT ON COLUMN leveret.calls.attempt IS 'The attempt that runs, or runs next, from 1';
COMMENT ON COLUMN leveret.calls.dispatch IS 'The number of the last handing-out, probes included; what comes back under another one is too late';
COMMENT ON COLUMN leveret.calls.request IS 'What is sent, with open places for secrets';
COMMENT ON COLUMN leveret.calls.until IS 'No attempt goes on for longer';
COMMENT ON COLUMN leveret.calls.token_hash IS 'SHA-256 of the token of the attempt that runs';
COMMENT ON COLUMN leveret.calls.deadline IS 'From then on the attempt that runs is unknown, by the clock of this database';
COMMENT ON COLUMN leveret.calls.next_at IS 'When somebody looks at it: to make it, or because nothing was heard of it';
COMMENT ON COLUMN leveret.calls.outcome IS 'What came while the instance was suspended, or after nobody waited for it any more';
COMMENT ON COLUMN leveret.calls.result IS 'What it succeeded with; while waiting, what its target answered';
COMMENT ON COLUMN leveret.calls.error IS 'Why the last attempt failed';
COMMENT ON COLUMN leveret.calls.progress IS 'How often its worker told of its progress in this attempt, and what it said last';

CREATE INDEX calls_pending ON leveret.calls (target, next_at) WHERE state = 'pending';
CREATE INDEX calls_under_way ON leveret.calls (next_at) WHERE state IN ('running', 'waiting') AND next_at IS NOT NULL;
CREATE INDEX calls_of_target ON leveret.calls (target) WHERE state IN ('running', 'waiting');
CREATE INDEX calls_unknown ON leveret.calls (opened_at, id) WHERE state = 'unknown';
CREATE INDEX calls_open ON leveret.calls (opened_at, id) WHERE ended_at IS NULL;
CREATE INDEX calls_opened ON leveret.calls (opened_at, id);
CREATE INDEX calls_instance ON leveret.calls (instance_id, bookmark);
