-- Commands from SQL, in a transaction of the caller: the command is published if, and only if, that transaction commits. An
-- invalid command is refused here, because after the commit its sender gets no error.
-- The functions run with the rights of their owner, so that a service needs no right on any table:
--   GRANT USAGE ON SCHEMA leveret TO shop; GRANT EXECUTE ON FUNCTION leveret.start TO shop;

CREATE FUNCTION leveret.uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid
$$;
COMMENT ON FUNCTION leveret.uuidv7() IS 'A new UUIDv7: 48 bits of time in milliseconds, then random bits';

CREATE FUNCTION leveret.refuse_key(key text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key_max CONSTANT integer := 255;
BEGIN
    IF key = '' OR octet_length(key) > key_max THEN
        RAISE EXCEPTION 'the key must have from 1 to % bytes', key_max USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION leveret.refuse_key(text) IS 'Raises an error for a business key that is empty or too long';

CREATE FUNCTION leveret.refuse_number(body jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Halfway from the largest double to the next one there would be.
    double_end CONSTANT numeric := 1.797693134862315807e308;
    wrong text;
BEGIN
    -- A number that does not fit has at least 19 digits in a row; nearly every command has none.
    IF body::text !~ '[0-9]{19}' THEN
        RETURN;
    END IF;
    SELECT left(found.number::text, 40) INTO wrong
      FROM (SELECT (number #>> '{}')::numeric AS number
              FROM jsonb_path_query(body, 'strict $.** ? (@.type() == "number")') AS number) AS found
     WHERE CASE scale(found.number)
           WHEN 0 THEN found.number NOT BETWEEN -9223372036854775808 AND 9223372036854775807
           ELSE abs(found.number) >= double_end END
     LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the number % fits neither a 64-bit integer nor a double: send it as text, in quotes', wrong
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION leveret.refuse_number(jsonb) IS
    'Raises an error for a number that a reader of the command could only take for another one';

-- A row for the relay wakes it when its transaction commits. Transactions that notify commit one after the other, because PostgreSQL keeps
-- notifications in the order of the commits. So a relay with much to do looks again and again by itself, and is not notified meanwhile.
CREATE SEQUENCE leveret.relay_looks_until AS bigint MINVALUE 0 START 0;
COMMENT ON SEQUENCE leveret.relay_looks_until IS
    'Until then a relay looks for rows by itself, in milliseconds since 1970. A sequence, because it is read and set outside of transactions';

CREATE FUNCTION leveret.epoch_ms() RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;
COMMENT ON FUNCTION leveret.epoch_ms() IS 'The time now, in milliseconds since 1970';

CREATE FUNCTION leveret.relay_looks(for_ms integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT setval('leveret.relay_looks_until', leveret.epoch_ms() + for_ms)
$$;
COMMENT ON FUNCTION leveret.relay_looks(integer) IS 'A relay promises to look for rows by itself for this time in milliseconds';

CREATE FUNCTION leveret.claimable_now() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- A later time is of another clock: that of a server before a failover.
    promise_max CONSTANT bigint := 2000;
    now_ms CONSTANT bigint := leveret.epoch_ms();
    looks_until bigint;
BEGIN
    SELECT last_value INTO looks_until FROM leveret.relay_looks_until;
    IF looks_until NOT BETWEEN now_ms AND now_ms + promise_max
        AND coalesce(current_setting('leveret.notify', true), '') <> 'off' THEN
        PERFORM pg_notify('leveret_outbox', '');
    END IF;
    RETURN now();
END $$;
COMMENT ON FUNCTION leveret.claimable_now() IS
    'The time for outbox.claimable_at of a row that the relay shall publish at once: wakes the relay at the commit';

CREATE FUNCTION leveret.push_command(kind text, topic text, body jsonb, message_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- The limits of commands that arrive over the broker.
    name_max CONSTANT integer := 255;
    body_max CONSTANT integer := 262144;
    depth_max CONSTANT integer := 64;
    id uuid := leveret.uuidv7();
    content bytea := convert_to(body::text, 'UTF8');
    sent_as text := coalesce(push_command.message_id, id::text);
    -- Who has logged in. Here current_user is the owner of this function, and SET ROLE would change it for the caller.
    sender text := 'leveret.sql/' || session_user;
BEGIN
    IF topic IS NULL OR topic = '' OR octet_length(kind || '.' || topic) > name_max THEN
        RAISE EXCEPTION 'the name must have from 1 to % bytes', name_max - octet_length(kind) - 1
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF sent_as = '' OR octet_length(sent_as) > name_max THEN
        RAISE EXCEPTION 'the message id must have from 1 to % bytes', name_max USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF octet_length(content) > body_max THEN
        RAISE EXCEPTION 'the command has % bytes; at most % are allowed', octet_length(content), body_max
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A deeper value would be committed and could never be read. The number is literal: a JSON path takes no variable there.
    IF body @? 'strict $.**{64} ? (@.type() == "object" || @.type() == "array")' THEN
        RAISE EXCEPTION 'the command nests deeper than % levels of lists and maps', depth_max
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM leveret.refuse_number(body);
    INSERT INTO leveret.outbox (id, exchange, routing_key, kind, app_id, message_id, body, claimable_at)
        VALUES (id, 'forwarded', kind || '.' || topic, kind, sender, sent_as, content, leveret.claimable_now());
    RETURN sent_as;
END $$;
COMMENT ON FUNCTION leveret.push_command(text, text, jsonb, text) IS 'Writes a command into the outbox';

CREATE FUNCTION leveret.start(name text, input jsonb DEFAULT '{}', key text DEFAULT NULL, version integer DEFAULT NULL,
    on_conflict text DEFAULT 'reject', message_id text DEFAULT NULL, started_by text DEFAULT NULL,
    priority smallint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name_max CONSTANT integer := 255;
BEGIN
    IF on_conflict IS NULL OR on_conflict NOT IN ('reject', 'return', 'replace') THEN
        RAISE EXCEPTION 'on_conflict must be reject, return or replace' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_typeof(input) NOT IN ('object', 'null') THEN
        RAISE EXCEPTION 'the input must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM leveret.refuse_key(key);
    IF started_by = '' OR octet_length(started_by) > name_max THEN
        RAISE EXCEPTION 'started_by must have from 1 to % bytes', name_max USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN leveret.push_command('start', name,
        jsonb_strip_nulls(jsonb_build_object('definition', name, 'key', key, 'version', version,
            'on_conflict', on_conflict, 'user', started_by, 'priority', priority)) || jsonb_build_object('input', coalesce(input, '{}')),
        message_id);
END $$;
COMMENT ON FUNCTION leveret.start(text, jsonb, text, integer, text, text, text, smallint) IS
    'Starts an instance when the calling transaction commits; returns the message id, which is the idempotency key of the command. started_by: the person for whom it is started; priority: that of the definition when left out';

CREATE FUNCTION leveret.message(name text, key text, data jsonb DEFAULT 'null', ttl integer DEFAULT NULL,
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
COMMENT ON FUNCTION leveret.message(text, text, jsonb, integer, text) IS
    'Sends a message when the calling transaction commits; ttl: seconds it is kept if no instance waits for it yet';

CREATE FUNCTION leveret.broadcast(name text, key text, data jsonb DEFAULT 'null', message_id text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION 'a message needs a key' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM leveret.refuse_key(key);
    RETURN leveret.push_command('message', name,
        jsonb_build_object('name', name, 'key', key, 'broadcast', true, 'data', coalesce(data, 'null')), message_id);
END $$;
COMMENT ON FUNCTION leveret.broadcast(text, text, jsonb, text) IS
    'Sends a message to every instance that waits for it when it is handled, after the calling transaction has committed';

CREATE FUNCTION leveret.doubles(columns record) RETURNS integer[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_own_type CONSTANT integer := 16384;
    -- The binary form of a row of nulls: the number of columns, then of each its type and a length of -1.
    sent bytea := record_send(columns);
    kind oid;
    found integer[] := '{}';
BEGIN
    FOR at IN 0 .. (octet_length(sent) - 4) / 8 - 1 LOOP
        kind := ('x' || encode(substr(sent, 5 + 8 * at, 4), 'hex'))::bit(32)::bigint;
        WHILE kind >= first_own_type LOOP
            -- What a domain is based on, and the elements of an array of it; zero for all others.
            SELECT CASE typtype WHEN 'd' THEN typbasetype ELSE CASE typcategory WHEN 'A' THEN typelem ELSE 0 END END
              INTO kind FROM pg_type WHERE oid = kind;
        END LOOP;
        IF kind IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype,
                    'float4[]'::regtype, 'float8[]'::regtype, 'numeric[]'::regtype) THEN
            found := found || at;
        END IF;
    END LOOP;
    RETURN found;
END $$;
COMMENT ON FUNCTION leveret.doubles(record) IS
    'The columns of a row of nulls, counted from 0, whose numbers are doubles: to a reader of JSON, a 7 among them looks like an integer';

REVOKE ALL ON FUNCTION leveret.refuse_key(text), leveret.refuse_number(jsonb), leveret.relay_looks(integer),
    leveret.claimable_now(), leveret.push_command(text, text, jsonb, text),
    leveret.start(text, jsonb, text, integer, text, text, text, smallint), leveret.message(text, text, jsonb, integer, text),
    leveret.broadcast(text, text, jsonb, text) FROM PUBLIC;
