//! What an error means for the activity, the instance and the sender of the command.

use diesel_async::SimpleAsyncConnection;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use leveret::app::App;
use leveret::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use leveret::store;
use serde_json::{Value, json};

use crate::support::{self, InProcess, SOON, eventually};

/// Runs a handler; an error of its own code or the database's is caught.
fn caught(handler: &str) -> String {
    format!(
        "
name: caught
variables: {{ code: null }}
output: {{ code: '${{ code }}' }}
activities:
  - id: work
    run: {{ handler: {handler}, input: {{}} }}
    retry: none
    on_error:
      - {{ code: database, output: {{ code: error.code }} }}
      - {{ code: handler, output: {{ code: error.code }} }}
"
    )
}

async fn tables(conn: &mut store::Connection) -> Result<(), Error> {
    conn.batch_execute("CREATE TABLE notes (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await?;
    Ok(())
}

/// Breaks a constraint that PostgreSQL checks only when the transaction commits.
async fn note_twice(conn: &mut store::Connection, _input: HandlerInput) -> HandlerResult {
    conn.batch_execute("INSERT INTO notes VALUES (1), (1)").await?;
    Ok(Value::Null)
}

/// Fails with texts that PostgreSQL cannot store.
async fn mumble(_conn: &mut store::Connection, _input: HandlerInput) -> HandlerResult {
    Err(Error::new("mum\0ble", "it said \0").with_data(json!({ "said": "\0" })))
}

async fn count(app: &App, what: &str) -> i64 {
    support::count(&mut app.store.background().await.unwrap(), what).await
}

#[tokio::test]
async fn a_constraint_broken_at_the_commit_is_an_error_of_the_activity() {
    let handlers = Handlers::new().on_start(tables).register("note", note_twice);
    let leveret = InProcess::with_handlers(handlers).await;
    leveret.apply(&caught("note")).await;
    let ended = leveret.post("/instances?wait=20s", &json!({ "definition": "caught" })).await.ok(201);
    assert_eq!((&ended["status"], &ended["output"]["code"]), (&json!("completed"), &json!("database.unique")));
    assert_eq!(count(leveret.app(), "notes").await, 0);
    assert_eq!(count(leveret.app(), "leveret.dead_letters").await, 0);
    leveret.stop().await;
}

#[tokio::test]
async fn an_error_that_cannot_be_stored_unchanged_can_still_be_caught() {
    let leveret = InProcess::with_handlers(Handlers::new().register("mumble", mumble)).await;
    leveret.apply(&caught("mumble")).await;
    let ended = leveret.post("/instances?wait=20s", &json!({ "definition": "caught" })).await.ok(201);
    assert_eq!((&ended["status"], &ended["output"]["code"]), (&json!("completed"), &json!("handler.mum\u{fffd}ble")));
    leveret.stop().await;
}

const WAITING: &str = "
name: waiting
activities: [{ id: rest, wait: { for: 1h } }]
";

#[tokio::test]
async fn a_command_sent_twice_at_the_same_moment_gets_the_same_answer_twice() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let started = leveret.post("/instances", &json!({ "definition": "waiting" })).await.ok(201);
    let id = started["id"].as_str().unwrap();
    let app = leveret.app();
    let waits = async || count(app, "leveret.bookmarks WHERE consumed_at IS NULL").await == 1;
    eventually("it waits", SOON, waits).await;

    // Both have found no repetition, and wait for the lock of the instance.
    let mut holder = app.store.background().await.unwrap();
    holder.batch_execute(&format!("BEGIN; SELECT FROM leveret.instances WHERE id = '{id}' FOR UPDATE")).await.unwrap();
    let release = async {
        let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("both wait", SOON, async || count(app, waiting).await == 2).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (path, nothing) = (format!("/instances/{id}/cancel"), json!({}));
    let (one, other, ()) =
        tokio::join!(leveret.post_as("key", &path, &nothing), leveret.post_as("key", &path, &nothing), release);
    one.ok(200);
    other.ok(200);
    leveret.stop().await;
}

const PAYMENT: &str = "
name: payment
activities: [{ id: wait, receive: { name: paid } }]
";

#[tokio::test]
async fn instances_of_newer_workers_are_left_to_them() {
    let leveret = InProcess::new().await;
    leveret.apply(PAYMENT).await;
    let started = leveret.post("/instances", &json!({ "definition": "payment", "key": "A" })).await.ok(201);
    let id = started["id"].as_str().unwrap();
    let app = leveret.app();
    let waits = async || count(app, "leveret.bookmarks WHERE consumed_at IS NULL").await == 1;
    eventually("it waits", SOON, waits).await;
    let mut conn = app.store.background().await.unwrap();
    conn.batch_execute(
        "ALTER TABLE leveret.instances ADD older jsonb; \
         UPDATE leveret.instances SET older = branches, branches = '{\"lines\": []}', state_format = 99",
    )
    .await
    .unwrap();
    let paid = json!({ "name": "paid", "key": "A" });
    leveret.post("/messages", &paid).await.problem(503, "busy");
    leveret.post(&format!("/instances/{id}/cancel"), &json!({})).await.problem(503, "busy");
    assert_eq!(count(app, "leveret.messages").await, 0, "the message would never reach who waits for it");

    conn.batch_execute("UPDATE leveret.instances SET branches = older, state_format = 1").await.unwrap();
    assert_eq!(leveret.post("/messages", &paid).await.ok(200)["outcome"], "delivered");
    leveret.stop().await;
}

/// No worker of this process serves its queue.
const ABROAD: &str = "
name: abroad
queue: abroad
activities: [{ id: a, set: {} }]
";

async fn depth(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
}

#[tokio::test]
async fn a_repeated_command_for_an_instance_on_another_queue_is_passed_on_and_answered_once() {
    let leveret = InProcess::new().await;
    leveret.apply(ABROAD).await;
    let connection = Connection::connect(&leveret.fresh.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (steps, answers) =
        (format!("{}.steps.abroad", leveret.fresh.prefix), format!("answers-{}", leveret.fresh.prefix));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(answers.as_str().into(), durable, FieldTable::default()).await.unwrap();
    let properties = BasicProperties::default()
        .with_type("start".into())
        .with_app_id("shop".into())
        .with_message_id("m-1".into())
        .with_reply_to(answers.as_str().into());
    let exchange = format!("{}.commands", leveret.fresh.prefix);
    for sent in 1..=2 {
        let (body, options) = (br#"{"definition": "abroad"}"#, BasicPublishOptions::default());
        let published =
            channel.basic_publish(exchange.as_str().into(), "start.abroad".into(), options, body, properties.clone());
        published.await.unwrap().await.unwrap();
        eventually("it is answered", SOON, async || depth(&channel, &answers).await == sent).await;
        if sent == 1 {
            continue;
        }
        eventually("it is handed on", SOON, async || depth(&channel, &steps).await == sent).await;
    }
    assert_eq!(depth(&channel, &answers).await, 2);
    leveret.stop().await;
}
