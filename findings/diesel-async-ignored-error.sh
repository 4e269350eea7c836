#!/bin/sh
# diesel-async 0.9.2 with diesel 2.3.14 (Rust): a transaction that committed nothing is reported as Ok.
#
# If a statement fails and the closure of `transaction` returns Ok all the same, PostgreSQL answers the COMMIT with ROLLBACK, because the
# transaction is aborted. That answer is no error in the protocol, diesel-async does not read it, and the caller is told that the
# transaction succeeded. The server is PostgreSQL 18 (as PGlite 0.5.14, from npm).
#
# Seen: the transaction is Ok(()), and its row is not there. So every error of a statement has to leave the closure, or the statement needs
# a savepoint of its own.
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
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute("CREATE TABLE paid (id int PRIMARY KEY)").await.unwrap();
    let ended = conn
        .transaction::<(), Error, _>(async |conn| {
            sql_query("INSERT INTO paid VALUES (1)").execute(conn).await?;
            let again = sql_query("INSERT INTO paid VALUES (1)").execute(conn).await;
            println!("the second insert failed: {}", again.is_err());
            Ok(())
        })
        .await;
    println!("the transaction: {ended:?}");
    println!("its row can be deleted: {:?}", sql_query("DELETE FROM paid").execute(&mut conn).await);
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
the second insert failed: true
the transaction: Ok(())
its row can be deleted: Ok(0)
END
