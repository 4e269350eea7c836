WITH due AS (
    SELECT instance_id, number
      FROM leveret.bookmarks
     WHERE consumed_at IS NULL
       AND next_check_at <= now()
       -- In a busy queue, not what may have a command under way: it came due with a wake-up, or was claimed before.
       AND (cardinality($1) = 0
            OR next_check_at = due_at
            OR due_at < now() - interval '2 minutes'
            OR (SELECT i.queue || CASE WHEN i.priority > 0 THEN '.urgent' ELSE '' END
                  FROM leveret.instances AS i WHERE i.id = instance_id) <> ALL ($1))
     ORDER BY next_check_at
     LIMIT {limit}
       FOR UPDATE SKIP LOCKED
)
UPDATE leveret.bookmarks AS b
   SET next_check_at = now() + make_interval(secs => $2)
  FROM due
 WHERE b.instance_id = due.instance_id AND b.number = due.number
RETURNING b.instance_id, b.number, b.due_at,
          (SELECT i.queue || CASE WHEN i.priority > 0 THEN '.urgent' ELSE '' END
             FROM leveret.instances AS i WHERE i.id = b.instance_id),
          (SELECT i.status FROM leveret.instances AS i WHERE i.id = b.instance_id)
