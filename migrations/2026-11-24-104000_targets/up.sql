CREATE TABLE leveret.targets (
    target       text             NOT NULL,
    key          text             NOT NULL,
    breaker      text             NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
    until        timestamptz,
    failed       bigint           NOT NULL DEFAULT 0,
    seen         integer          NOT NULL DEFAULT 0,
    opened       integer          NOT NULL DEFAULT 0,
    last_failure text,
    failed_at    timestamptz,
    tokens       double precision,
    filled_at    timestamptz,
    rate_count   integer,
    rate_per_ms  bigint,
    concurrency  integer,
    used_at      timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (target, key),
    CHECK ((until IS NULL) = (breaker = 'closed')),
    CHECK ((tokens IS NULL) = (filled_at IS NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE leveret.targets IS 'One row per target of calls, and one per key for which an activity limits it';
COMMENT ON COLUMN leveret.targets.key IS 'Empty for the target as a whole';
COMMENT ON COLUMN leveret.targets.breaker IS 'Whether attempts are let through. Only that of the target as a whole is looked at';
COMMENT ON COLUMN leveret.targets.until IS 'When one attempt is let through; of a half-open one, when the next is if nothing was heard of it';
COMMENT ON COLUMN leveret.targets.failed IS 'The last outcomes as bits, the newest lowest; set where one failed';
COMMENT ON COLUMN leveret.targets.seen IS 'How many outcomes those are';
COMMENT ON COLUMN leveret.targets.opened IS 'How often it has opened since it was closed';
COMMENT ON COLUMN leveret.targets.last_failure IS 'The code of the last failure';
COMMENT ON COLUMN leveret.targets.tokens IS 'Attempts that may begin at once; processes lease them in batches';
COMMENT ON COLUMN leveret.targets.filled_at IS 'When there were so many';
COMMENT ON COLUMN leveret.targets.rate_count IS 'What the activity said that was made last: so many in';
COMMENT ON COLUMN leveret.targets.rate_per_ms IS 'so many milliseconds';
COMMENT ON COLUMN leveret.targets.concurrency IS 'What the activity said that was made last: so many at once';
