-- What operators do. Rows are appended in the transaction of the action; steps, starts and messages write none.
CREATE TABLE leveret.audit (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text        NOT NULL,
    door    text        NOT NULL CHECK (door IN ('http', 'cli', 'broker', 'bulk')),
    action  text        NOT NULL,
    subject text        NOT NULL,
    object  text        NOT NULL,
    reason  text,
    outcome text        NOT NULL,
    details jsonb
);
COMMENT ON TABLE  leveret.audit         IS 'One row per action of an operator; append-only';
COMMENT ON COLUMN leveret.audit.at      IS 'When it was done, by the clock of this database';
COMMENT ON COLUMN leveret.audit.actor   IS 'Who: a person where the door knows one, or else the verified user of RabbitMQ, or the sender of the command';
COMMENT ON COLUMN leveret.audit.door    IS 'Through which door it came: http, cli, broker, or bulk for a bulk job';
COMMENT ON COLUMN leveret.audit.action  IS 'What was done: suspend, call.resolve, schedule.pause';
COMMENT ON COLUMN leveret.audit.subject IS 'The kind of the object: instance, task, call, schedule, definition, dead_letter';
COMMENT ON COLUMN leveret.audit.object  IS 'The id or name of the object';
COMMENT ON COLUMN leveret.audit.reason  IS 'Why, as the operator worded it';
COMMENT ON COLUMN leveret.audit.outcome IS 'What came of it';
COMMENT ON COLUMN leveret.audit.details IS 'Further facts, such as numbers; never the data of instances';

CREATE INDEX audit_object ON leveret.audit (subject, object, id);
CREATE INDEX audit_actor  ON leveret.audit (actor, id);
CREATE INDEX audit_action ON leveret.audit (action, id);

CREATE FUNCTION leveret.refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'leveret_retention' AND TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'only the role leveret_retention may delete what is no longer kept';
END $$;
COMMENT ON FUNCTION leveret.refuse_change_of_audit() IS
    'Refuses updates of the audit log, and deletes, except by the role leveret_retention';

CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON leveret.audit
    FOR EACH ROW EXECUTE FUNCTION leveret.refuse_change_of_audit();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON leveret.audit
    FOR EACH STATEMENT EXECUTE FUNCTION leveret.refuse_change_of_audit();

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'leveret_retention') THEN
        GRANT SELECT, DELETE ON leveret.audit TO leveret_retention;
    END IF;
END $$;
