-- No foreign key to instances: the transaction that writes a task has just written its instance. Claims and drafts change no
-- indexed column, so that they update rows in place.
CREATE TABLE leveret.tasks (
    id           uuid        PRIMARY KEY,
    instance_id  uuid        NOT NULL,
    bookmark     bigint      NOT NULL,
    definition   text        NOT NULL,
    activity     text        NOT NULL,
    instance_key text,
    revision     bigint      NOT NULL,
    open         boolean     NOT NULL,
    title        text        NOT NULL,
    description  text,
    data         jsonb       NOT NULL,
    labels       jsonb       NOT NULL,
    priority     smallint    NOT NULL,
    rank         integer     NOT NULL GENERATED ALWAYS AS (-priority::integer) STORED,
    users        text[]      NOT NULL,
    groups       text[]      NOT NULL,
    excluded     text[]      NOT NULL,
    assignee     text,
    delegated_by text,
    claimed_by   text,
    lease_until  timestamptz,
    decisions    jsonb       NOT NULL,
    form         jsonb,
    draft        jsonb,
    vote         boolean     NOT NULL,
    ballots      jsonb       NOT NULL,
    due_at       timestamptz,
    opened_at    timestamptz NOT NULL,
    closed_at    timestamptz,
    outcome      text        CHECK (outcome IN ('completed', 'undecided', 'timed_out', 'cancelled')),
    completed_by text,
    result       jsonb,
    CHECK (open = (closed_at IS NULL) AND open = (outcome IS NULL)),
    CHECK ((claimed_by IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE  leveret.tasks              IS 'One row per task: work that a person was asked to do';
COMMENT ON COLUMN leveret.tasks.id           IS 'Derived from instance and bookmark';
COMMENT ON COLUMN leveret.tasks.bookmark     IS 'Number of the bookmark with which its instance waits';
COMMENT ON COLUMN leveret.tasks.instance_key IS 'Business key of its instance';
COMMENT ON COLUMN leveret.tasks.revision     IS 'Every change compares and raises it';
COMMENT ON COLUMN leveret.tasks.data         IS 'What the person is shown';
COMMENT ON COLUMN leveret.tasks.rank         IS 'Negated priority, so that all columns of an order are ascending, as keyset pages need it';
COMMENT ON COLUMN leveret.tasks.users        IS 'Users it is offered to';
COMMENT ON COLUMN leveret.tasks.groups       IS 'Groups it is offered to';
COMMENT ON COLUMN leveret.tasks.excluded     IS 'Users who may not do it, in any case';
COMMENT ON COLUMN leveret.tasks.assignee     IS 'The only user who may do it';
COMMENT ON COLUMN leveret.tasks.delegated_by IS 'The user who gets it back when the assignee releases it';
COMMENT ON COLUMN leveret.tasks.claimed_by   IS 'The user who claimed it';
COMMENT ON COLUMN leveret.tasks.lease_until  IS 'When the claim expires, by the clock of this database';
COMMENT ON COLUMN leveret.tasks.decisions    IS 'Names and labels of the decisions to choose from';
COMMENT ON COLUMN leveret.tasks.form         IS 'JSON Schema of the data to fill in';
COMMENT ON COLUMN leveret.tasks.draft        IS 'What the user who claimed it has filled in and saved';
COMMENT ON COLUMN leveret.tasks.vote         IS 'Whether several users vote on it';
COMMENT ON COLUMN leveret.tasks.ballots      IS 'The votes until now, in their order';
COMMENT ON COLUMN leveret.tasks.result       IS 'Decision and data of its completion';

CREATE INDEX tasks_open              ON leveret.tasks (rank, opened_at, id) WHERE open;
CREATE INDEX tasks_open_definition   ON leveret.tasks (definition, rank, opened_at, id) WHERE open;
CREATE INDEX tasks_open_due          ON leveret.tasks (due_at, id) INCLUDE (definition, rank) WHERE open AND due_at IS NOT NULL;
CREATE INDEX tasks_assigned          ON leveret.tasks (assignee) WHERE open AND assignee IS NOT NULL;
CREATE INDEX tasks_closed            ON leveret.tasks (closed_at, id) WHERE NOT open;
CREATE INDEX tasks_closed_definition ON leveret.tasks (definition, closed_at, id) WHERE NOT open;
CREATE INDEX tasks_closed_by         ON leveret.tasks (completed_by, closed_at, id) WHERE NOT open AND completed_by IS NOT NULL;
CREATE INDEX tasks_instance          ON leveret.tasks (instance_id, bookmark);

-- A page of an inbox is a range of one index here, already in its order, however many tasks there are. An index on the arrays of
-- `tasks` would return every task of a large group, to be sorted. Rows of closed tasks are deleted, so they cost nothing.
CREATE TABLE leveret.task_candidates (
    task_id    uuid        NOT NULL,
    candidate  text        NOT NULL,
    definition text        NOT NULL,
    priority   smallint    NOT NULL,
    rank       integer     NOT NULL GENERATED ALWAYS AS (-priority::integer) STORED,
    opened_at  timestamptz NOT NULL,
    due_at     timestamptz,
    PRIMARY KEY (task_id, candidate)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE  leveret.task_candidates           IS 'One row per open task and user or group that it is offered to';
COMMENT ON COLUMN leveret.task_candidates.candidate IS 'user:<name> or group:<name>; only the assignee if there is one';
COMMENT ON COLUMN leveret.task_candidates.rank      IS 'Negated priority, as in tasks';

CREATE INDEX task_candidates_inbox      ON leveret.task_candidates (candidate, rank, opened_at, task_id);
CREATE INDEX task_candidates_definition ON leveret.task_candidates (candidate, definition, rank, opened_at, task_id);
CREATE INDEX task_candidates_due        ON leveret.task_candidates (candidate, due_at, task_id) INCLUDE (definition, rank)
    WHERE due_at IS NOT NULL;

-- Round robin: the user with the lowest number gets the next task, and then the next number of the sequence.
CREATE SEQUENCE leveret.task_turn;
CREATE TABLE leveret.task_turns (
    definition text   NOT NULL,
    activity   text   NOT NULL,
    username   text   NOT NULL,
    turn       bigint NOT NULL,
    PRIMARY KEY (definition, activity, username)
) WITH (fillfactor = 50);
COMMENT ON TABLE  leveret.task_turns      IS 'One row per user who was assigned a task of an activity by round robin';
COMMENT ON COLUMN leveret.task_turns.turn IS 'The user with the lowest number is next';
