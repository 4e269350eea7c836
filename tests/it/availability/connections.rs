//! A database connection that is lost while a handler runs: not a failure of the handler.

use std::time::Duration;

use diesel::sql_query;
use diesel::sql_types::Integer;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use leveret::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use leveret::store::Connection;
use serde_json::json;

use crate::support::{Fault, InProcess};

/// The only attempt, as the document has it.
const ONCE: &str = "
name: once
input: { type: object, required: [how], properties: { how: { type: string } } }
activities:
  - id: work
    run: { handler: cut, input: { how: \"${ how }\" } }
    retry: { attempts: 1 }
";

#[derive(diesel::QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// Loses its connection the first time. What it writes there is gone; what `cuts` counts is not.
async fn cut(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    let backend: Backend = sql_query("SELECT pg_backend_pid() AS pid").get_result(conn).await?;
    let place: Vec<Place> = sql_query("SELECT url FROM place").load(conn).await?;
    let mut other =
        Connection::establish(&place[0].url).await.map_err(|error| Error::new("test", error.to_string()))?;
    let first = sql_query("UPDATE cuts SET count = count + 1 WHERE count = 0").execute(&mut other).await? == 1;
    if first {
        sql_query(format!("SELECT pg_terminate_backend({}, 10000)", backend.pid)).execute(&mut other).await?;
    }
    match input.input["how"].as_str() {
        // Nothing of the handler notices it.
        Some("silent") => {}
        Some("ignored") => drop(conn.batch_execute("SELECT 1").await),
        Some("panic") => conn.batch_execute("SELECT 1").await.unwrap(),
        _ => conn.batch_execute("SELECT 1").await?,
    }
    Ok(json!({}))
}

#[derive(diesel::QueryableByName)]
struct Place {
    #[diesel(sql_type = diesel::sql_types::Text)]
    url: String,
}

async fn costs_no_attempt(mut fault: Fault, how: &str) {
    let leveret = InProcess::with_handlers(Handlers::new().register("cut", cut)).await;
    InProcess::execute(&leveret, "CREATE TABLE cuts (count int NOT NULL); INSERT INTO cuts VALUES (0)").await;
    let url = leveret.fresh.database_url.clone();
    InProcess::execute(
        &leveret,
        &format!("CREATE TABLE place (url text NOT NULL); INSERT INTO place VALUES ('{url}')"),
    )
    .await;
    leveret.apply(ONCE).await;
    leveret.start_with("once", "A-1", json!({ "how": how })).await;
    leveret.reaches("A-1", "completed").await;
    assert_eq!(leveret.lines("count", "cuts").await, ["1"], "the connection was lost once");
    fault.fired_times(1, 1);
    let failures =
        leveret.lines("details", "leveret.history WHERE kind LIKE 'Activity%' AND kind <> 'ActivityCompleted'");
    assert_eq!(failures.await, [""; 0]);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_behind_a_handler_costs_no_attempt() {
    let fault = Fault::new("the connection of a handler is lost, and nobody notices", "F52", "I1 I4 I10");
    costs_no_attempt(fault, "silent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_loss_a_handler_ignores_costs_no_attempt() {
    let fault = Fault::new("the connection of a handler is lost, and the handler ignores it", "F52", "I1 I4 I10");
    costs_no_attempt(fault, "ignored").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_loss_a_handler_returns_costs_no_attempt() {
    let fault =
        Fault::new("the connection of a handler is lost, and the handler returns the error", "F52", "I1 I4 I10");
    costs_no_attempt(fault, "returned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_loss_makes_a_handler_panic_costs_no_attempt() {
    let fault = Fault::new("the connection of a handler is lost, and the handler panics", "F52", "I1 I4 I10");
    costs_no_attempt(fault, "panic").await;
}

/// The same words from a connection that lives are the failure of the handler.
#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_error_of_a_statement_still_is_the_failure_of_the_handler() {
    async fn ignores(conn: &mut Connection, _: HandlerInput) -> HandlerResult {
        let _ = conn.batch_execute("SELECT 1 / 0").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(json!({}))
    }
    let leveret = InProcess::with_handlers(Handlers::new().register("cut", ignores)).await;
    leveret.apply(ONCE).await;
    leveret.start_with("once", "A-1", json!({ "how": "aborted" })).await;
    leveret.reaches("A-1", "suspended at work").await;
    let codes = leveret.lines("details->>'code'", "leveret.history WHERE kind = 'IncidentOpened'").await;
    assert_eq!(codes, ["database.aborted"]);
    leveret.stop().await;
}
