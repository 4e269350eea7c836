WITH silent AS (
    SELECT id
      FROM leveret.instances
     WHERE ready AND status <> 'suspended' AND queue || CASE WHEN priority > 0 THEN '.urgent' ELSE '' END <> ALL ($1)
       AND coalesce(rechecked_at, moved_at) < now() - greatest(recheck_for, $2) * interval '1 millisecond'
     LIMIT {limit}
       FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE leveret.instances AS i
   SET rechecked_at = now(),
       recheck_for = least(greatest(i.recheck_for, $2) * 2, $3)
  FROM silent
 WHERE i.id = silent.id
RETURNING i.id, i.queue || CASE WHEN i.priority > 0 THEN '.urgent' ELSE '' END, i.branches
