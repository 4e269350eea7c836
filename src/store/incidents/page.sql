-- The index is asked for one fingerprint after the other, so that a group costs the same whether it has ten incidents or a million;
-- only the groups of the page are counted.
WITH RECURSIVE found (fingerprint) AS (
    (SELECT b.fingerprint FROM leveret.bookmarks AS b
      WHERE b.consumed_at IS NULL AND b.fingerprint IS NOT NULL ORDER BY b.fingerprint LIMIT 1)
    UNION ALL
    SELECT (SELECT b.fingerprint FROM leveret.bookmarks AS b
             WHERE b.consumed_at IS NULL AND b.fingerprint IS NOT NULL AND b.fingerprint > found.fingerprint
             ORDER BY b.fingerprint LIMIT 1)
      FROM found WHERE found.fingerprint IS NOT NULL
), known AS (
    SELECT fingerprint FROM found WHERE fingerprint IS NOT NULL LIMIT {groups_max}
), page AS (
    SELECT known.fingerprint, newest.*
      FROM known CROSS JOIN LATERAL (
        SELECT b.instance_id, b.number, b.activity, b.details, b.opened_at AS last_at, i.definition, i.key
          FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id
         WHERE b.consumed_at IS NULL AND b.fingerprint = known.fingerprint
         ORDER BY b.opened_at DESC, b.instance_id DESC, b.number DESC LIMIT 1) AS newest
     WHERE ($1::timestamptz IS NULL OR (newest.last_at, known.fingerprint) < ($1, $2))
       AND ($3::text IS NULL OR newest.definition = $3)
       AND ($4::text IS NULL OR known.fingerprint = $4)
     ORDER BY newest.last_at DESC, known.fingerprint DESC LIMIT {limit}
)
SELECT page.*, counted.count, counted.first_at, versions.list AS versions, g.assignee, g.muted_until,
       coalesce(g.muted_until > now(), false) AS muted
  FROM page
 CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(b.opened_at) AS first_at FROM leveret.bookmarks AS b
     WHERE b.consumed_at IS NULL AND b.fingerprint = page.fingerprint) AS counted
 CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT recent.version ORDER BY recent.version) AS list FROM (
        SELECT i.version FROM leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id
         WHERE b.consumed_at IS NULL AND b.fingerprint = page.fingerprint
         ORDER BY b.opened_at DESC LIMIT {versions_max}) AS recent) AS versions
  LEFT JOIN leveret.incident_groups AS g ON g.fingerprint = page.fingerprint
 ORDER BY page.last_at DESC, page.fingerprint DESC
