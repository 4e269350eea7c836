#!/bin/sh
# diesel-async 0.9.2 with diesel 2.3.14 and tokio-postgres 0.7.18 (Rust): statements have names although the cache of prepared statements
# is disabled, from the first moment of a connection on, and a name is there as long as a row of its answer.
#
# `CacheSize::Disabled` only means that a statement is not used again. Each is prepared under the name s<number>, which counts in the whole
# process from s0; `establish` has used two of them before it returns. A row holds its statement: that is closed when the last row is
# dropped. The server is PostgreSQL 18 (as PGlite 0.5.14, from npm).
#
# Seen: the names below. So behind a pooler in transaction mode that does not keep the names of its clients (PgBouncer 1.18), a name can be
# prepared on one server and used, or closed, on another, and two processes use the same names. Leveret opens a transaction before
# diesel-async gets the connection, and begins each with DEALLOCATE ALL.
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
cargo add --quiet tokio-postgres@=0.7.18 futures-util@0.3
cargo add --quiet --features rt,macros tokio@1
cat > src/main.rs <<'END'
use diesel::connection::CacheSize;
use diesel::row::{Field, Row};
use diesel::sql_query;
use diesel_async::{AsyncConnection, AsyncConnectionCore, AsyncPgConnection};
use futures_util::TryStreamExt;

type Rows = Vec<<AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>>;

async fn names(conn: &mut AsyncPgConnection) -> Rows {
    conn.load(sql_query("SELECT name FROM pg_prepared_statements ORDER BY name")).await.unwrap().try_collect().await.unwrap()
}

fn print(what: &str, rows: &Rows) {
    let text = |row: &<AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>| {
        let field = Row::<diesel::pg::Pg>::get(row, 0).unwrap();
        String::from_utf8(field.value().unwrap().as_bytes().to_vec()).unwrap()
    };
    println!("{what}: {:?}", rows.iter().map(text).collect::<Vec<_>>());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    let first = names(&mut conn).await;
    print("the first statement", &first);
    let second = names(&mut conn).await;
    print("while its rows are there", &second);
    drop((first, second));
    print("when they are dropped", &names(&mut conn).await);
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
the first statement: ["s2"]
while its rows are there: ["s2", "s3"]
when they are dropped: ["s4"]
END
