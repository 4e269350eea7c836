#!/bin/sh
# PostgreSQL 18 (as PGlite 0.5.17, from npm): a column that only the WHERE of a partial index names keeps updates from being HOT.
#
# The index below is on `id`, which no update changes. Still no update of `sent_at` is heap-only, because the condition of the index
# reads it: each writes new entries into every index of the table. Without that index most updates are heap-only.
#
# Seen: with the index 0 of 1000 updates are HOT, without it 837. So a queue table whose rows are marked as done, with an index of those
# that are not, pays for every mark in all its indexes: deleting the row costs less.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y > npm.log
npm install --silent --no-fund --no-audit --save-exact @electric-sql/pglite@0.5.17 >> npm.log
cat > run.mjs <<'END'
import { PGlite } from '@electric-sql/pglite';

const db = new PGlite();
for (const table of ['marked', 'plain'])
  await db.exec(`CREATE TABLE ${table} (id int PRIMARY KEY, sent_at timestamptz) WITH (fillfactor = 50);
                 INSERT INTO ${table} SELECT number FROM generate_series(1, 1000) AS number`);
await db.exec('CREATE INDEX ON marked (id) WHERE sent_at IS NULL');
for (const table of ['marked', 'plain']) await db.exec(`UPDATE ${table} SET sent_at = now()`);
await db.exec('SELECT pg_stat_force_next_flush()');
const { rows } = await db.query('SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables ORDER BY relname');
for (const row of rows) console.log(`${row.relname}: ${row.n_tup_upd} updates, ${row.n_tup_hot_upd} HOT`);
const [marked, plain] = rows;
if (marked.n_tup_upd !== 1000 || marked.n_tup_hot_upd !== 0 || plain.n_tup_hot_upd < 500) process.exitCode = 1;
await db.close();
END
node run.mjs
