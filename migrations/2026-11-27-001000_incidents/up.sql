-- Open incidents of one cause have one fingerprint. What people note about them is here; the incidents are bookmarks, so that opening
-- ten thousand at once meets no common row.
CREATE TABLE leveret.incident_groups (
    fingerprint text COLLATE "C" PRIMARY KEY,
    assignee    text,
    muted_until timestamptz,
    changed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE  leveret.incident_groups             IS 'One row per group of incidents that somebody has assigned, commented or muted';
COMMENT ON COLUMN leveret.incident_groups.fingerprint IS 'The fingerprint of its incidents in leveret.bookmarks';
COMMENT ON COLUMN leveret.incident_groups.assignee    IS 'The user who looks after it';
COMMENT ON COLUMN leveret.incident_groups.muted_until IS 'Until when nobody needs to look';
COMMENT ON COLUMN leveret.incident_groups.changed_at  IS 'When it was assigned, commented or muted last';

CREATE INDEX incident_groups_changed ON leveret.incident_groups (changed_at);

CREATE TABLE leveret.incident_notes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint text        COLLATE "C" NOT NULL REFERENCES leveret.incident_groups ON DELETE CASCADE,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind        text        NOT NULL CHECK (kind IN ('assigned', 'commented', 'muted')),
    by          text        NOT NULL,
    value       text,
    reason      text,
    app_id      text        NOT NULL,
    message_id  text        NOT NULL,
    UNIQUE (fingerprint, app_id, message_id)
);
COMMENT ON TABLE  leveret.incident_notes            IS 'What was done to a group of incidents, by whom and why';
COMMENT ON COLUMN leveret.incident_notes.kind       IS 'assigned, commented or muted';
COMMENT ON COLUMN leveret.incident_notes.by         IS 'The user, or else the sender';
COMMENT ON COLUMN leveret.incident_notes.value      IS 'The assignee, the comment, or the end of the silence; null if that was taken back';
COMMENT ON COLUMN leveret.incident_notes.message_id IS 'With app_id the identity of the command: sent again, it changes nothing';
