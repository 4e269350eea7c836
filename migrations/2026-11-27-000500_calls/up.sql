-- No foreign key to instances: the transaction that opens a call has just written its instance.
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
    dispatch     integer     NOT NULL,
    purpose      text        NOT NULL CHECK (purpose IN ('attempt', 'probe')),
    request      jsonb       NOT NULL,
    probe        jsonb,
    timeout_ms   bigint,
    heartbeat_ms bigint,
    until        timestamptz,
    callback     boolean     NOT NULL,
    limits       jsonb,
    limit_group  bigint      NOT NULL GENERATED ALWAYS AS (coalesce(jsonb_hash_extended(limits, 0), 0)) STORED,
    trace        text,
    token_hash   bytea,
    opened_at    timestamptz NOT NULL,
    begun_at     timestamptz,
    deadline     timestamptz,
    next_at      timestamptz,
    ended_at     timestamptz,
    reported_at  timestamptz,
    outcome      jsonb,
    result       jsonb,
    error        jsonb,
    progress     jsonb,
    late         jsonb,
    CHECK ((ended_at IS NULL) = (state IN ('pending', 'running', 'waiting', 'reported', 'unknown')))
) WITH (fillfactor = 70);
COMMENT ON TABLE  leveret.calls              IS 'One row per call: work outside of the database, over HTTP or by an external worker';
COMMENT ON COLUMN leveret.calls.id           IS 'Derived from instance and bookmark; also the idempotency key of every attempt';
COMMENT ON COLUMN leveret.calls.bookmark     IS 'Number of the bookmark with which its instance waits';
COMMENT ON COLUMN leveret.calls.instance_key IS 'Business key of its instance';
COMMENT ON COLUMN leveret.calls.kind         IS 'http: a request. work: for an external worker';
COMMENT ON COLUMN leveret.calls.target       IS 'Whose limits and circuit breaker apply: a host, or work:<queue>';
COMMENT ON COLUMN leveret.calls.state        IS
    'pending: waits for an attempt. running: an attempt is under way. waiting: accepted by its target, which will call back. reported: its outcome arrived while the instance was suspended. unknown: a person has to find out the outcome';
COMMENT ON COLUMN leveret.calls.attempt      IS 'The attempt that is under way or comes next, from 1';
COMMENT ON COLUMN leveret.calls.dispatch     IS 'Fencing number, raised whenever the call is dispatched, also for a probe; outcomes with another number are too late';
COMMENT ON COLUMN leveret.calls.purpose      IS 'Whether the next dispatch is an attempt, or a probe that asks for the outcome of a lost attempt';
COMMENT ON COLUMN leveret.calls.request      IS 'The request, with placeholders for secrets';
COMMENT ON COLUMN leveret.calls.probe        IS 'The request of a probe';
COMMENT ON COLUMN leveret.calls.timeout_ms   IS 'Time limit of an attempt';
COMMENT ON COLUMN leveret.calls.heartbeat_ms IS 'An external worker that is silent for longer is taken for dead';
COMMENT ON COLUMN leveret.calls.until        IS 'Time limit of the call: no attempt begins or lasts beyond it; a probe may';
COMMENT ON COLUMN leveret.calls.callback     IS 'Whether its target answers later, with a callback';
COMMENT ON COLUMN leveret.calls.limits       IS 'Rate and concurrency that the activity allows';
COMMENT ON COLUMN leveret.calls.limit_group  IS 'The same number for calls with the same limits, which are claimed together; 0 without limits';
COMMENT ON COLUMN leveret.calls.trace        IS 'W3C trace context of the instance';
COMMENT ON COLUMN leveret.calls.token_hash   IS 'SHA-256 of the token of the attempt that is under way, or whose outcome is unknown';
COMMENT ON COLUMN leveret.calls.begun_at     IS 'When the attempt began';
COMMENT ON COLUMN leveret.calls.deadline     IS 'When the outcome of the attempt becomes unknown, by the clock of this database';
COMMENT ON COLUMN leveret.calls.next_at      IS 'When it is claimed next: to dispatch it, or because it has been silent for too long';
COMMENT ON COLUMN leveret.calls.reported_at  IS 'When the outcome was reported';
COMMENT ON COLUMN leveret.calls.outcome      IS 'Outcome that was reported while the instance was suspended';
COMMENT ON COLUMN leveret.calls.result       IS 'Result of a call that succeeded; while waiting, the first answer of its target';
COMMENT ON COLUMN leveret.calls.error        IS 'Failure of the last attempt';
COMMENT ON COLUMN leveret.calls.progress     IS 'Progress of this attempt: number of reports, and the newest';
COMMENT ON COLUMN leveret.calls.late         IS 'Newest outcome that came too late: its dispatch, its time and the outcome';

