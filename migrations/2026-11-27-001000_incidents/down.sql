DROP TABLE leveret.incident_notes;
DROP TABLE leveret.incident_groups;
