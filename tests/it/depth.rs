//! Values that nest deep are refused before they are stored: a row that cannot be read could never be handled.

use leveret::store::instances::{self, Filter};
use leveret::store::{history, views};
use serde_json::{Value, json};

use crate::support::InProcess;

/// As deep as JSON can be read, and so as deep as a body can come.
const READ_MAX: usize = 127;
/// As deep as a command may nest; `data` is one level down in it.
const DATA_MAX: usize = 63;

/// Fails with every message.
const FALLS: &str = "
name: falls
variables: { got: null }
activities:
  - { id: payment, receive: { name: paid }, output: { got: result.data.nothing.of.it } }
";
/// Wraps its value into one more map, in an endless loop.
const SPIRAL: &str = "
name: spiral
variables: { path: null, turns: 0 }
output: ${ turns }
activities:
  - id: turn
    set: { path: '{\"prev\": path}', turns: turns + 1 }
    on_error: [{ code: limit.depth, to: exit }]
    next: turn
";

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
}

fn body(name: &str, key: &str, data: &Value) -> Value {
    json!({ "name": name, "key": key, "data": data })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nests_too_deep_is_refused_and_the_deepest_that_is_taken_can_be_retried_and_listed() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(FALLS).await;
    leveret.start("falls", "A").await;
    leveret.reaches("A", "running at payment").await;
    for levels in [DATA_MAX + 1, 118, READ_MAX - 1] {
        leveret.sender.command("message", &format!("deep {levels}"), &body("paid", "A", &nested(levels))).await;
    }
    leveret.count_becomes(3, "leveret.dead_letters WHERE reason LIKE '%deeper than 64 levels%'").await;
    leveret.reaches("A", "running at payment").await;
    leveret.sender.command("message", "deep enough", &body("paid", "A", &nested(DATA_MAX))).await;
    leveret.reaches("A", "suspended at payment").await;
    let id = leveret.id("A").await.unwrap();
    let mut conn = leveret.conn().await;
    assert_eq!(instances::list(&mut conn, &Filter { limit: 10, ..Filter::default() }).await.unwrap().len(), 1);
    assert_eq!(views::instance(&mut conn, id).await.unwrap().unwrap().summary.status, "suspended");
    drop(conn);
    leveret.sender.command("retry", "again", &json!({ "instance": id })).await;
    leveret.count_becomes(2, "leveret.history WHERE kind = 'IncidentOpened'").await;
    leveret.sender.command("cancel", "enough", &json!({ "instance": id })).await;
    leveret.reaches("A", "cancelled").await;
    leveret.close().await;
}

#[tokio::test]
async fn a_request_that_nests_too_deep_is_refused() {
    let leveret = InProcess::new().await;
    leveret.apply(FALLS).await;
    let start = |levels| json!({ "definition": "falls", "input": { "a": nested(levels) } });
    let why = leveret.post("/instances", &start(READ_MAX - 2)).await.problem(400, "invalid");
    assert!(why.contains("deeper than 64 levels"), "{why}");
    leveret.post("/instances", &start(DATA_MAX - 1)).await.ok(201);
    let why = leveret.post("/messages", &body("paid", "B", &nested(READ_MAX - 1))).await.problem(400, "invalid");
    assert!(why.contains("deeper than 64 levels"), "{why}");
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_nests_deeper_with_every_loop_is_an_error_that_can_be_caught() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(SPIRAL).await;
    leveret.start("spiral", "A").await;
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["64"]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_row_does_not_hide_others() {
    let leveret = InProcess::with_ledger().await;
    for key in ["old", "new"] {
        leveret.start("paid", key).await;
        leveret.reaches(key, "running at payment").await;
    }
    let id = leveret.id("old").await.unwrap();
    let (new, deep) = (leveret.id("new").await.unwrap(), nested(READ_MAX + 10));
    // Both wait for the same message, and the one that cannot be read has waited longer. Its first history row cannot be read either.
    let spoil = format!(
        "UPDATE leveret.bookmarks SET message_key = 'new' WHERE instance_id = '{id}';
         UPDATE leveret.instances SET branches = jsonb_set(branches, '{{branches,0,deep}}', '{deep}') WHERE id = '{id}';
         SET session_replication_role = replica;
         UPDATE leveret.history SET details = '{deep}' WHERE instance_id = '{id}' AND number = 1;
         SET session_replication_role = DEFAULT"
    );
    leveret.execute(&spoil).await;
    let mut conn = leveret.conn().await;
    let listed = instances::list(&mut conn, &Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [new, id]);
    let told = views::history(&mut conn, id, 0, 10).await.unwrap();
    assert!(told.len() > 1, "what happened later is shown");
    let broken = history::verify(&mut conn, id).await.unwrap_err();
    assert!(broken.to_string().contains("history row 1"), "{broken}");
    drop(conn);
    leveret.pay("paid", "new", 5).await;
    leveret.reaches("new", "completed").await;
    assert_eq!(leveret.dead_letters().await, [""; 0], "other messages are not affected");
    leveret.stop().await;
}

#[tokio::test]
async fn a_command_from_sql_that_nests_too_deep_ends_the_transaction_it_is_sent_in() {
    use diesel_async::SimpleAsyncConnection;
    let leveret = InProcess::new().await;
    let mut conn = leveret.app().store.background().await.unwrap();
    let message = |levels| format!("SELECT leveret.message('paid', 'C', '{}')", nested(levels));
    let why = conn.batch_execute(&message(DATA_MAX + 1)).await.unwrap_err().to_string();
    assert!(why.contains("deeper than 64 levels"), "{why}");
    conn.batch_execute(&message(DATA_MAX)).await.unwrap();
    drop(conn);
    leveret.stop().await;
}
