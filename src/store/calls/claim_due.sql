-- The oldest calls of each limit group, then of each target, then of all.
WITH RECURSIVE limit_groups AS (
    -- From limit group to limit group through the index, however many calls wait in each. The same as in next_at.sql.
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
), room AS (
    SELECT g.target, g.limit_group,
           -- $1: places left by target, where that is less than the rest says.
           least(($1->>g.target)::int,
                 CASE WHEN starts_with(g.target, 'work:') THEN $2 ELSE least($3, $4) END) AS of_target,
           -- $5: the same by target and limit group.
           ($5->>(g.target || ' ' || g.limit_group))::int AS of_group
      FROM limit_groups AS g
), found AS (
    SELECT first.id, first.kind, first.next_at, r.of_target,
           row_number() OVER (PARTITION BY r.target ORDER BY first.next_at, first.id) AS at_target
      FROM room AS r
     CROSS JOIN LATERAL (
           SELECT c.id, c.kind, c.next_at
             FROM leveret.calls AS c
            WHERE c.state = 'pending' AND c.target = r.target AND c.limit_group = r.limit_group
              AND c.next_at <= statement_timestamp()
            ORDER BY c.next_at
            LIMIT least(r.of_target, r.of_group)
              FOR UPDATE SKIP LOCKED) AS first
), fair AS (
    SELECT f.id, f.kind, f.next_at, row_number() OVER (PARTITION BY f.kind ORDER BY f.next_at, f.id) AS of_kind
      FROM found AS f
     WHERE f.at_target <= f.of_target
), judged AS (
    SELECT due.id, due.next_at,
           coalesce((SELECT i.status
                       FROM leveret.instances AS i JOIN leveret.calls AS c ON c.instance_id = i.id
                      WHERE c.id = due.id) = 'suspended', false) AS suspended
      FROM fair AS due
     WHERE due.of_kind <= CASE due.kind WHEN 'work' THEN $2 ELSE $4 END
     -- Twice CLAIMED_MAX. A number here tells the planner how few rows are wanted.
     LIMIT 128
)
UPDATE leveret.calls AS c
   SET next_at = clock_timestamp() + make_interval(secs => CASE WHEN judged.suspended THEN $6 ELSE $7 END)
  FROM judged
 WHERE c.id = judged.id AND c.state = 'pending'
RETURNING c.id, c.dispatch, c.kind, c.target, c.limits, c.limit_group, judged.next_at, judged.suspended
