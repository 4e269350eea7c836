//! Commands as Diesel expressions in the sender's own transaction: on a blocking connection and on an async one.

use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use leveret::client::sql;
use leveret::contract::OnConflict;
use serde_json::json;

use crate::support::InProcess;

diesel::table! {
    orders (id) {
        id -> Text,
        started_by -> Nullable<Text>,
    }
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, started_by text)";

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_transaction_starts_and_pays_if_it_commits_and_sends_nothing_if_it_does_not() {
    let leveret = InProcess::with_ledger().await;
    InProcess::execute(&leveret, TABLE).await;
    let url = leveret.fresh.database_url.clone();
    let message_id = tokio::task::spawn_blocking(move || {
        // Diesel's blocking interface; the expressions do not care what is beneath it.
        let mut conn = <AsyncConnectionWrapper<AsyncPgConnection> as Connection>::establish(&url).unwrap();
        let undone = conn.transaction::<(), diesel::result::Error, _>(|conn| {
            sql::start("paid").key("undone").execute(conn)?;
            sql::message("paid", "undone").execute(conn)?;
            Err(diesel::result::Error::RollbackTransaction)
        });
        assert!(undone.is_err());
        conn.transaction::<String, diesel::result::Error, _>(|conn| {
            let id: String =
                sql::start("paid").key("A").input(json!({})).on_conflict(OnConflict::Return).get_result(conn)?;
            sql::message("paid", "A").data(json!({ "amount": 3 })).ttl(60).message_id("pays A").execute(conn)?;
            diesel::insert_into(orders::table)
                .values((orders::id.eq("A"), orders::started_by.eq(&id)))
                .execute(conn)?;
            Ok(id)
        })
        .unwrap()
    })
    .await
    .unwrap();
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["3"]);
    assert_eq!(
        leveret.lines("app_id", &format!("leveret.inbox WHERE message_id = '{message_id}'")).await,
        [format!("leveret.sql/{}", leveret.fresh.role())]
    );
    assert_eq!(leveret.position("undone").await, "nowhere");
    assert_eq!(leveret.count("leveret.messages").await, 0);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_async_transaction_does_the_same_and_an_expression_fits_into_its_own_statements() {
    use diesel_async::{AsyncConnection, RunQueryDsl};
    let leveret = InProcess::with_ledger().await;
    InProcess::execute(&leveret, TABLE).await;
    let mut conn = AsyncPgConnection::establish(&leveret.fresh.database_url).await.unwrap();
    let undone = conn.transaction::<(), diesel::result::Error, _>(async |conn| {
        RunQueryDsl::execute(sql::start("paid").key("undone"), conn).await?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(undone.await.is_err());
    conn.transaction::<(), diesel::result::Error, _>(async |conn| {
        let order =
            (orders::id.eq("B"), orders::started_by.eq(sql::start("paid").key("B").message_id("starts B").nullable()));
        RunQueryDsl::execute(diesel::insert_into(orders::table).values(order), conn).await?;
        let selected = diesel::select(sql::message("paid", "B").data(json!({ "amount": 4 })));
        let _: String = RunQueryDsl::get_result(selected, conn).await?;
        let _: String = RunQueryDsl::get_result(sql::broadcast("nobody", "waits").data(json!(1)), conn).await?;
        Ok(())
    })
    .await
    .unwrap();
    leveret.reaches("B", "completed").await;
    assert_eq!(leveret.lines("started_by", "orders").await, ["starts B"]);
    assert_eq!(leveret.position("undone").await, "nowhere");
    leveret.count_becomes(1, "leveret.inbox WHERE answer->>'outcome' = 'broadcast'").await;
    leveret.close().await;
}
