-- Ids are UUIDv7, which begin with their time, so a range of ids is a range of time: all rows of an instance are in
-- one partition, their numbers can be unique there, and old instances leave together with their partition.
CREATE TABLE leveret.history (
    instance_id   uuid        NOT NULL,
    number        bigint      NOT NULL,
    at            timestamptz NOT NULL,
    kind          text        NOT NULL,
    activity      text,
    branch        integer,
    details       jsonb,
    salt          bytea,
    digest        bytea       NOT NULL,
    previous_hash bytea       NOT NULL,
    PRIMARY KEY (instance_id, number)
) PARTITION BY RANGE (instance_id);
COMMENT ON TABLE leveret.history IS 'One row per thing that happened to an instance; only ever appended';
COMMENT ON COLUMN leveret.history.number IS 'Counted from 1 inside the instance, without gaps';
COMMENT ON COLUMN leveret.history.details IS 'Null after erasure';
COMMENT ON COLUMN leveret.history.salt IS 'Random; makes the digest useless for guessing details. Null after erasure';
COMMENT ON COLUMN leveret.history.digest IS 'SHA-256 of salt and canonical details: stands for the details in the hash';
COMMENT ON COLUMN leveret.history.previous_hash IS 'Hash of the row before; zeros before the first. The newest hash is in instances';

CREATE TABLE leveret.history_other PARTITION OF leveret.history DEFAULT;
COMMENT ON TABLE leveret.history_other IS 'One row per thing that happened to an instance whose id belongs to no month''s partition';

-- Who may erase. A role and not a setting, so that it can be withheld: whoever writes history in normal operation is
-- at most a member and must say SET ROLE leveret_retention to touch what is written, superusers too. Roles belong to the
-- whole server, so another database may have made it already, at this very moment even. Without the right to create
-- roles nobody can erase until an administrator creates it: the safe side.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
        BEGIN
            CREATE ROLE leveret_retention NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role leveret_retention was not created: nothing can erase history until it is';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
        GRANT USAGE ON SCHEMA leveret TO leveret_retention;
        GRANT SELECT, UPDATE, DELETE, TRUNCATE ON leveret.history, leveret.history_other TO leveret_retention;
    END IF;
END $$;

CREATE FUNCTION leveret.refuse_change_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'leveret_retention' THEN
        RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
    END IF;
    RAISE EXCEPTION 'history is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'only the role leveret_retention may erase';
END $$;
COMMENT ON FUNCTION leveret.refuse_change_of_history() IS 'Keeps history append-only';

-- Per row, because triggers per statement do not fire for a statement that names a partition. Inserts meet no trigger.
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON leveret.history
    FOR EACH ROW EXECUTE FUNCTION leveret.refuse_change_of_history();
CREATE TRIGGER history_is_not_emptied BEFORE TRUNCATE ON leveret.history
    FOR EACH STATEMENT EXECUTE FUNCTION leveret.refuse_change_of_history();
CREATE TRIGGER history_is_not_emptied BEFORE TRUNCATE ON leveret.history_other
    FOR EACH STATEMENT EXECUTE FUNCTION leveret.refuse_change_of_history();

CREATE FUNCTION leveret.uuid_at(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
COMMENT ON FUNCTION leveret.uuid_at(timestamptz) IS 'The smallest UUIDv7 of a moment';

CREATE FUNCTION leveret.ensure_history_partitions(moment timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    months_ahead CONSTANT integer := 2;
    made integer := 0;
    month timestamptz;
    lower_id uuid;
    upper_id uuid;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('leveret.ensure_history_partitions', 0));
    FOR ahead IN 0 .. months_ahead LOOP
        month := (date_trunc('month', moment AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC';
        lower_id := leveret.uuid_at(month);
        upper_id := leveret.uuid_at(((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
        partition := 'history_' || to_char(month AT TIME ZONE 'UTC', 'YYYYMM');
        CONTINUE WHEN to_regclass('leveret.' || partition) IS NOT NULL;
        IF EXISTS (SELECT FROM leveret.history_other WHERE instance_id >= lower_id AND instance_id < upper_id) THEN
            RAISE WARNING 'rows of % are in history_other already and stay there', partition;
            CONTINUE;
        END IF;
        -- Made apart and then attached: CREATE TABLE … PARTITION OF would lock out all readers and writers.
        EXECUTE format('CREATE TABLE leveret.%I (LIKE leveret.history INCLUDING ALL)', partition);
        EXECUTE format('COMMENT ON TABLE leveret.%I IS %L', partition,
            'One row per thing that happened to an instance of ' || to_char(month AT TIME ZONE 'UTC', 'YYYY-MM'));
        EXECUTE format('ALTER TABLE leveret.history ATTACH PARTITION leveret.%I FOR VALUES FROM (%L) TO (%L)',
            partition, lower_id, upper_id);
        EXECUTE format('CREATE TRIGGER history_is_not_emptied BEFORE TRUNCATE ON leveret.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION leveret.refuse_change_of_history()', partition);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
            EXECUTE format('GRANT SELECT, UPDATE, DELETE, TRUNCATE ON leveret.%I TO leveret_retention', partition);
        END IF;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION leveret.ensure_history_partitions(timestamptz) IS
    'Makes the partitions of a moment''s month and the two after it; returns how many were missing';

SELECT leveret.ensure_history_partitions(now());
