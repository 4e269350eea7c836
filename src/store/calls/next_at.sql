-- The first call of each limit group; a call that is due already and was not claimed waits for a permit, not for a moment.
WITH RECURSIVE limit_groups AS (
    -- From limit group to limit group through the index, however many calls wait in each. The same as in claim_due.sql.
    (SELECT c.target, c.limit_group
       FROM leveret.calls AS c
      WHERE c.state = 'pending'
      ORDER BY c.target, c.limit_group LIMIT 1)
    UNION ALL
    SELECT next.target, next.limit_group
      FROM limit_groups AS g
     CROSS JOIN LATERAL (
           SELECT c.target, c.limit_group
             FROM leveret.calls AS c
            WHERE c.state = 'pending' AND (c.target, c.limit_group) > (g.target, g.limit_group)
            ORDER BY c.target, c.limit_group LIMIT 1) AS next
)
SELECT least((SELECT min(first.next_at)
                FROM limit_groups AS g
               CROSS JOIN LATERAL (
                     SELECT c.next_at
                       FROM leveret.calls AS c
                      WHERE c.state = 'pending' AND c.target = g.target AND c.limit_group = g.limit_group
                        AND c.next_at > statement_timestamp()
                      ORDER BY c.next_at LIMIT 1) AS first),
             (SELECT c.next_at
                FROM leveret.calls AS c
               WHERE c.state IN ('running', 'waiting') AND c.next_at IS NOT NULL
               ORDER BY c.next_at LIMIT 1),
             (SELECT greatest(c.until, c.next_at)
                FROM leveret.calls AS c
               WHERE c.state = 'pending' AND c.purpose = 'attempt' AND c.until IS NOT NULL
               ORDER BY c.until LIMIT 1)),
       clock_timestamp()
