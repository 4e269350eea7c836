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
COMMENT ON TABLE leveret.schedules IS 'One row per plan to start a definition again and again';
COMMENT ON COLUMN leveret.schedules.version IS 'Always this version; the newest active one when null';
COMMENT ON COLUMN leveret.schedules.input IS 'Texts in it are templates, which see now, scheduled_at, schedule and zone';
COMMENT ON COLUMN leveret.schedules.overlap IS 'What a tick does while the instance of an earlier one lives';
COMMENT ON COLUMN leveret.schedules.catch_up_for IS 'Milliseconds: older ticks that were missed are not started any more';
COMMENT ON COLUMN leveret.schedules.missed IS 'Whether all ticks missed within that time are started, or the newest of them';
COMMENT ON COLUMN leveret.schedules.revision IS 'Raised by every change that a person makes';
COMMENT ON COLUMN leveret.schedules.next_at IS 'The first tick that was not handled yet';
COMMENT ON COLUMN leveret.schedules.wake_at IS 'When somebody looks at it again; null while it is paused. While a tick is handled, until when others leave it alone';
COMMENT ON COLUMN leveret.schedules.queued_at IS 'A tick that waits for the instance of an earlier one to end';
COMMENT ON COLUMN leveret.schedules.last_tick_at IS 'The newest tick that was started or could not be';
COMMENT ON COLUMN leveret.schedules.last_instance IS 'What was started last';
COMMENT ON COLUMN leveret.schedules.last_error IS 'Why the newest tick could not be started';

CREATE INDEX schedules_due ON leveret.schedules (wake_at) WHERE wake_at IS NOT NULL;
