WITH unsent AS (
    SELECT id, claimable_at, octet_length(body) AS bytes
      FROM leveret.outbox
     WHERE dead_at IS NULL AND claimable_at <= now()
     ORDER BY claimable_at
     LIMIT {limit}
       FOR UPDATE SKIP LOCKED
), fitting AS (
    -- The length of a body is known without reading it. A row that is locked and does not fit is free after this statement.
    SELECT id
      FROM (SELECT id, sum(bytes) OVER (ORDER BY claimable_at, id) - bytes AS before FROM unsent) AS summed
     WHERE before < $1
)
UPDATE leveret.outbox AS o
   SET claimable_at = now() + $2 * interval '1 millisecond'
  FROM fitting
 WHERE o.id = fitting.id
RETURNING o.id, o.exchange, o.routing_key, o.kind, o.app_id, o.message_id, o.reply_to, o.correlation_id,
          o.headers, o.body, o.due_at, o.instance_id
