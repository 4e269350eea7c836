DROP INDEX leveret.calls_lapsing;
COMMENT ON COLUMN leveret.calls.outcome IS 'What came while the instance was suspended, or after nobody waited for it any more';
COMMENT ON COLUMN leveret.calls.until IS 'No attempt goes on for longer';
COMMENT ON COLUMN leveret.calls.token_hash IS 'SHA-256 of the token of the attempt that runs';
ALTER TABLE leveret.calls DROP COLUMN late;
