-- History that was written to a folder or a bucket before its instances are deleted. Only where `export.to` is set.
CREATE TABLE leveret.exports (
    id            uuid        PRIMARY KEY,
    claimed_until timestamptz NOT NULL,
    instances     integer     NOT NULL,
    file          text,
    rows          bigint,
    bytes         bigint,
    sha256        bytea,
    verified_at   timestamptz
);
COMMENT ON TABLE  leveret.exports               IS 'One row per file of exported history';
COMMENT ON COLUMN leveret.exports.id            IS 'UUIDv7; part of the name of the file';
COMMENT ON COLUMN leveret.exports.claimed_until IS 'Until then one process writes the file; after it another one may, from the beginning';
COMMENT ON COLUMN leveret.exports.instances     IS 'Number of instances in it';
COMMENT ON COLUMN leveret.exports.file          IS 'Its name below export.to; null until it is verified';
COMMENT ON COLUMN leveret.exports.rows          IS 'Number of history rows in it';
COMMENT ON COLUMN leveret.exports.bytes         IS 'Size of the file';
COMMENT ON COLUMN leveret.exports.sha256        IS 'SHA-256 of the file, as it was read back';
COMMENT ON COLUMN leveret.exports.verified_at   IS 'When it was read back and its manifest was written: from then on its instances may be deleted';

CREATE INDEX exports_open ON leveret.exports (claimed_until) WHERE verified_at IS NULL;

CREATE TABLE leveret.exported (
    instance_id   uuid   PRIMARY KEY,
    export_id     uuid   NOT NULL,
    history_count bigint NOT NULL
);
COMMENT ON TABLE  leveret.exported               IS 'One row per ended instance whose history is in an export, or about to be; deleted with its instance';
COMMENT ON COLUMN leveret.exported.export_id     IS 'The export; it may not be verified yet';
COMMENT ON COLUMN leveret.exported.history_count IS 'Number of its newest history row then: an instance that has more is exported again';

CREATE INDEX exported_in ON leveret.exported (export_id, instance_id);
