WITH erased AS (
    UPDATE leveret.instances
       SET key = NULL, input = '{}', variables = '{}', output = NULL, error = NULL, started_by = NULL,
           user_id = NULL, branches = jsonb_set(branches, '{branches}', '[]')
     WHERE id = $1 AND ended_at IS NOT NULL
    RETURNING id
), bookmarks AS (
    DELETE FROM leveret.bookmarks WHERE instance_id IN (SELECT id FROM erased)
), attributes AS (
    DELETE FROM leveret.search_attributes WHERE instance_id IN (SELECT id FROM erased)
), tasks AS (
    DELETE FROM leveret.tasks WHERE instance_id IN (SELECT id FROM erased) RETURNING 1
), calls AS (
    DELETE FROM leveret.calls WHERE instance_id IN (SELECT id FROM erased) RETURNING 1
), letters AS (
    DELETE FROM leveret.dead_letters WHERE instance_id IN (SELECT id FROM erased) RETURNING 1
), messages AS (
    DELETE FROM leveret.messages WHERE instance_id IN (SELECT id FROM erased)
), dead_rows AS (
    DELETE FROM leveret.outbox WHERE instance_id IN (SELECT id FROM erased) AND dead_at IS NOT NULL
)
SELECT EXISTS (SELECT FROM erased), (SELECT count(*) FROM tasks), (SELECT count(*) FROM calls),
       (SELECT count(*) FROM letters)
