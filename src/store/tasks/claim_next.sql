-- The head of each candidate's range of the index, then the first task of them that is not locked.
SELECT t.id, t.instance_id
  FROM unnest($1) AS mine (candidate)
 CROSS JOIN LATERAL (
       SELECT c.task_id, c.rank, c.opened_at
         FROM leveret.task_candidates AS c
         JOIN leveret.tasks AS free ON free.id = c.task_id
         JOIN leveret.instances AS i ON i.id = free.instance_id AND i.status <> 'suspended'
        WHERE c.candidate = mine.candidate AND free.open AND NOT free.vote
          AND (free.claimed_by IS NULL OR free.lease_until <= clock_timestamp())
          AND NOT ($2 = ANY (free.excluded))
          AND c.task_id <> ALL ($3)
          {definition}
        ORDER BY c.rank, c.opened_at, c.task_id
        LIMIT $4) AS head
  JOIN leveret.tasks AS t ON t.id = head.task_id
 -- Checked again on the locked row: it may have been claimed since the head was read.
 WHERE t.open AND (t.claimed_by IS NULL OR t.lease_until <= clock_timestamp())
 ORDER BY head.rank, head.opened_at, head.task_id
 LIMIT 1
   FOR NO KEY UPDATE OF t SKIP LOCKED
