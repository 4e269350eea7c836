-- What the worker would refuse is refused here, in the caller's own transaction: later nobody is there to be told.
CREATE FUNCTION leveret.refuse_key(key text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key_max CONSTANT integer := 255;
BEGIN
    IF key = '' OR octet_length(key) > key_max THEN
        RAISE EXCEPTION 'the key must have from 1 to % bytes', key_max USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION leveret.refuse_key(text) IS 'Raises an error for a business key that no command may have';

CREATE OR REPLACE FUNCTION leveret.start(name text, input jsonb DEFAULT '{}', key text DEFAULT NULL, version integer DEFAULT NULL,
    on_conflict text DEFAULT 'reject', message_id text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF on_conflict IS NULL OR on_conflict NOT IN ('reject', 'return', 'replace') THEN
        RAISE EXCEPTION 'on_conflict must be reject, return or replace' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_typeof(input) NOT IN ('object', 'null') THEN
        RAISE EXCEPTION 'the input must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM leveret.refuse_key(key);
    RETURN leveret.push_command('start', name,
        jsonb_strip_nulls(jsonb_build_object('definition', name, 'key', key, 'version', version,
            'on_conflict', on_conflict)) || jsonb_build_object('input', coalesce(input, '{}')),
        message_id);
END $$;

CREATE OR REPLACE FUNCTION leveret.message(name text, key text, data jsonb DEFAULT 'null', ttl integer DEFAULT NULL,
    message_id text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION 'a message needs a key' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM leveret.refuse_key(key);
    IF ttl < 0 THEN
        RAISE EXCEPTION 'ttl must not be negative' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN leveret.push_command('message', name,
        jsonb_strip_nulls(jsonb_build_object('name', name, 'key', key, 'ttl', ttl))
            || jsonb_build_object('data', coalesce(data, 'null')),
        message_id);
END $$;

CREATE OR REPLACE FUNCTION leveret.broadcast(name text, key text, data jsonb DEFAULT 'null', message_id text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION 'a message needs a key' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM leveret.refuse_key(key);
    RETURN leveret.push_command('message', name,
        jsonb_build_object('name', name, 'key', key, 'broadcast', true, 'data', coalesce(data, 'null')), message_id);
END $$;

REVOKE ALL ON FUNCTION leveret.refuse_key(text) FROM PUBLIC;
