-- Who may use the API: keys of programs and people, and the sessions of browsers that were opened with one.
CREATE TABLE leveret.api_keys (
    id              uuid        PRIMARY KEY,
    namespace       text        NOT NULL DEFAULT 'default',
    name            text        NOT NULL,
    hash            bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    hint            text        NOT NULL,
    scopes          text[]      NOT NULL,
    groups          text[]      NOT NULL DEFAULT '{}',
    acts_for_others boolean     NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by      text        NOT NULL,
    expires_at      timestamptz,
    last_used_at    timestamptz,
    revoked_at      timestamptz
);
COMMENT ON TABLE  leveret.api_keys                 IS 'API keys; a key itself is stored nowhere';
COMMENT ON COLUMN leveret.api_keys.namespace       IS 'The namespace whose objects it may use';
COMMENT ON COLUMN leveret.api_keys.name            IS 'Who acts with it: the user of commands, tasks and the audit log. Several keys may have one name, so that a key can be replaced';
COMMENT ON COLUMN leveret.api_keys.hash            IS 'SHA-256 of the key, which has 256 random bits';
COMMENT ON COLUMN leveret.api_keys.hint            IS 'The beginning of the key, to tell keys apart';
COMMENT ON COLUMN leveret.api_keys.scopes          IS 'What it may do: read, start, task, operate, admin';
COMMENT ON COLUMN leveret.api_keys.groups          IS 'Groups of its user, for candidates of tasks';
COMMENT ON COLUMN leveret.api_keys.acts_for_others IS 'Whether its commands may name another user who acts';
COMMENT ON COLUMN leveret.api_keys.created_by      IS 'Who made it';
COMMENT ON COLUMN leveret.api_keys.expires_at      IS 'It is refused from then on; null for never';
COMMENT ON COLUMN leveret.api_keys.last_used_at    IS 'When it was used, to some minutes';
COMMENT ON COLUMN leveret.api_keys.revoked_at      IS 'It is refused from then on';

CREATE TABLE leveret.sessions (
    hash       bytea       PRIMARY KEY CHECK (octet_length(hash) = 32),
    key_id     uuid        NOT NULL REFERENCES leveret.api_keys ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE  leveret.sessions            IS 'Sessions of browsers; each ends with its key';
COMMENT ON COLUMN leveret.sessions.hash       IS 'SHA-256 of the value of the cookie';
COMMENT ON COLUMN leveret.sessions.key_id     IS 'The key with which it was opened';
COMMENT ON COLUMN leveret.sessions.expires_at IS 'It is refused from then on, and deleted later';

CREATE INDEX sessions_expiry ON leveret.sessions (expires_at);
CREATE INDEX sessions_key    ON leveret.sessions (key_id);
