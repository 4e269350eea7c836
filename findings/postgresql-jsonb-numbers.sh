#!/bin/sh
# PostgreSQL 18 (as PGlite 0.5.17, from npm): jsonb keeps a number, but not how it was written.
#
# A jsonb number is a `numeric`: an exponent is multiplied out, and the sign of zero is dropped, while zeros behind the point stay.
# A double of 1e16 or more, which prints as 1e+16, comes back without point and exponent. Whoever takes a JSON number without
# point and exponent for an integer then reads an integer where a double was written; below 1e15 the same happens to every whole double.
#
# Seen: see the end. So a program that tells integers and doubles apart must write its doubles in a way that jsonb keeps: with a point.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y > npm.log
npm install --silent --no-fund --no-audit --save-exact @electric-sql/pglite@0.5.17 >> npm.log
cat > run.mjs <<'END'
import { PGlite } from '@electric-sql/pglite';

const db = new PGlite();
const show = async (what, sql, parameters) => {
  const { rows } = await db.query(sql, parameters);
  console.log(what, '->', rows[0].seen);
};
for (const text of ['1e2', '1E-7', '1e16', '1.50', '1.0', '-0', '-0.0', '9007199254740993'])
  await show(text, 'SELECT ($1::text)::jsonb::text AS seen', [text]);
for (const double of ['7', '1e15', '1e16', '-0', '1e-7'])
  await show('float8 ' + double, 'SELECT to_jsonb(($1::text)::float8)::text AS seen', [double]);
await db.close();
END
node run.mjs > seen
cat seen
diff - seen <<'END'
1e2 -> 100
1E-7 -> 0.0000001
1e16 -> 10000000000000000
1.50 -> 1.50
1.0 -> 1.0
-0 -> 0
-0.0 -> 0.0
9007199254740993 -> 9007199254740993
float8 7 -> 7
float8 1e15 -> 1000000000000000
float8 1e16 -> 10000000000000000
float8 -0 -> 0
float8 1e-7 -> 0.0000001
END
