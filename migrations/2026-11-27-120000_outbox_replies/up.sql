-- Where an answer goes was kept among the headers, which are the message's own.
ALTER TABLE leveret.outbox ADD COLUMN reply_to text, ADD COLUMN correlation_id text;
COMMENT ON COLUMN leveret.outbox.exchange IS 'Without the configured prefix: commands, steps, events, work, calls, dead, reply. A row with another name is marked dead';
COMMENT ON COLUMN leveret.outbox.reply_to IS 'The AMQP property reply_to: the queue for the answer';
COMMENT ON COLUMN leveret.outbox.correlation_id IS 'The AMQP property correlation_id: what the answer names';
