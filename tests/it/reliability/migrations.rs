//! Migrations that are killed in the middle, and two at once: the schema is whole or not there.

use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::store::Connection;

use crate::support::{CommandLine, Fault, Fresh, Program, count, eventually, lines};

/// Each try lives a little longer, until one ends by itself.
const LONGER: Duration = Duration::from_millis(15);
const TRIES_MAX: u32 = 200;
/// The server notices that its client is gone within this.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

const RELATIONS: &str = "pg_class WHERE relnamespace = to_regnamespace('leveret')";

/// A database without our schema, and the relations that it has with it.
async fn emptied() -> (Fresh, Connection, Vec<String>) {
    let fresh = Fresh::database().await;
    let mut conn = Connection::establish(&fresh.direct_url).await.unwrap();
    let whole = shape(&mut conn).await;
    assert!(whole.len() > 20, "{whole:?}");
    conn.batch_execute("DROP SCHEMA leveret CASCADE").await.unwrap();
    (fresh, conn, whole)
}

async fn shape(conn: &mut Connection) -> Vec<String> {
    lines(conn, "relname || ' ' || relkind::text", &format!("{RELATIONS} ORDER BY 1")).await
}

#[tokio::test]
async fn a_migration_that_is_killed_again_and_again_is_whole_or_not_there() {
    let mut fault = Fault::new("kill -9 in the middle of the migrations", "F59", "I16");
    let (fresh, mut conn, whole) = emptied().await;
    let mut killed = 0;
    for tries in 1..=TRIES_MAX {
        let mut migrating = Program::start(&fresh, &["migrate"], &[]);
        tokio::time::sleep(LONGER * tries).await;
        let ended = !migrating.is_running();
        if !ended {
            migrating.kill().await;
            killed += 1;
        }
        let sessions = "pg_stat_activity WHERE application_name = 'leveret migrate' AND datname = current_database()";
        eventually("its session has ended", NOTICED_WITHIN, async || count(&mut conn, sessions).await == 0).await;
        let now = shape(&mut conn).await;
        assert!(now.is_empty() || now == whole, "half a schema: {now:?}");
        if ended {
            break;
        }
    }
    assert_eq!(shape(&mut conn).await, whole, "it never ended in {TRIES_MAX} tries");
    assert_eq!(CommandLine::on(&fresh).say("migrate --check").await.good(), "the schema matches this binary\n");
    fault.fired_times(killed, 0);
    fault.held();
}

#[tokio::test]
async fn two_migrations_at_once_are_applied_by_one_of_them() {
    let mut fault = Fault::new("two processes migrate at once", "F59", "I16");
    let (fresh, mut conn, whole) = emptied().await;
    let leveret = CommandLine::on(&fresh);
    let (one, other) = tokio::join!(leveret.say("migrate"), leveret.say("migrate"));
    let mut said = [one.good(), other.good()];
    said.sort();
    assert!(said[0].starts_with("applied ") && said[1] == "the schema is up to date\n", "{said:?}");
    assert_eq!(shape(&mut conn).await, whole);
    fault.fired_times(1, 0);
    fault.held();
}