-- Calls of one target with the same limits wait for the same permits: each group is claimed on its own.
CREATE INDEX calls_pending   ON leveret.calls (target, limit_group, next_at) WHERE state = 'pending';
CREATE INDEX calls_under_way ON leveret.calls (next_at) WHERE state IN ('running', 'waiting') AND next_at IS NOT NULL;
-- Calls whose time may end before they begin: few.
CREATE INDEX calls_lapsing   ON leveret.calls (until) WHERE state = 'pending' AND purpose = 'attempt' AND until IS NOT NULL;
CREATE INDEX calls_of_target ON leveret.calls (target) WHERE state IN ('running', 'waiting');
CREATE INDEX calls_unknown   ON leveret.calls (opened_at, id) WHERE state = 'unknown';
CREATE INDEX calls_open      ON leveret.calls (opened_at, id) WHERE ended_at IS NULL;
CREATE INDEX calls_opened    ON leveret.calls (opened_at, id);
CREATE INDEX calls_instance  ON leveret.calls (instance_id, bookmark);

CREATE TABLE leveret.targets (
    target       text        NOT NULL,
    key          text        NOT NULL,
    breaker      text        NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
    until        timestamptz,
    asked_at     timestamptz,
    failed       bigint      NOT NULL DEFAULT 0,
    seen         integer     NOT NULL DEFAULT 0,
    opened       integer     NOT NULL DEFAULT 0,
    last_failure text,
    failed_at    timestamptz,
    buckets      jsonb       NOT NULL DEFAULT '[]',
    rate_count   integer,
    rate_per_ms  bigint,
    concurrency  integer,
    used_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (target, key),
    CHECK ((until IS NULL) = (breaker = 'closed'))
) WITH (fillfactor = 50);
COMMENT ON TABLE  leveret.targets              IS 'One row per target of calls, and one per key by which an activity limits it';
COMMENT ON COLUMN leveret.targets.key          IS 'Empty for the target as a whole';
COMMENT ON COLUMN leveret.targets.breaker      IS 'State of the circuit breaker; only the row of the target as a whole has one';
COMMENT ON COLUMN leveret.targets.until        IS 'When an attempt is let through; while half open, when the next one is if the last gave no outcome';
COMMENT ON COLUMN leveret.targets.asked_at     IS 'When an attempt was last let through to test the target; outcomes of attempts begun before do not count';
COMMENT ON COLUMN leveret.targets.failed       IS 'The last outcomes as bits, the newest is the lowest bit; 1 is a failure';
COMMENT ON COLUMN leveret.targets.seen         IS 'Number of outcomes in failed';
COMMENT ON COLUMN leveret.targets.opened       IS 'How often the breaker has opened since it was last closed';
COMMENT ON COLUMN leveret.targets.last_failure IS 'Code of the last failure';
COMMENT ON COLUMN leveret.targets.failed_at    IS 'Time of the last failure';
COMMENT ON COLUMN leveret.targets.buckets      IS 'A token bucket per rate: tokens, and the time of their count. Processes lease tokens in batches';
COMMENT ON COLUMN leveret.targets.rate_count   IS 'Rate limit of the newest attempt: attempts per rate_per_ms';
COMMENT ON COLUMN leveret.targets.rate_per_ms  IS 'Rate limit of the newest attempt: milliseconds';
COMMENT ON COLUMN leveret.targets.concurrency  IS 'Concurrency limit of the newest attempt';
COMMENT ON COLUMN leveret.targets.used_at      IS 'When it was last used; unused rows are deleted';
