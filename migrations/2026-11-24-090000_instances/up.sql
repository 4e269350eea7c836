CREATE SCHEMA IF NOT EXISTS leveret;

CREATE TABLE leveret.definitions (
    name         text        NOT NULL,
    version      integer     NOT NULL CHECK (version > 0),
    status       text        NOT NULL CHECK (status IN ('draft', 'active', 'retired')),
    content      jsonb       NOT NULL,
    content_hash bytea       NOT NULL CHECK (octet_length(content_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE leveret.definitions IS 'One row per version of a workflow document; never changed but for its status';
COMMENT ON COLUMN leveret.definitions.content_hash IS 'SHA-256 of the canonical JSON (RFC 8785) of the content';

-- Statements of a step update rows in place (HOT): room is left on each page for the next version of a row, and no
-- index below holds a column that a plain step changes. `ready`, `status` and `ended_at` change at turns only.
CREATE TABLE leveret.instances (
    id            uuid        PRIMARY KEY,
    definition    text        NOT NULL,
    version       integer     NOT NULL,
    status        text        NOT NULL
                  CHECK (status IN ('running', 'suspended', 'compensating', 'completed', 'failed', 'cancelled')),
    revision      bigint      NOT NULL,
    ready         boolean     NOT NULL,
    key           text,
    queue          text        NOT NULL,
    priority      smallint    NOT NULL,
    state_format  smallint    NOT NULL,
    branches      jsonb       NOT NULL,
    variables     jsonb       NOT NULL,
    input         jsonb       NOT NULL,
    output        jsonb,
    error         jsonb,
    search        jsonb       NOT NULL DEFAULT '{}',
    started_at    timestamptz NOT NULL,
    started_by    text,
    ended_at      timestamptz,
    due_at        timestamptz,
    moved_at      timestamptz NOT NULL,
    rechecked_at  timestamptz,
    recheck_for   bigint      NOT NULL DEFAULT 0,
    history_count bigint      NOT NULL,
    history_hash  bytea       NOT NULL,
    trace         text,
    parent        uuid
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE leveret.instances IS 'One row per run of a definition';
COMMENT ON COLUMN leveret.instances.revision IS 'Raised by every commit, and compared by every commit: two cannot win';
COMMENT ON COLUMN leveret.instances.ready IS 'Whether a branch could go on at once';
COMMENT ON COLUMN leveret.instances.key IS 'Business key, unique among live instances of the definition';
COMMENT ON COLUMN leveret.instances.state_format IS 'Format of branches; a binary leaves newer ones alone';
COMMENT ON COLUMN leveret.instances.branches IS 'Lines of control and counters, as the engine keeps them';
COMMENT ON COLUMN leveret.instances.search IS 'Typed attributes to search by';
COMMENT ON COLUMN leveret.instances.due_at IS 'When the instance should have ended; for people, nothing fires by it';
COMMENT ON COLUMN leveret.instances.moved_at IS 'The newest commit';
COMMENT ON COLUMN leveret.instances.rechecked_at IS 'When the timers role last published its step commands again';
COMMENT ON COLUMN leveret.instances.recheck_for IS 'Milliseconds until the timers role may do so once more; doubled each time';
COMMENT ON COLUMN leveret.instances.history_count IS 'Number of the newest history row';
COMMENT ON COLUMN leveret.instances.history_hash IS 'SHA-256 of the newest history row';
COMMENT ON COLUMN leveret.instances.trace IS 'W3C trace context of the start';
COMMENT ON COLUMN leveret.instances.parent IS 'The instance that waits for this one';

CREATE UNIQUE INDEX instances_key ON leveret.instances (definition, key) WHERE key IS NOT NULL AND ended_at IS NULL;
CREATE INDEX instances_ready ON leveret.instances (queue, id) WHERE ready;
CREATE INDEX instances_live ON leveret.instances (status, id) WHERE ended_at IS NULL;
CREATE INDEX instances_failed ON leveret.instances (status, id) WHERE status IN ('failed', 'cancelled');
CREATE INDEX instances_definition ON leveret.instances (definition, id);

-- No foreign key to instances: a bookmark is only ever written in the transaction that has just written its instance.
CREATE TABLE leveret.bookmarks (
    instance_id   uuid        NOT NULL,
    number        bigint      NOT NULL,
    branch        integer,
    activity      text,
    kind          text        NOT NULL CHECK (kind IN ('timer', 'message', 'intervention')),
    message_name  text,
    message_key   text,
    due_at        timestamptz,
    next_check_at timestamptz,
    opened_at     timestamptz NOT NULL,
    consumed_at   timestamptz,
    details       jsonb       NOT NULL DEFAULT 'null',
    PRIMARY KEY (instance_id, number),
    CHECK (kind <> 'message' OR (message_name IS NOT NULL AND message_key IS NOT NULL)),
    CHECK (kind <> 'timer' OR (due_at IS NOT NULL AND next_check_at IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE leveret.bookmarks IS 'One row per wait of an instance, open until it is consumed or closed';
COMMENT ON COLUMN leveret.bookmarks.number IS 'Counted from 1 inside the instance';
COMMENT ON COLUMN leveret.bookmarks.branch IS 'The branch that waits; null for the time limit of the whole instance';
COMMENT ON COLUMN leveret.bookmarks.due_at IS 'The truth about a timer, compared with the clock of this database';
COMMENT ON COLUMN leveret.bookmarks.next_check_at IS 'When the timers role looks at it; later than due_at where a wake-up is on its way';
COMMENT ON COLUMN leveret.bookmarks.consumed_at IS 'When it was taken, or closed because nobody waits any more';

CREATE INDEX bookmarks_due ON leveret.bookmarks (next_check_at) WHERE consumed_at IS NULL AND next_check_at IS NOT NULL;
CREATE INDEX bookmarks_messages ON leveret.bookmarks (message_name, message_key, opened_at, instance_id)
    WHERE consumed_at IS NULL AND message_name IS NOT NULL;
