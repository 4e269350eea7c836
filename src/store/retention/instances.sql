WITH page AS (
    SELECT id, ended_at, parent
      FROM leveret.instances
     WHERE {which} AND id > $2 AND id < leveret.uuid_at($3)
     ORDER BY id
     LIMIT {limit}
), gone AS (
    SELECT i.id
      FROM leveret.instances AS i JOIN page ON page.id = i.id
     WHERE page.ended_at < $3
       AND NOT EXISTS (SELECT FROM leveret.instances AS p WHERE p.id = page.parent AND p.ended_at IS NULL)
       AND {exported}
       FOR UPDATE OF i SKIP LOCKED
), bookmarks AS (
    DELETE FROM leveret.bookmarks WHERE instance_id IN (SELECT id FROM gone)
), tasks AS (
    DELETE FROM leveret.tasks WHERE instance_id IN (SELECT id FROM gone)
), exported AS (
    DELETE FROM leveret.exported WHERE instance_id IN (SELECT id FROM gone)
), calls AS (
    DELETE FROM leveret.calls WHERE instance_id IN (SELECT id FROM gone)
), attributes AS (
    DELETE FROM leveret.search_attributes WHERE instance_id IN (SELECT id FROM gone)
), instances AS (
    DELETE FROM leveret.instances WHERE id IN (SELECT id FROM gone)
)
SELECT (SELECT count(*) FROM page), (SELECT id FROM page ORDER BY id DESC LIMIT 1), (SELECT array_agg(id) FROM gone)
