WITH page AS (
    SELECT id
      FROM leveret.instances
     WHERE ended_at IS NULL AND id > $1 AND id < leveret.uuid_at($2)
     ORDER BY id
     LIMIT {limit}
), bookmarks AS (
    DELETE FROM leveret.bookmarks
     WHERE (instance_id, number) IN (
           SELECT b.instance_id, b.number FROM leveret.bookmarks AS b JOIN page ON page.id = b.instance_id
            WHERE b.consumed_at < $2 LIMIT {limit})
    RETURNING 1
), tasks AS (
    DELETE FROM leveret.tasks
     WHERE id IN (
           SELECT t.id FROM leveret.tasks AS t JOIN page ON page.id = t.instance_id
            WHERE t.closed_at < $2 LIMIT {limit})
    RETURNING 1
), calls AS (
    DELETE FROM leveret.calls
     WHERE id IN (
           SELECT c.id FROM leveret.calls AS c JOIN page ON page.id = c.instance_id
            WHERE c.ended_at < $2 LIMIT {limit})
    RETURNING 1
)
SELECT (SELECT count(*) FROM page), (SELECT id FROM page ORDER BY id DESC LIMIT 1),
       (SELECT count(*) FROM bookmarks) + (SELECT count(*) FROM tasks) + (SELECT count(*) FROM calls)
