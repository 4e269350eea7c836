//! A statement whose caller has left, and one whose commit fails after its last row.

use std::time::{Duration, Instant};

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use leveret::config::Database;
use leveret::store::Store;
use serde_json::json;
use tokio::time::timeout;

use super::setting;
use crate::support::{Fault, Fresh, InProcess, count, eventually};

/// Longer than anything else takes here.
const LONG: &str = "SELECT pg_sleep(10)";

fn store(fresh: &Fresh) -> Store {
    let database = Database { url: fresh.database_url.clone(), pool_max: 1, ..Database::default() };
    Store::connect(&database, "abandoned").unwrap()
}

#[tokio::test]
async fn a_connection_whose_statement_was_abandoned_is_not_lent_again() {
    let mut fault = Fault::new("the future of a statement is dropped while the statement runs", "F7", "I10 I11");
    let fresh = Fresh::database().await;
    let store = store(&fresh);
    let mut conn = store.steps().await.unwrap();
    let pid = setting(&mut conn, "application_name").await;
    assert_eq!(pid, "abandoned");
    assert!(timeout(Duration::from_millis(200), sql_query(LONG).execute(&mut conn)).await.is_err());
    drop(conn);
    fault.fired(0);
    let began = Instant::now();
    setting(&mut store.steps().await.unwrap(), "lock_timeout").await;
    assert!(began.elapsed() < Duration::from_secs(3), "the next user waited {:?}", began.elapsed());
    fault.recovered();
    // Its statement ends, too, and with it whatever it has locked.
    let mut conn = store.background().await.unwrap();
    let running =
        "pg_stat_activity WHERE application_name = 'abandoned' AND query = 'SELECT pg_sleep(10)' AND state = 'active'";
    eventually("the statement ends", Duration::from_secs(3), async || count(&mut conn, running).await == 0).await;
    fault.held();
}

/// A single statement is committed after its last row was sent, so the error of the commit comes after the row.
#[tokio::test]
async fn a_start_whose_commit_fails_is_not_answered_as_done() {
    let mut fault = Fault::new("the commit of a start fails after its last row", "F54 F63", "I1 I2 I3 I4 I17");
    let leveret = InProcess::new().await;
    leveret.apply("name: kept\nvariables: { x: 0 }\nactivities: [{ id: only, set: { x: 1 } }]").await;
    let refuse = "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN RAISE EXCEPTION 'no commit'; END $$; \
        CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON leveret.instances DEFERRABLE INITIALLY DEFERRED \
            FOR EACH ROW EXECUTE FUNCTION public.refuse()";
    InProcess::execute(&leveret, refuse).await;
    let reply = leveret.post("/instances", &json!({ "definition": "kept" })).await;
    assert_eq!(leveret.count("leveret.instances").await, 0);
    fault.fired(1);
    reply.problem(503, "busy");
    InProcess::execute(&leveret, "DROP TRIGGER refused ON leveret.instances").await;
    leveret.post("/instances", &json!({ "definition": "kept" })).await.ok(201);
    leveret.count_becomes(1, "leveret.instances WHERE status = 'completed'").await;
    fault.recovered();
    leveret.close().await;
    fault.held();
}
