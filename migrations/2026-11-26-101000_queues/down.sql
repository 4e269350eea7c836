-- Whoever had no tokens left begins with as many as fall due at once.
ALTER TABLE leveret.targets
    ADD COLUMN tokens double precision,
    ADD COLUMN filled_at timestamptz,
    ADD CHECK ((tokens IS NULL) = (filled_at IS NULL)),
    DROP COLUMN buckets;
COMMENT ON COLUMN leveret.targets.tokens IS 'Attempts that may begin at once; processes lease them in batches';
COMMENT ON COLUMN leveret.targets.filled_at IS 'When there were so many';

ALTER TABLE leveret.targets DROP COLUMN asked_at;

DROP INDEX leveret.calls_pending;
CREATE INDEX calls_pending ON leveret.calls (target, next_at) WHERE state = 'pending';
ALTER TABLE leveret.calls DROP COLUMN limit_group;
