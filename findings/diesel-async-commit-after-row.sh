#!/bin/sh
# diesel-async 0.9.2 with diesel 2.3.14 (Rust): `get_result` returns the row of a statement whose commit fails.
#
# A statement outside of a transaction commits after its last row. `get_result` returns at the first row and drops the rest of the answer, so an
# error of the commit (here a deferred constraint) reaches nobody. `load`, which reads to the end, returns the error. The server is PostgreSQL 18
# (as PGlite 0.5.14, from npm).
#
# Seen: the same INSERT … RETURNING is Ok(1) with `get_result` and an error with `load`, and neither leaves a row. So a single statement that writes
# needs its answer read to the end before its row means anything.
set -eu
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$dir"' EXIT
cd "$dir"
npm init -y > npm.log
npm install --silent --no-fund --no-audit --save-exact --legacy-peer-deps @electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17 >> npm.log
cargo init --quiet --vcs none --name finding .
cargo add --quiet --no-default-features --features postgres_backend diesel@=2.3.14
cargo add --quiet --no-default-features --features postgres diesel-async@=0.9.2
cargo add --quiet --features rt,macros tokio@1
cat > src/main.rs <<'END'
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Integer;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

#[derive(Debug, QueryableByName)]
struct Line {
    #[diesel(sql_type = Integer)]
    id: i32,
}

const INSERT: &str = "INSERT INTO line VALUES (1, 7) RETURNING id";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    let tables = "CREATE TABLE orders (id int PRIMARY KEY);
        CREATE TABLE line (id int, of_order int REFERENCES orders DEFERRABLE INITIALLY DEFERRED)";
    conn.batch_execute(tables).await.unwrap();
    let one: QueryResult<Line> = sql_query(INSERT).get_result(&mut conn).await;
    println!("get_result: {:?}", one.map(|line| line.id).map_err(|_| "an error"));
    let all: QueryResult<Vec<Line>> = sql_query(INSERT).load(&mut conn).await;
    println!("load: {:?}", all.map(|lines| lines.len()).map_err(|_| "an error"));
    println!("rows that can be deleted: {:?}", sql_query("DELETE FROM line").execute(&mut conn).await);
}
END
CARGO_TARGET_DIR="$dir/target" cargo build --quiet
cat > server.mjs <<'END'
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';

const free = createServer().listen(0, '127.0.0.1', async () => {
  const { port } = free.address();
  free.close();
  const server = new PGLiteSocketServer({ db: await PGlite.create(), port, host: '127.0.0.1' });
  await server.start();
  writeFileSync('port', String(port));
});
END
node server.mjs > server.log & server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.2; done
target/debug/finding "postgres://postgres:postgres@127.0.0.1:$(cat port)/postgres?sslmode=disable" > seen
cat seen
diff - seen <<'END'
get_result: Ok(1)
load: Err("an error")
rows that can be deleted: Ok(0)
END
