//! Handlers of the tests' own, and the table they write to: what was done, to be compared with what was asked for.

use diesel::sql_query;
use diesel::sql_types::{Integer, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use leveret::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use leveret::store::Connection;
use serde_json::json;

/// Nothing here forbids a second row for one activity: that there never is one is to be proven.
const TABLES: &str = "BEGIN; SELECT pg_advisory_xact_lock(77001); \
    CREATE TABLE IF NOT EXISTS ledger (instance text NOT NULL, activity text NOT NULL, attempt int NOT NULL); \
    CREATE TABLE IF NOT EXISTS gate (opened_at timestamptz NOT NULL DEFAULT now()); COMMIT;";

/// `book` writes a row. `wait_for_gate` writes one and fails while the table `gate` is empty. `break` writes one and fails.
/// `panic` writes one and panics.
pub(crate) fn handlers() -> Handlers {
    Handlers::new()
        .on_start(create_tables)
        .register("book", book)
        .register("wait_for_gate", wait_for_gate)
        .register("break", break_down)
        .register("panic", panic)
}

async fn create_tables(conn: &mut Connection) -> Result<(), Error> {
    conn.batch_execute(TABLES).await?;
    Ok(())
}

async fn book(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    sql_query("INSERT INTO ledger (instance, activity, attempt) VALUES ($1, $2, $3)")
        .bind::<Text, _>(input.instance.to_string())
        .bind::<Text, _>(&input.activity)
        .bind::<Integer, _>(i32::try_from(input.attempt).unwrap_or(i32::MAX))
        .execute(conn)
        .await?;
    Ok(json!({ "attempt": input.attempt }))
}

async fn wait_for_gate(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    book(conn, input).await?;
    let opened = sql_query("SELECT FROM gate").execute(conn).await?;
    if opened == 0 { Err(Error::new("closed", "the gate is closed")) } else { Ok(json!(null)) }
}

async fn break_down(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    book(conn, input).await?;
    Err(Error::new("broken", "it never works"))
}

async fn panic(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    book(conn, input).await?;
    panic!("as asked");
}
