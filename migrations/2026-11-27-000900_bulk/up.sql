-- Bulk jobs: one operation on every instance that a filter matches. The role bulk first collects the instances as items, then sends each
-- one ordinary command, whose message id is the job and the instance: one that is sent twice is executed once.
CREATE TABLE leveret.bulk_jobs (
    id            uuid        PRIMARY KEY,
    body_hash     bytea       NOT NULL CHECK (octet_length(body_hash) = 32),
    operation     text        NOT NULL,
    arguments     jsonb       NOT NULL,
    filter        text        NOT NULL,
    actor         text,
    sender        text        NOT NULL,
    reason        text,
    pace          integer     NOT NULL CHECK (pace > 0),
    items_max     bigint      NOT NULL CHECK (items_max > 0),
    state         text        NOT NULL CHECK (state IN ('collecting', 'running', 'done', 'aborted')),
    paused        boolean     NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at      timestamptz,
    cursor        uuid,
    more          boolean     NOT NULL DEFAULT false,
    due_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    collected     bigint      NOT NULL DEFAULT 0,
    done          bigint      NOT NULL DEFAULT 0,
    refused       bigint      NOT NULL DEFAULT 0,
    failed        bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE  leveret.bulk_jobs            IS 'One row per bulk job: an operation on all instances that a filter matches';
COMMENT ON COLUMN leveret.bulk_jobs.id         IS 'Derived from the sender and its idempotency key, so that one request makes one job';
COMMENT ON COLUMN leveret.bulk_jobs.body_hash  IS 'SHA-256 of the request: the same key with another is refused';
COMMENT ON COLUMN leveret.bulk_jobs.operation  IS 'cancel, terminate, retry, suspend, resume, skip, jump, variables.set, rerun or queue.set';
COMMENT ON COLUMN leveret.bulk_jobs.arguments  IS 'What the operation needs besides the instance';
COMMENT ON COLUMN leveret.bulk_jobs.filter     IS 'The filter as it was written; ages in it count from created_at';
COMMENT ON COLUMN leveret.bulk_jobs.actor      IS 'The person who acts';
COMMENT ON COLUMN leveret.bulk_jobs.sender     IS 'leveret.http or leveret.cli';
COMMENT ON COLUMN leveret.bulk_jobs.pace       IS 'Items per second, of all processes together';
COMMENT ON COLUMN leveret.bulk_jobs.items_max  IS 'The most items';
COMMENT ON COLUMN leveret.bulk_jobs.state      IS 'collecting, running, done or aborted';
COMMENT ON COLUMN leveret.bulk_jobs.paused     IS 'Whether nothing is claimed until it is resumed';
COMMENT ON COLUMN leveret.bulk_jobs.cursor     IS 'While it collects: the last instance looked at';
COMMENT ON COLUMN leveret.bulk_jobs.more       IS 'Whether the filter matched more than items_max';
COMMENT ON COLUMN leveret.bulk_jobs.due_at     IS 'When the next items may be claimed: this is the pace';
COMMENT ON COLUMN leveret.bulk_jobs.collected  IS 'Its items';
COMMENT ON COLUMN leveret.bulk_jobs.done       IS 'Items whose command was executed';
COMMENT ON COLUMN leveret.bulk_jobs.refused    IS 'Items whose command was refused';
COMMENT ON COLUMN leveret.bulk_jobs.failed     IS 'Items whose command could not be executed after many attempts';

CREATE INDEX bulk_jobs_living  ON leveret.bulk_jobs (due_at) WHERE ended_at IS NULL;
CREATE INDEX bulk_jobs_created ON leveret.bulk_jobs (created_at, id);
CREATE INDEX bulk_jobs_ended   ON leveret.bulk_jobs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE leveret.bulk_items (
    job           uuid        NOT NULL,
    instance_id   uuid        NOT NULL,
    state         text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'refused', 'failed')),
    attempts      integer     NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    ended_at      timestamptz,
    detail        text,
    PRIMARY KEY (job, instance_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE  leveret.bulk_items               IS 'One row per instance of a bulk job, with the outcome of its command';
COMMENT ON COLUMN leveret.bulk_items.state         IS 'open, done, refused or failed';
COMMENT ON COLUMN leveret.bulk_items.attempts      IS 'How often it was claimed';
COMMENT ON COLUMN leveret.bulk_items.claimed_until IS 'Until then one process works on it; afterwards another may, because the first has died';
COMMENT ON COLUMN leveret.bulk_items.detail        IS 'Why it was refused or failed, or the instance that a rerun has started';

CREATE INDEX bulk_items_open ON leveret.bulk_items (job, instance_id) WHERE state = 'open';
