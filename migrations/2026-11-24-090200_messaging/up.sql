-- Rows live for milliseconds: vacuum by number of dead rows, not by share, and do not give pages back in between.
CREATE TABLE leveret.outbox (
    id           uuid        PRIMARY KEY,
    exchange     text        NOT NULL,
    routing_key  text        NOT NULL,
    kind         text        NOT NULL,
    app_id       text,
    message_id   text,
    headers      jsonb       NOT NULL DEFAULT '{}',
    body         bytea       NOT NULL,
    due_at       timestamptz,
    instance_id  uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    claimable_at timestamptz NOT NULL DEFAULT now(),
    attempts     integer     NOT NULL DEFAULT 0,
    dead_at      timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000, vacuum_truncate = off);
COMMENT ON TABLE leveret.outbox IS 'One row per message that is committed and not yet confirmed by the broker';
COMMENT ON COLUMN leveret.outbox.id IS 'UUIDv7; the AMQP message_id unless that column says otherwise';
COMMENT ON COLUMN leveret.outbox.exchange IS 'Without the configured prefix: commands, steps, events';
COMMENT ON COLUMN leveret.outbox.kind IS 'The AMQP property type';
COMMENT ON COLUMN leveret.outbox.headers IS 'AMQP headers, text by text';
COMMENT ON COLUMN leveret.outbox.due_at IS 'Not to arrive before: what remains is sent down the delay ladder when published';
COMMENT ON COLUMN leveret.outbox.claimable_at IS 'When the sweep may take it: later for rows that their writer publishes itself';
COMMENT ON COLUMN leveret.outbox.attempts IS 'How often the broker returned it because nobody is bound; nothing else counts';
COMMENT ON COLUMN leveret.outbox.dead_at IS 'When it was given up after too many returns; it waits for a person';

CREATE INDEX outbox_unsent ON leveret.outbox (claimable_at) WHERE dead_at IS NULL;

CREATE TABLE leveret.inbox (
    app_id      text        NOT NULL,
    message_id  text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    command     text        NOT NULL,
    body_hash   bytea       NOT NULL,
    instance_id uuid,
    branch      integer,
    outcome     text        NOT NULL CHECK (outcome IN ('accepted', 'refused')),
    answer      jsonb       NOT NULL DEFAULT 'null',
    PRIMARY KEY (app_id, message_id)
);
COMMENT ON TABLE leveret.inbox IS 'One row per command from outside that was handled; a repetition gets the same answer';
COMMENT ON COLUMN leveret.inbox.body_hash IS 'SHA-256 of the body: the same id with another body is refused';
COMMENT ON COLUMN leveret.inbox.branch IS 'The branch the command moved: a repetition drives it on if it is ready';

CREATE TABLE leveret.messages (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    key         text        NOT NULL,
    data        jsonb       NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    app_id      text,
    message_id  text
);
COMMENT ON TABLE leveret.messages IS 'One row per message that came before anybody waited for it';
COMMENT ON COLUMN leveret.messages.id IS 'The order in which they are taken';

CREATE INDEX messages_kept ON leveret.messages (name, key, id);
CREATE INDEX messages_expiring ON leveret.messages (expires_at);

CREATE TABLE leveret.dead_letters (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    reason      text        NOT NULL,
    source      text        NOT NULL,
    exchange    text        NOT NULL,
    routing_key text        NOT NULL,
    kind        text,
    app_id      text,
    message_id  text,
    headers     jsonb       NOT NULL DEFAULT '{}',
    body        bytea       NOT NULL,
    instance_id uuid,
    redriven_at timestamptz
);
COMMENT ON TABLE leveret.dead_letters IS 'One row per message that could not be handled, with the reason, for a person to look at';
COMMENT ON COLUMN leveret.dead_letters.source IS 'The queue it came from';
COMMENT ON COLUMN leveret.dead_letters.redriven_at IS 'When it was sent once more';
