-- Rows live for milliseconds: vacuum by the number of dead rows, not by their share, and keep the emptied pages.
CREATE TABLE leveret.outbox (
    id             uuid        PRIMARY KEY,
    exchange       text        NOT NULL,
    routing_key    text        NOT NULL,
    kind           text        NOT NULL,
    app_id         text,
    message_id     text,
    reply_to       text,
    correlation_id text,
    headers        jsonb       NOT NULL DEFAULT '{}',
    body           bytea       NOT NULL,
    due_at         timestamptz,
    instance_id    uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    claimable_at   timestamptz NOT NULL DEFAULT now(),
    attempts       integer     NOT NULL DEFAULT 0,
    dead_at        timestamptz,
    confirmed_at   timestamptz,
    confirms       integer     NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000, vacuum_truncate = off);
COMMENT ON TABLE  leveret.outbox              IS 'One row per message that is committed and not yet confirmed by the broker';
COMMENT ON COLUMN leveret.outbox.id           IS 'UUIDv7; also the AMQP message_id unless that column has one';
COMMENT ON COLUMN leveret.outbox.exchange     IS 'Without the configured prefix: commands, forwarded, steps, events, work, calls, dead, reply. A row with another name is marked dead';
COMMENT ON COLUMN leveret.outbox.kind         IS 'The AMQP property type';
COMMENT ON COLUMN leveret.outbox.app_id       IS 'The AMQP property app_id';
COMMENT ON COLUMN leveret.outbox.message_id   IS 'The AMQP property message_id';
COMMENT ON COLUMN leveret.outbox.reply_to     IS 'The AMQP property reply_to: the queue for the answer';
COMMENT ON COLUMN leveret.outbox.correlation_id IS 'The AMQP property correlation_id: what the answer names';
COMMENT ON COLUMN leveret.outbox.headers      IS 'AMQP headers: an object of strings';
COMMENT ON COLUMN leveret.outbox.due_at       IS 'Not to be delivered before: published to a delay queue for the remaining time';
COMMENT ON COLUMN leveret.outbox.instance_id  IS 'The instance it is about';
COMMENT ON COLUMN leveret.outbox.claimable_at IS 'When the relay may claim it: later for rows that their writer publishes itself';
COMMENT ON COLUMN leveret.outbox.attempts     IS 'How often the broker returned it because no queue is bound; other failures are not counted';
COMMENT ON COLUMN leveret.outbox.dead_at      IS 'When publishing was abandoned after too many returns; a person must revive it';
COMMENT ON COLUMN leveret.outbox.confirmed_at IS 'Of a command in the exchange forwarded: when the broker took it. It stays until the inbox knows it, and is published again if that takes long';
COMMENT ON COLUMN leveret.outbox.confirms     IS 'How often the broker took it';

CREATE INDEX outbox_unsent ON leveret.outbox (claimable_at) WHERE dead_at IS NULL;
-- Short: only commands that are on their way.
CREATE INDEX outbox_confirmed ON leveret.outbox (app_id, message_id) WHERE confirmed_at IS NOT NULL;

-- Without CHECK constraints, as leveret.instances: every start and every message inserts a row.
CREATE TABLE leveret.inbox (
    app_id      text        NOT NULL,
    message_id  text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    command     text        NOT NULL,
    body_hash   bytea       NOT NULL,
    instance_id uuid,
    outcome     text        NOT NULL,
    answer      jsonb       NOT NULL DEFAULT 'null',
    PRIMARY KEY (app_id, message_id)
);
COMMENT ON TABLE  leveret.inbox             IS 'One row per handled command from outside; a repetition gets the same answer';
COMMENT ON COLUMN leveret.inbox.app_id      IS 'Sender of the command';
COMMENT ON COLUMN leveret.inbox.message_id  IS 'Idempotency key of the command, chosen by its sender';
COMMENT ON COLUMN leveret.inbox.command     IS 'Type of the command';
COMMENT ON COLUMN leveret.inbox.body_hash   IS 'SHA-256 of the body: the same message_id with another body is refused';
COMMENT ON COLUMN leveret.inbox.instance_id IS 'The instance it was applied to';
COMMENT ON COLUMN leveret.inbox.outcome     IS 'accepted or refused';
COMMENT ON COLUMN leveret.inbox.answer      IS 'The answer that was sent';

-- For the role cleaner: rows are appended in this order.
CREATE INDEX inbox_received ON leveret.inbox (received_at);

