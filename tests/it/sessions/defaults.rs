//! Defaults of the database and of the role change nothing that correctness rests on.

use diesel_async::SimpleAsyncConnection;
use leveret::config::Database;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::roles::Role;
use leveret::store::{Connection, Store};
use serde_json::json;

use super::{NEEDED, WRONG, meet, serve, set_default, set_default_of_role, setting, settings};
use crate::support::{Fault, Fresh, InProcess, Private, SOON, eventually};

/// Of 100, about 25 missed each other under `repeatable read`.
const PAIRS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn no_message_misses_its_wait_if_the_database_defaults_to_repeatable_read() {
    let mut fault = Fault::new("the database defaults to repeatable read", "F39", "I2 I3 I4 I8");
    let fresh = Fresh::new().await;
    set_default(&fresh, "default_transaction_isolation = 'repeatable read'").await;
    let leveret = serve(fresh, |_| {}).await;
    meet(&leveret, PAIRS).await;
    fault.fired_times(1, PAIRS as i64);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_misses_its_wait_if_the_database_defaults_to_serializable() {
    let mut fault = Fault::new("the database defaults to serializable", "F39 F54", "I2 I3 I4 I8");
    let fresh = Fresh::new().await;
    set_default(&fresh, "default_transaction_isolation = 'serializable'").await;
    let leveret = serve(fresh, |_| {}).await;
    meet(&leveret, PAIRS).await;
    fault.fired_times(1, PAIRS as i64);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_misses_its_wait_if_the_role_defaults_to_repeatable_read() {
    let fresh = Fresh::new().await;
    set_default_of_role(&fresh, "default_transaction_isolation = 'repeatable read'").await;
    let leveret = serve(fresh, |_| {}).await;
    meet(&leveret, PAIRS).await;
    leveret.close().await;
}

/// Also under a search path that finds nothing: every query names its schema.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_defaults_of_the_role_change_nothing() {
    let fresh = Fresh::new().await;
    for wrong in WRONG {
        set_default_of_role(&fresh, wrong).await;
    }
    let leveret = serve(fresh, |_| {}).await;
    for (name, value) in NEEDED {
        assert_eq!(settings(&leveret.app().store, name).await, [value, value], "{name}");
    }
    meet(&leveret, 20).await;
    leveret.close().await;
}

#[tokio::test]
async fn a_stronger_durability_than_ours_is_kept() {
    let fresh = Fresh::database().await;
    set_default(&fresh, "synchronous_commit = 'remote_apply'").await;
    let database = Database { url: fresh.database_url.clone(), ..Database::default() };
    let store = Store::connect(&database, "durable").unwrap();
    assert_eq!(settings(&store, "synchronous_commit").await, ["remote_apply", "remote_apply"]);
}

/// A 2xx is durable, although the database does not wait for the disk by default.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_crash_of_the_database_that_does_not_wait_for_the_disk() {
    let mut fault = Fault::new("the database crashes, and does not wait for the disk by default", "F53", "I17");
    let servers = Private::start();
    let fresh = Fresh::on(&servers).await;
    set_default_of_role(&fresh, "synchronous_commit = off").await;
    let leveret = serve(fresh, |config| config.worker.queues = vec!["nobody".into()]).await;
    leveret.apply("name: kept\nvariables: { x: 0 }\nactivities: [{ id: only, set: { x: 1 } }]").await;
    let database = servers.postgres().unwrap();
    for _ in 0..5 {
        leveret.post("/instances", &json!({ "definition": "kept" })).await.ok(201);
    }
    database.stop_immediate().unwrap();
    fault.fired(5);
    database.start().unwrap();
    let answers = async || leveret.app().store.probe().await.is_ok();
    eventually("the database is back", SOON, answers).await;
    fault.recovered();
    assert_eq!(leveret.count("leveret.instances").await, 5);
    leveret.stop().await;
    fault.held();
}

/// What a handler sets in its session would hold for the commit of its step, and for the next user of the connection.
async fn meddle(conn: &mut Connection, _: HandlerInput) -> HandlerResult {
    conn.batch_execute(
        "SET lock_timeout = '1h'; SET synchronous_commit = off; SET search_path = nowhere; SET LOCAL ROLE pg_monitor",
    )
    .await?;
    Ok(json!(null))
}

#[tokio::test]
async fn what_a_handler_sets_in_its_session_is_taken_back() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    // The handler's connection is the one that is looked at.
    config.database.pool_max = 1;
    config.worker.concurrency = 1;
    let leveret = InProcess::on(fresh, config, Handlers::new().register("meddle", meddle), Role::ALL).await;
    leveret.apply("name: meddling\nactivities: [{ id: only, run: { handler: meddle } }]").await;
    leveret.start("meddling", "A").await;
    leveret.reaches("A", "completed").await;
    let mut conn = leveret.app().store.steps().await.unwrap();
    for (name, value) in [("lock_timeout", "2s"), ("synchronous_commit", "on"), ("TimeZone", "UTC"), ("role", "none")] {
        assert_eq!(setting(&mut conn, name).await, value, "{name}");
    }
    assert!(setting(&mut conn, "search_path").await.contains("public"));
    drop(conn);
    leveret.close().await;
}
