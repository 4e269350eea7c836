WITH chosen AS (
    SELECT i.id, i.history_count
      FROM leveret.instances AS i
     WHERE {which} AND i.id < leveret.uuid_at($2) AND i.ended_at < $2
       AND NOT EXISTS (SELECT FROM leveret.instances AS p WHERE p.id = i.parent AND p.ended_at IS NULL)
       AND NOT EXISTS (SELECT FROM leveret.exported AS x
                        WHERE x.instance_id = i.id AND x.history_count = i.history_count)
     ORDER BY i.id
     LIMIT {limit}
       FOR KEY SHARE OF i SKIP LOCKED
), claimed AS (
    INSERT INTO leveret.exported AS x (instance_id, export_id, history_count)
    SELECT id, $3, history_count FROM chosen
        ON CONFLICT (instance_id) DO UPDATE SET export_id = excluded.export_id, history_count = excluded.history_count
     WHERE x.history_count <> excluded.history_count
    RETURNING instance_id
), export AS (
    INSERT INTO leveret.exports (id, claimed_until, instances)
    SELECT $3, now() + $4 * interval '1 millisecond', count(*) FROM claimed HAVING count(*) > 0
)
SELECT instance_id FROM claimed ORDER BY instance_id
