-- The time comes from a subquery, so that it bounds the range that is read of an index.
WITH silent AS (
    SELECT id
      FROM leveret.calls
     WHERE state IN ('running', 'waiting') AND next_at IS NOT NULL AND next_at <= (SELECT clock_timestamp())
     ORDER BY next_at
     LIMIT {limit}
       FOR UPDATE SKIP LOCKED
), lapsed AS (
    -- A claim has moved `next_at`.
    SELECT id
      FROM leveret.calls
     WHERE state = 'pending' AND purpose = 'attempt'
       AND until <= (SELECT clock_timestamp()) AND next_at <= (SELECT clock_timestamp())
     ORDER BY until
     LIMIT {limit}
       FOR UPDATE SKIP LOCKED
), due AS (
    SELECT id, false AS lapsed FROM silent
    UNION ALL
    SELECT id, true FROM lapsed
)
UPDATE leveret.calls AS c
   SET next_at = clock_timestamp() + make_interval(secs => $1)
  FROM due
 WHERE c.id = due.id
RETURNING c.id, c.instance_id, c.bookmark, c.dispatch, c.kind, due.lapsed,
          coalesce(c.deadline <= clock_timestamp(), false)
