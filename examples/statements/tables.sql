-- The tables of the workshop, in the same database as Leveret's schema.
CREATE SCHEMA IF NOT EXISTS workshop;
CREATE TABLE IF NOT EXISTS workshop.parts (part text PRIMARY KEY, stock integer NOT NULL CHECK (stock >= 0), low integer NOT NULL);
CREATE TABLE IF NOT EXISTS workshop.purchases (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, part text NOT NULL REFERENCES workshop.parts, quantity integer NOT NULL);
INSERT INTO workshop.parts VALUES ('bolt', 100, 50), ('nut', 60, 50), ('spring', 5, 2) ON CONFLICT DO NOTHING;
