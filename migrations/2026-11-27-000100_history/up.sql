-- Ids are UUIDv7, which begin with their time, so a range of ids is a range of time. All rows of an instance are in one
-- partition, which keeps their numbers unique, and old instances are dropped together with their partition.
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
COMMENT ON TABLE  leveret.history               IS 'One row per thing that happened to an instance; append-only';
COMMENT ON COLUMN leveret.history.number        IS 'Counted from 1 for each instance, without gaps';
COMMENT ON COLUMN leveret.history.at            IS 'When it happened, by the clock of this database';
COMMENT ON COLUMN leveret.history.kind          IS 'What happened';
COMMENT ON COLUMN leveret.history.activity      IS 'The activity it happened at';
COMMENT ON COLUMN leveret.history.branch        IS 'The branch it happened to';
COMMENT ON COLUMN leveret.history.details       IS 'Null after erasure';
COMMENT ON COLUMN leveret.history.salt          IS 'Random, so that details cannot be guessed from their digest. Null after erasure';
COMMENT ON COLUMN leveret.history.digest        IS 'SHA-256 of the salt and the canonical details: part of the hash in place of the details';
COMMENT ON COLUMN leveret.history.previous_hash IS 'Hash of the row before; zeros for the first row. The newest hash is in instances';

CREATE TABLE leveret.history_other PARTITION OF leveret.history DEFAULT;
COMMENT ON TABLE leveret.history_other IS 'Rows of instances whose id is outside of the partitions of all months';

-- The role that may erase. A role and not a setting, so that it can be withheld: the user that appends history is at most a
-- member and needs SET ROLE leveret_retention to change rows; superusers too. Roles belong to the whole server, so another
-- database may have created it already, or be creating it now. Without the right to create roles, erasing is impossible until
-- an administrator creates it, which is the safe side.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
        BEGIN
            CREATE ROLE leveret_retention NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role leveret_retention was not created: history cannot be erased before an administrator creates it';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
        GRANT USAGE ON SCHEMA leveret TO leveret_retention;
        GRANT SELECT, UPDATE, DELETE, TRUNCATE ON leveret.history, leveret.history_other TO leveret_retention;
    END IF;
END $$;

CREATE FUNCTION leveret.may_delete_history() RETURNS boolean LANGUAGE sql STABLE AS $$
    -- From PostgreSQL 16 on, who created a role is a member of it, and may not become it without a further grant.
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention')
       AND pg_has_role(current_user, 'leveret_retention',
                       CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END)
$$;
COMMENT ON FUNCTION leveret.may_delete_history() IS 'Whether this user may become leveret_retention, as the role cleaner must';

-- The user that migrates is the user that cleans, unless an administrator takes this back.
DO $$
BEGIN
    IF NOT leveret.may_delete_history() THEN
        GRANT leveret_retention TO CURRENT_USER;
    END IF;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object OR unique_violation THEN
        RAISE NOTICE 'this user is not a member of leveret_retention: ended instances are kept until an administrator grants it';
END $$;

CREATE FUNCTION leveret.refuse_change_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'leveret_retention' THEN
        RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
    END IF;
    RAISE EXCEPTION 'history is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'only the role leveret_retention may erase';
END $$;
COMMENT ON FUNCTION leveret.refuse_change_of_history() IS 'Refuses updates and deletes of history, except by the role leveret_retention';

-- Per row, because a trigger per statement does not fire for a statement that names a partition. Inserts have no trigger.
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON leveret.history
    FOR EACH ROW EXECUTE FUNCTION leveret.refuse_change_of_history();
CREATE TRIGGER history_is_not_emptied BEFORE TRUNCATE ON leveret.history
    FOR EACH STATEMENT EXECUTE FUNCTION leveret.refuse_change_of_history();
CREATE TRIGGER history_is_not_emptied BEFORE TRUNCATE ON leveret.history_other
    FOR EACH STATEMENT EXECUTE FUNCTION leveret.refuse_change_of_history();

CREATE FUNCTION leveret.uuid_at(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
COMMENT ON FUNCTION leveret.uuid_at(timestamptz) IS 'The smallest UUIDv7 of a point in time';

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
        -- Created alone and then attached: CREATE TABLE … PARTITION OF would block all readers and writers.
        EXECUTE format('CREATE TABLE leveret.%I (LIKE leveret.history INCLUDING ALL)', partition);
        EXECUTE format('COMMENT ON TABLE leveret.%I IS %L', partition,
            'Rows of instances started in ' || to_char(month AT TIME ZONE 'UTC', 'YYYY-MM'));
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
    'Creates the partitions of the month of a point in time and of the two months after it; returns how many were missing';

-- In the range of a partition no instance begins again, so that it stays empty.
-- Dropping needs the lock of the whole table, and every process that writes history would queue behind a long wait for it.
CREATE FUNCTION leveret.drop_empty_history_partitions(before timestamptz) RETURNS integer LANGUAGE plpgsql
SET lock_timeout = '100ms' AS $$
DECLARE
    dropped integer := 0;
    partition name;
    month timestamptz;
    next_month timestamptz;
    is_empty boolean;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'leveret.history'::regclass AND c.relname ~ '^history_[0-9]{6}$' ORDER BY c.relname
    LOOP
        month := to_date(substr(partition, 9), 'YYYYMM')::timestamp AT TIME ZONE 'UTC';
        next_month := ((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
        CONTINUE WHEN next_month > before OR EXISTS (SELECT FROM leveret.instances
            WHERE id >= leveret.uuid_at(month) AND id < leveret.uuid_at(next_month));
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM leveret.%I)', partition) INTO is_empty;
        CONTINUE WHEN NOT is_empty;
        EXECUTE format('DROP TABLE leveret.%I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION leveret.drop_empty_history_partitions(timestamptz) IS
    'Drops the partitions of whole months before a point in time in which no instance is left; returns how many';

SELECT leveret.ensure_history_partitions(now());
