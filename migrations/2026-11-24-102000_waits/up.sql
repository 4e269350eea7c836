-- Messages for one instance only, incidents to be listed, and broadcasts from SQL.

ALTER TABLE leveret.messages ADD COLUMN instance_id uuid;
COMMENT ON COLUMN leveret.messages.instance_id IS
    'The only instance that may take it: a broadcast found it suspended. Null: whoever waits for it first';

COMMENT ON COLUMN leveret.bookmarks.branch IS
    'The branch that waits; null for the time limit of the whole instance, and for a suspension by hand';

-- For the list of incidents: few are ever open.
CREATE INDEX bookmarks_incidents ON leveret.bookmarks (opened_at, instance_id, number)
    WHERE consumed_at IS NULL AND kind = 'intervention';

CREATE FUNCTION leveret.broadcast(name text, key text, data jsonb DEFAULT 'null', message_id text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION 'a message needs a key' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN leveret.push_command('message', name,
        jsonb_build_object('name', name, 'key', key, 'broadcast', true, 'data', coalesce(data, 'null')), message_id);
END $$;
COMMENT ON FUNCTION leveret.broadcast(text, text, jsonb, text) IS
    'Sends a message to everybody who waits for it when it is handled, once the calling transaction has committed';

REVOKE ALL ON FUNCTION leveret.broadcast(text, text, jsonb, text) FROM PUBLIC;
