ALTER TABLE leveret.calls ADD COLUMN late jsonb;
COMMENT ON COLUMN leveret.calls.outcome IS 'What came while the instance was suspended';
COMMENT ON COLUMN leveret.calls.late IS
    'What was told of it last when nothing waited for that any more: under which dispatch, when, and the outcome';
COMMENT ON COLUMN leveret.calls.until IS 'No attempt goes on for longer, and none begins; probes may';
COMMENT ON COLUMN leveret.calls.token_hash IS 'SHA-256 of the token of the attempt that runs, or of which nobody knows what became of it';

-- Calls that may run out of time before they are begun: few, and looked for by that moment.
CREATE INDEX calls_lapsing ON leveret.calls (until) WHERE state = 'pending' AND purpose = 'attempt' AND until IS NOT NULL;
