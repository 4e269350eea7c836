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
COMMENT ON TABLE  leveret.definitions              IS 'One row per version of a workflow document. Only its status ever changes';
COMMENT ON COLUMN leveret.definitions.version      IS 'Counted from 1 for each name';
COMMENT ON COLUMN leveret.definitions.status       IS 'Instances start only on active versions';
COMMENT ON COLUMN leveret.definitions.content      IS 'The document as JSON';
COMMENT ON COLUMN leveret.definitions.content_hash IS 'SHA-256 of the canonical JSON of the content, in which an integer and its double differ';

-- The statement of a step updates its row in place (HOT): each page keeps room for the next version of a row, and no index
-- below has a column that every step changes. `ready`, `status` and `ended_at` change seldom. There are no CHECK constraints:
-- PostgreSQL reads their expressions from text again in every statement. Only Leveret writes this table, and a test compares
-- the names of `status` with the comment below.
CREATE TABLE leveret.instances (
    id            uuid        PRIMARY KEY,
    definition    text        NOT NULL,
    version       integer     NOT NULL,
    status        text        NOT NULL,
    revision      bigint      NOT NULL,
    ready         boolean     NOT NULL,
    key           text,
    queue         text        NOT NULL,
    priority      smallint    NOT NULL,
    state_format  smallint    NOT NULL,
    branches      jsonb       NOT NULL,
    variables     jsonb       NOT NULL,
    input         jsonb       NOT NULL,
    output        jsonb,
    error         jsonb,
    started_at    timestamptz NOT NULL,
    started_by    text,
    user_id       text,
    ended_at      timestamptz,
    due_at        timestamptz,
    moved_at      timestamptz NOT NULL,
    rechecked_at  timestamptz,
    recheck_for   bigint      NOT NULL DEFAULT 0,
    history_count bigint      NOT NULL,
    history_hash  bytea       NOT NULL,
    trace         text,
    parent        uuid,
    counted       boolean     NOT NULL DEFAULT false,
    counted_sender text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE  leveret.instances               IS 'One row per instance: one execution of a definition';
COMMENT ON COLUMN leveret.instances.id            IS 'UUIDv7: begins with the time of the start';
COMMENT ON COLUMN leveret.instances.version       IS 'Version of the definition; never changes';
COMMENT ON COLUMN leveret.instances.status        IS 'running, suspended, compensating, completed, failed or cancelled';
COMMENT ON COLUMN leveret.instances.revision      IS 'Every commit compares and raises it, so that only one of two concurrent commits succeeds';
COMMENT ON COLUMN leveret.instances.ready         IS 'Whether a branch can take a step now';
COMMENT ON COLUMN leveret.instances.key           IS 'Business key, unique among live instances of the definition';
COMMENT ON COLUMN leveret.instances.queue         IS 'Queue of its step commands';
COMMENT ON COLUMN leveret.instances.priority      IS 'Above 0, its step commands go to a queue of their own, before those of other instances';
COMMENT ON COLUMN leveret.instances.state_format  IS 'Format of branches; a binary does not touch newer formats';
COMMENT ON COLUMN leveret.instances.branches      IS 'Branches and counters, as the engine writes them';
COMMENT ON COLUMN leveret.instances.variables     IS 'Variables by name';
COMMENT ON COLUMN leveret.instances.input         IS 'Input of the start';
COMMENT ON COLUMN leveret.instances.output        IS 'Output of a completed instance';
COMMENT ON COLUMN leveret.instances.error         IS 'Failure of a failed or suspended instance';
COMMENT ON COLUMN leveret.instances.started_by    IS 'The user for whom it was started, or else the sender of the command';
COMMENT ON COLUMN leveret.instances.user_id       IS 'The user of RabbitMQ who sent the start, where the broker has verified one';
COMMENT ON COLUMN leveret.instances.due_at        IS 'When it should have ended. For display only; no timer uses it';
COMMENT ON COLUMN leveret.instances.moved_at      IS 'Time of the newest commit';
COMMENT ON COLUMN leveret.instances.rechecked_at  IS 'When the timers role last published its step commands again';
COMMENT ON COLUMN leveret.instances.recheck_for   IS 'Milliseconds until the timers role may publish them again; doubled each time';
COMMENT ON COLUMN leveret.instances.history_count IS 'Number of the newest history row';
COMMENT ON COLUMN leveret.instances.history_hash  IS 'SHA-256 of the newest history row';
COMMENT ON COLUMN leveret.instances.trace         IS 'W3C trace context of the start';
COMMENT ON COLUMN leveret.instances.parent        IS 'The instance that waits for this one';
COMMENT ON COLUMN leveret.instances.counted       IS 'Whether it counts among the live instances of its definition, which limits them';
COMMENT ON COLUMN leveret.instances.counted_sender IS 'The sender among whose live instances it counts, if senders are limited';

CREATE UNIQUE INDEX instances_key ON leveret.instances (definition, key) WHERE key IS NOT NULL AND ended_at IS NULL;
-- Searches by business key include ended instances; instances_key has live ones only.
-- The operator class also serves the beginning of a key, LIKE 'PO-%', whatever the collation.
CREATE INDEX instances_by_key     ON leveret.instances (key text_pattern_ops, id) WHERE key IS NOT NULL;
-- By the queue of the step commands: urgent instances have one of their own.
CREATE INDEX instances_ready      ON leveret.instances ((queue || CASE WHEN priority > 0 THEN '.urgent' ELSE '' END), id) WHERE ready;
-- Without a limit no row is in them.
CREATE INDEX instances_counted    ON leveret.instances (definition) WHERE counted AND ended_at IS NULL;
CREATE INDEX instances_of_sender  ON leveret.instances (counted_sender) WHERE counted_sender IS NOT NULL AND ended_at IS NULL;
CREATE INDEX instances_live       ON leveret.instances (status, id) WHERE ended_at IS NULL;
CREATE INDEX instances_failed     ON leveret.instances (status, id) WHERE status IN ('failed', 'cancelled');
CREATE INDEX instances_definition ON leveret.instances (definition, id);
CREATE INDEX instances_error      ON leveret.instances ((error->>'code'), id) WHERE error IS NOT NULL;

-- What instances are found by, if their definition has "search": one row per attribute, with a value in the column of its type.
-- No foreign key, as for bookmarks. Each index has only the rows with a value of its type.
CREATE TABLE leveret.search_attributes (
    instance_id  uuid             NOT NULL,
    name         text             NOT NULL,
    text_value   text,
    number_value double precision,
    bool_value   boolean,
    time_value   timestamptz,
    PRIMARY KEY (instance_id, name)
) WITH (fillfactor = 80);
COMMENT ON TABLE  leveret.search_attributes              IS 'One row per instance and search attribute of its definition';
COMMENT ON COLUMN leveret.search_attributes.name         IS 'Its name, as filters write it: var.name';
COMMENT ON COLUMN leveret.search_attributes.text_value   IS 'The value, if it is a text; at most 255 bytes';
COMMENT ON COLUMN leveret.search_attributes.number_value IS 'The value, if it is a number';
COMMENT ON COLUMN leveret.search_attributes.bool_value   IS 'The value, if it is a boolean';
COMMENT ON COLUMN leveret.search_attributes.time_value   IS 'The value, if it is a time';

CREATE INDEX search_texts   ON leveret.search_attributes (name, text_value text_pattern_ops, instance_id) WHERE text_value IS NOT NULL;
CREATE INDEX search_numbers ON leveret.search_attributes (name, number_value, instance_id) WHERE number_value IS NOT NULL;
CREATE INDEX search_bools   ON leveret.search_attributes (name, bool_value, instance_id) WHERE bool_value IS NOT NULL;
CREATE INDEX search_times   ON leveret.search_attributes (name, time_value, instance_id) WHERE time_value IS NOT NULL;

-- No foreign key to instances: the transaction that writes a bookmark has just written its instance.
CREATE TABLE leveret.bookmarks (
    instance_id   uuid        NOT NULL,
    number        bigint      NOT NULL,
    branch        integer,
    activity      text,
    kind          text        NOT NULL CHECK (kind IN ('timer', 'message', 'intervention', 'task', 'call')),
    message_name  text,
    message_key   text,
    due_at        timestamptz,
    next_check_at timestamptz,
    opened_at     timestamptz NOT NULL,
    consumed_at   timestamptz,
    details       jsonb       NOT NULL DEFAULT 'null',
    fingerprint   text        COLLATE "C",
    PRIMARY KEY (instance_id, number),
    CHECK (kind <> 'message' OR (message_name IS NOT NULL AND message_key IS NOT NULL)),
    CHECK (kind <> 'timer' OR (due_at IS NOT NULL AND next_check_at IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE  leveret.bookmarks               IS 'One row per wait of an instance, open until it is consumed or closed';
COMMENT ON COLUMN leveret.bookmarks.number        IS 'Counted from 1 for each instance';
COMMENT ON COLUMN leveret.bookmarks.branch        IS 'The branch that waits; null for the time limit of the whole instance, and for a suspension by a person';
COMMENT ON COLUMN leveret.bookmarks.activity      IS 'The activity that waits';
COMMENT ON COLUMN leveret.bookmarks.kind          IS 'What it waits for. intervention: an incident, until a person decides';
COMMENT ON COLUMN leveret.bookmarks.message_name  IS 'Name of the message it waits for';
COMMENT ON COLUMN leveret.bookmarks.message_key   IS 'Key of the message it waits for';
COMMENT ON COLUMN leveret.bookmarks.due_at        IS 'When a timer fires, by the clock of this database';
COMMENT ON COLUMN leveret.bookmarks.next_check_at IS 'When the timers role checks it: after due_at if a wake-up was published';
COMMENT ON COLUMN leveret.bookmarks.consumed_at   IS 'When the wait ended, or was closed because it is no longer needed';
COMMENT ON COLUMN leveret.bookmarks.details       IS 'The failure of an incident, or who suspended the instance and why';
COMMENT ON COLUMN leveret.bookmarks.fingerprint   IS 'Of an incident: equal for incidents of one cause. A hash of definition, activity, code and message without its variable parts';

CREATE INDEX bookmarks_due ON leveret.bookmarks (next_check_at) WHERE consumed_at IS NULL AND next_check_at IS NOT NULL;
CREATE INDEX bookmarks_messages ON leveret.bookmarks (message_name, message_key, opened_at, instance_id)
    WHERE consumed_at IS NULL AND message_name IS NOT NULL;
-- For the list of incidents: few are open at a time.
CREATE INDEX bookmarks_incidents ON leveret.bookmarks (opened_at, instance_id, number)
    WHERE consumed_at IS NULL AND kind = 'intervention';
-- For the list of groups, which steps from one fingerprint to the next, and for everything that is done to one group.
CREATE INDEX bookmarks_groups ON leveret.bookmarks (fingerprint, opened_at, instance_id, number)
    WHERE consumed_at IS NULL AND fingerprint IS NOT NULL;
-- For the filter terms `incident:` and `code:`, in the order of the instances.
CREATE INDEX bookmarks_fingerprints ON leveret.bookmarks (fingerprint, instance_id)
    WHERE consumed_at IS NULL AND kind = 'intervention';
CREATE INDEX bookmarks_codes ON leveret.bookmarks ((details->>'code'), instance_id)
    WHERE consumed_at IS NULL AND kind = 'intervention';
