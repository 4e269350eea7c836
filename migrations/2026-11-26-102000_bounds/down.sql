DROP INDEX leveret.instances_by_key;

ALTER TABLE leveret.inbox ADD COLUMN branch integer;
COMMENT ON COLUMN leveret.inbox.branch IS 'The branch the command moved: a repetition drives it on if it is ready';

COMMENT ON COLUMN leveret.dead_letters.instance_id IS NULL;
COMMENT ON COLUMN leveret.dead_letters.body IS NULL;
ALTER TABLE leveret.dead_letters DROP COLUMN body_bytes;

CREATE OR REPLACE FUNCTION leveret.push_command(kind text, topic text, body jsonb, message_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- The bounds of commands that come over the broker.
    name_max CONSTANT integer := 255;
    body_max CONSTANT integer := 262144;
    id uuid := leveret.uuidv7();
    content bytea := convert_to(body::text, 'UTF8');
    sent_as text := coalesce(push_command.message_id, id::text);
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
    INSERT INTO leveret.outbox (id, exchange, routing_key, kind, app_id, message_id, body)
        VALUES (id, 'commands', kind || '.' || topic, kind, 'leveret.sql', sent_as, content);
    RETURN sent_as;
END $$;
