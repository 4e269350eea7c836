UPDATE leveret.calls AS c
   SET state = 'running',
       begun_at = t.now,
       deadline = t.deadline,
       -- The worker that makes a request notices its timeout; $3 ms later others conclude that the worker has died.
       next_at = CASE WHEN c.kind = 'work' THEN t.deadline ELSE t.deadline + $3 * interval '1 millisecond' END,
       -- While its target is probed the token of the lost attempt stays valid: its owner may know the outcome.
       token_hash = CASE WHEN c.purpose = 'probe' THEN c.token_hash ELSE $4 END
  FROM (SELECT w.id, n.now,
               -- A request has a limit of its own, however long its call may wait: a worker that died is noticed by it.
               least(CASE WHEN w.purpose = 'attempt' THEN w.until END,
                     n.now + interval '1 millisecond'
                           * CASE WHEN w.kind = 'work' THEN w.timeout_ms
                                  ELSE least(w.timeout_ms, $5, CASE WHEN w.callback THEN $6 END) END) AS deadline
          FROM leveret.calls AS w, (SELECT clock_timestamp() AS now) AS n
         WHERE w.id = $1) AS t
 WHERE c.id = t.id AND c.dispatch = $2
   -- Marked by this token already: the answer was lost, and nothing was sent.
   AND (c.state = 'pending' OR c.state = 'running' AND c.token_hash = $4)
   -- A call whose time is over is not sent: claim_overdue ends it.
   AND (c.purpose = 'probe' OR c.until IS NULL OR c.until > t.now)
   AND NOT EXISTS (SELECT FROM leveret.instances AS i WHERE i.id = c.instance_id AND i.status = 'suspended')
RETURNING c.instance_id, c.bookmark, c.activity, c.attempt, c.kind, c.target, c.purpose,
          c.request, c.probe, c.callback, c.heartbeat_ms, c.deadline, t.now, c.trace,
          coalesce(c.error->>'code' = 'timeout', false)
