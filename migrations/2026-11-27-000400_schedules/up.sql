CREATE TABLE leveret.schedules (
    name          text        PRIMARY KEY,
    definition    text        NOT NULL,
    version       integer,
    cron          text        NOT NULL,
    zone          text        NOT NULL,
    input         jsonb       NOT NULL,
    overlap       text        NOT NULL CHECK (overlap IN ('skip', 'allow', 'queue', 'cancel')),
    catch_up_for  bigint      NOT NULL CHECK (catch_up_for >= 0),
    missed        text        NOT NULL CHECK (missed IN ('newest', 'all')),
    revision      bigint      NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    paused_at     timestamptz,
    next_at       timestamptz,
    wake_at       timestamptz,
    queued_at     timestamptz,
    last_tick_at  timestamptz,
    last_instance uuid,
    last_error    text,
    last_error_at timestamptz,
    started       bigint      NOT NULL DEFAULT 0,
    skipped       bigint      NOT NULL DEFAULT 0,
    failed        bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE  leveret.schedules               IS 'One row per schedule: starts instances of a definition by a cron expression';
COMMENT ON COLUMN leveret.schedules.version       IS 'Version of the definition to start; null: the newest active one';
COMMENT ON COLUMN leveret.schedules.zone          IS 'Time zone of the cron expression';
COMMENT ON COLUMN leveret.schedules.input         IS 'Input of the instances. Its strings are templates with now, scheduled_at, schedule and zone';
COMMENT ON COLUMN leveret.schedules.overlap       IS 'What a tick does while the instance of an earlier tick is still live';
COMMENT ON COLUMN leveret.schedules.catch_up_for  IS 'Milliseconds: missed ticks that are older are skipped';
COMMENT ON COLUMN leveret.schedules.missed        IS 'Which ticks missed within catch_up_for are started: all, or only the newest';
COMMENT ON COLUMN leveret.schedules.revision      IS 'Raised by every change that a person makes';
COMMENT ON COLUMN leveret.schedules.paused_at     IS 'When it was paused; null while it is active';
COMMENT ON COLUMN leveret.schedules.next_at       IS 'The first tick that was not handled yet';
COMMENT ON COLUMN leveret.schedules.wake_at       IS 'When it is claimed next; while a tick is handled, when that claim expires. Null while it is paused';
COMMENT ON COLUMN leveret.schedules.queued_at     IS 'A tick that waits until the instance of an earlier tick ends';
COMMENT ON COLUMN leveret.schedules.last_tick_at  IS 'The newest tick that was started, or failed to start';
COMMENT ON COLUMN leveret.schedules.last_instance IS 'The instance that was started last';
COMMENT ON COLUMN leveret.schedules.last_error    IS 'Why the newest tick failed to start';
COMMENT ON COLUMN leveret.schedules.started       IS 'Number of ticks that started an instance';
COMMENT ON COLUMN leveret.schedules.skipped       IS 'Number of ticks that were skipped';
COMMENT ON COLUMN leveret.schedules.failed        IS 'Number of ticks that failed to start';

CREATE INDEX schedules_due ON leveret.schedules (wake_at) WHERE wake_at IS NOT NULL;
