-- Calls of one target with the same limits wait for the same thing: each of these groups is claimed by itself. Zero has no limits.
ALTER TABLE leveret.calls ADD COLUMN limit_group bigint NOT NULL
    GENERATED ALWAYS AS (coalesce(jsonb_hash_extended(limits, 0), 0)) STORED;
COMMENT ON COLUMN leveret.calls.limit_group IS 'The same for calls with the same limits; 0 if there are none';
DROP INDEX leveret.calls_pending;
CREATE INDEX calls_pending ON leveret.calls (target, limit_group, next_at) WHERE state = 'pending';

ALTER TABLE leveret.targets ADD COLUMN asked_at timestamptz;
COMMENT ON COLUMN leveret.targets.asked_at IS 'When an attempt was last let through to ask; outcomes of those begun before do not count';

-- A bucket for each rate, so that who asks for many a second neither fills nor empties that of who asks for one an hour.
ALTER TABLE leveret.targets ADD COLUMN buckets jsonb NOT NULL DEFAULT '[]';
UPDATE leveret.targets SET buckets = jsonb_build_array(jsonb_build_object('count', rate_count, 'per_ms', rate_per_ms,
       'tokens', tokens, 'filled_at', floor(extract(epoch FROM filled_at) * 1000000)::bigint))
 WHERE tokens IS NOT NULL AND rate_count IS NOT NULL AND rate_per_ms IS NOT NULL;
ALTER TABLE leveret.targets DROP COLUMN tokens, DROP COLUMN filled_at;
COMMENT ON COLUMN leveret.targets.buckets IS
    'Attempts that may begin at once, and when there were so many, for each rate; processes lease them in batches';
