COMMENT ON COLUMN leveret.outbox.exchange IS 'Without the configured prefix: commands, steps, events';
ALTER TABLE leveret.outbox DROP COLUMN reply_to, DROP COLUMN correlation_id;
