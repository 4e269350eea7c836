-- Bounds that were missing: how deep a command from SQL may nest, and how much of a dead letter is kept.

CREATE OR REPLACE FUNCTION leveret.push_command(kind text, topic text, body jsonb, message_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- The bounds of commands that come over the broker.
    name_max CONSTANT integer := 255;
    body_max CONSTANT integer := 262144;
    depth_max CONSTANT integer := 64;
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
    -- What nests deeper would be committed and never read again. Written out, for a path knows no variable in its braces.
    IF body @? 'strict $.**{64} ? (@.type() == "object" || @.type() == "array")' THEN
        RAISE EXCEPTION 'the command nests deeper than % levels of lists and maps', depth_max
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO leveret.outbox (id, exchange, routing_key, kind, app_id, message_id, body)
        VALUES (id, 'commands', kind || '.' || topic, kind, 'leveret.sql', sent_as, content);
    RETURN sent_as;
END $$;

ALTER TABLE leveret.dead_letters ADD COLUMN body_bytes bigint;
UPDATE leveret.dead_letters SET body_bytes = octet_length(body);
ALTER TABLE leveret.dead_letters ALTER COLUMN body_bytes SET NOT NULL;
COMMENT ON COLUMN leveret.dead_letters.body IS 'As it came; of more than 1 MiB only the beginning';
COMMENT ON COLUMN leveret.dead_letters.body_bytes IS 'Bytes of the body as it came';
COMMENT ON COLUMN leveret.dead_letters.instance_id IS 'The instance it names by its id, if it could be read that far';

-- Never written: a repetition looks for whatever branch of its instance is ready.
ALTER TABLE leveret.inbox DROP COLUMN branch;

-- For whoever looks for an order by its number, ended or not: instances_key holds live ones only.
CREATE INDEX instances_by_key ON leveret.instances (key, id) WHERE key IS NOT NULL;
