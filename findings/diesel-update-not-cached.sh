#!/bin/sh
# diesel-async 0.9.2 with diesel 2.3.14 (Rust): no update of the query builder is kept as a prepared statement.
#
# The cache of prepared statements keeps a SELECT of the query builder after its first execution. An UPDATE whose text and
# parameters are as fixed is prepared anew, executed and closed each time: one more round trip and a fresh plan. Only a query with a type of
# its own (`QueryId`) is cached. The server is PostgreSQL 18 (as PGlite 0.5.14, from npm).
#
# Seen: after three executions of each, the server knows one prepared SELECT and no UPDATE. So hot updates need a query type of their own.
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
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

diesel::table! {
    orders (id) { id -> Integer, state -> Integer, }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute("CREATE TABLE orders (id int PRIMARY KEY, state int NOT NULL)").await.unwrap();
    for state in 1..=3 {
        diesel::update(orders::table.find(1)).set(orders::state.eq(state)).execute(&mut conn).await.unwrap();
        orders::table.find(1).select(orders::state).load::<i32>(&mut conn).await.unwrap();
    }
    for verb in ["SELECT", "UPDATE"] {
        let count = format!("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '{verb}%orders%' AND statement NOT LIKE '%pg_prepared%'");
        let known: Count = diesel::sql_query(count).get_result(&mut conn).await.unwrap();
        println!("{verb}: {} prepared", known.count);
    }
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
SELECT: 1 prepared
UPDATE: 0 prepared
END