CREATE TABLE leveret.messages (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    key         text        NOT NULL,
    data        jsonb       NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    app_id      text,
    message_id  text,
    user_id     text,
    instance_id uuid
);
COMMENT ON TABLE  leveret.messages             IS 'One row per message that arrived before an instance waited for it';
COMMENT ON COLUMN leveret.messages.id          IS 'Messages are delivered in this order';
COMMENT ON COLUMN leveret.messages.expires_at  IS 'When its time to live ends';
COMMENT ON COLUMN leveret.messages.app_id      IS 'Sender of the message';
COMMENT ON COLUMN leveret.messages.message_id  IS 'Message id of the sender; of a copy for one instance, the instance and the number of its bookmark';
COMMENT ON COLUMN leveret.messages.user_id     IS 'The user of RabbitMQ who sent it, where the broker has verified one';
COMMENT ON COLUMN leveret.messages.instance_id IS 'The only instance it may be delivered to: a broadcast while it was suspended. Null: the first that waits';

CREATE INDEX messages_kept     ON leveret.messages (name, key, id);
CREATE INDEX messages_expiring ON leveret.messages (expires_at);
-- Counts what one sender has kept.
CREATE INDEX messages_sender   ON leveret.messages (app_id) WHERE app_id IS NOT NULL;

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
    user_id     text,
    headers     jsonb       NOT NULL DEFAULT '{}',
    body        bytea       NOT NULL,
    body_bytes  bigint      NOT NULL,
    instance_id uuid,
    failures    integer     NOT NULL DEFAULT 1,
    failed_at   timestamptz,
    redriven    integer     NOT NULL DEFAULT 0,
    redriven_at timestamptz,
    redriven_as uuid
);
COMMENT ON TABLE  leveret.dead_letters             IS 'One row per message that could not be handled, for a person to decide';
COMMENT ON COLUMN leveret.dead_letters.reason      IS 'Why it could not be handled';
COMMENT ON COLUMN leveret.dead_letters.source      IS 'The queue it was consumed from';
COMMENT ON COLUMN leveret.dead_letters.exchange    IS 'The exchange it was published to';
COMMENT ON COLUMN leveret.dead_letters.kind        IS 'The AMQP property type';
COMMENT ON COLUMN leveret.dead_letters.user_id     IS 'The AMQP property user_id: the user of RabbitMQ who sent it, verified by the broker';
COMMENT ON COLUMN leveret.dead_letters.body        IS 'The body as received; of a body over 1 MiB only its first MiB';
COMMENT ON COLUMN leveret.dead_letters.body_bytes  IS 'Size of the body as received';
COMMENT ON COLUMN leveret.dead_letters.instance_id IS 'The instance whose id it contains, if the body could be parsed that far';
COMMENT ON COLUMN leveret.dead_letters.failures    IS 'How often it has failed: once, and again after being redriven';
COMMENT ON COLUMN leveret.dead_letters.failed_at   IS 'When it failed again last; null until then';
COMMENT ON COLUMN leveret.dead_letters.redriven    IS 'How often it was published again';
COMMENT ON COLUMN leveret.dead_letters.redriven_at IS 'When it was published again last; null since it has failed again';
COMMENT ON COLUMN leveret.dead_letters.redriven_as IS 'The message id with which it was published again, by which it is known if it fails again';

CREATE UNIQUE INDEX dead_letters_redriven ON leveret.dead_letters (redriven_as) WHERE redriven_as IS NOT NULL;
CREATE INDEX dead_letters_instance ON leveret.dead_letters (instance_id) WHERE instance_id IS NOT NULL;
-- For the role cleaner.
CREATE INDEX dead_letters_failed ON leveret.dead_letters ((coalesce(failed_at, received_at)));

-- Few rows: a command is here from its redelivery until it ends.
CREATE TABLE leveret.suspects (
    id       bytea       PRIMARY KEY,
    what     text        NOT NULL,
    crashes  integer     NOT NULL,
    revision bigint,
    seen_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE  leveret.suspects          IS 'One row per command, tick or end of a call that was begun again after it may have ended the process that executed it, and has not ended yet';
COMMENT ON COLUMN leveret.suspects.id       IS 'SHA-256 of the command';
COMMENT ON COLUMN leveret.suspects.what     IS 'What it is: its queue and type, the schedule, or the end of a call';
COMMENT ON COLUMN leveret.suspects.crashes  IS 'How often it was begun and did not end. Above worker.crash_max it is given up';
COMMENT ON COLUMN leveret.suspects.revision IS 'Revision of its instance, if it names one: once the instance has moved, the count begins again';
COMMENT ON COLUMN leveret.suspects.seen_at  IS 'When it was last begun; rows that nothing follows are deleted';

CREATE TABLE leveret.start_limits (
    scope   text        PRIMARY KEY,
    next_at timestamptz NOT NULL
);
COMMENT ON TABLE  leveret.start_limits         IS 'One row per limited definition or sender, and per crowd of starts that ask again: the places of starts in time';
COMMENT ON COLUMN leveret.start_limits.scope   IS 'definition:<name> or sender:<app_id>; with again: before it, for starts that wait until others have ended';
COMMENT ON COLUMN leveret.start_limits.next_at IS 'When the next place is free, if none could be taken ahead of its time';
