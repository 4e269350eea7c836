//! Handlers that kill their process, panic, or hang.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use leveret::config::Config;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::roles::Role;
use leveret::server::Server;
use leveret::store::Connection;
use serde_json::json;

use super::{DIES_WITHIN, ENDS_WITHIN, MOVES_WITHIN};
use crate::support::{Fault, Processes, Program, eventually};

/// Every handler kills its process.
const POISON: [(&str, &str); 2] = [("FAILPOINTS", "step::handler_done=return"), ("LEVERET_WORKER__CRASH_MAX", "2")];

#[tokio::test]
async fn a_handler_that_kills_its_process_each_time_becomes_an_incident_and_others_are_not_affected() {
    let mut fault = Fault::new("a handler ends its process each time", "F8", "I1 I2 I4 I13 I16");
    let processes = Processes::new().await;
    processes.pay("poison").await;
    processes.order("poison", "8s").await;
    // The first time, and twice again; the fourth process finds that it was too often.
    for death in 1..=3 {
        let mut doomed = processes.serve(&POISON);
        processes.start("line", &format!("other-{death}"), json!({})).await;
        doomed.dies_at("step::handler_done", DIES_WITHIN).await;
        fault.fired(processes.under_way().await);
    }
    let mut survivor = processes.serve(&POISON);
    let suspended = async || processes.count("leveret.instances WHERE status = 'suspended'").await == 1;
    eventually("the order is an incident", DIES_WITHIN, suspended).await;
    processes.start("line", "other-4", json!({})).await;
    processes.start("countdown", "other-5", json!({ "from": 2, "pause": "100ms" })).await;
    processes.all_ended(5, ENDS_WITHIN).await;
    fault.recovered();
    assert_eq!(processes.count("shop.reservations").await, 0, "nothing of what the handler did is left");
    let crashes = processes.count("leveret.history WHERE kind = 'WorkerCrashed'").await;
    assert!(crashes >= 2, "the crashes are in the history: {crashes}");
    survivor.stops_in_order().await;

    let mut cured = processes.serve(&[]);
    let id =
        processes.lines("SELECT id::text AS line FROM leveret.instances WHERE status = 'suspended'").await.remove(0);
    let mut retry = Program::start(&processes.fresh, &["instance", "retry", &id], &[]);
    assert!(retry.wait_within(DIES_WITHIN).await.success(), "{}", retry.output());
    processes.all_ended(6, ENDS_WITHIN).await;
    processes.is_at_rest(6).await;
    cured.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

const FRAGILE: &str = "
name: fragile
input: { type: object, required: [how], properties: { how: { type: string } } }
activities:
  - id: work
    run: { handler: fragile, input: { how: \"${ how }\" } }
    retry: { attempts: 2, base: 100ms, codes: [handler.panic, timeout] }
  - id: done
    end: {}
";

/// Writes a row; then its first attempt hangs. A sequence keeps the backend in which it ran: what is set
/// there stays when the transaction is rolled back.
async fn fragile(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    let insert = format!("INSERT INTO work (attempt) VALUES ({})", input.attempt);
    sql_query(insert).execute(conn).await?;
    sql_query(format!("SELECT setval('backend_{}', pg_backend_pid())", input.attempt)).execute(conn).await?;
    match input.input["how"].as_str() {
        _ if input.attempt > 1 => {}
        Some("panic") => panic!("as the test wants"),
        Some("sleep") => tokio::time::sleep(Duration::from_secs(60)).await,
        _ => drop(sql_query("SELECT pg_sleep(60)").execute(conn).await?),
    }
    Ok(json!({}))
}

/// The failure must be recorded under this code, its transaction rolled back with its connection, and only the second attempt's work be left.
async fn first_attempt_does_not_come_back(mut fault: Fault, how: &str, code: &str) {
    let processes = Processes::new().await;
    processes.apply(FRAGILE).await;
    processes.lines("CREATE TABLE work (attempt int NOT NULL)").await;
    processes.lines("CREATE SEQUENCE backend_1").await;
    processes.lines("CREATE SEQUENCE backend_2").await;
    let mut config = Config::default();
    config.database.url = processes.fresh.database_url.clone();
    config.broker.url = processes.fresh.amqp_url.clone();
    config.broker.prefix = processes.fresh.prefix.clone();
    config.timeouts.database = Duration::from_millis(300);
    let handlers = Handlers::new().register("fragile", fragile);
    let roles = [Role::Worker, Role::Relay, Role::Timers];
    let running = Server::start(config, handlers, &roles).await.unwrap();
    processes.start("fragile", "vase", json!({ "how": how })).await;

    processes.all_ended(1, DIES_WITHIN).await;
    assert_eq!(processes.lines("SELECT attempt::text AS line FROM work").await, ["2"]);
    let failure = format!("leveret.history WHERE activity = 'work' AND details->>'code' = '{code}'");
    let history =
        processes.lines("SELECT kind || ' ' || details::text AS line FROM leveret.history ORDER BY number").await;
    assert_eq!(processes.count(&failure).await, 1, "{history:#?}");
    fault.fired_times(1, 1);
    let ran = "SELECT last_value::text AS line FROM backend_1 WHERE is_called \
               UNION ALL SELECT last_value::text FROM backend_2 WHERE is_called";
    let backends = processes.lines(ran).await;
    assert_eq!(backends.len(), 2, "two attempts");
    assert_ne!(backends[0], backends[1], "the connection was used again");
    let alive = format!("pg_stat_activity WHERE pid = {}", backends[0]);
    eventually("the connection is closed", MOVES_WITHIN, async || processes.count(&alive).await == 0).await;
    // Those of the roles that began later are not meant: they are between two statements.
    let open = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' \
                AND xact_start < (SELECT ended_at FROM leveret.instances)";
    assert_eq!(processes.count(open).await, 0, "an open transaction");
    let completed = processes.count("leveret.instances WHERE status = 'completed'").await;
    assert_eq!(completed, 1, "{history:#?}");
    assert!(running.stop().await, "it stops in order");
    fault.held();
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_attempt_and_its_connection_is_closed() {
    let fault = Fault::new("a handler panics in its transaction", "F8", "I1 I10 I16");
    first_attempt_does_not_come_back(fault, "panic", "handler.panic").await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_fails_its_attempt_and_its_connection_is_closed() {
    let fault = Fault::new("a handler hangs in its transaction", "F9", "I1 I10 I16");
    first_attempt_does_not_come_back(fault, "sleep", "timeout").await;
}

#[tokio::test]
async fn a_handler_statement_that_takes_too_long_is_stopped_in_the_database() {
    let fault = Fault::new("a statement of a handler hangs in the database", "F9", "I1 I10 I16");
    first_attempt_does_not_come_back(fault, "query", "timeout").await;
}
