-- The role leveret_retention stays: it belongs to the server, and other databases may use it.
DROP FUNCTION leveret.drop_empty_history_partitions(timestamptz);
DROP FUNCTION leveret.ensure_history_partitions(timestamptz);
DROP FUNCTION leveret.may_delete_history();
DROP FUNCTION leveret.uuid_at(timestamptz);
DROP TABLE leveret.history;
DROP FUNCTION leveret.refuse_change_of_history();
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
        REVOKE USAGE ON SCHEMA leveret FROM leveret_retention;
    END IF;
END $$;
