//! Commands over AMQP: from the Rust client, and with answers for commands that have a `reply_to`.

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use leveret::client::{Client, Error};
use leveret::contract::{BODY_MAX, Message, OnConflict, Start, Target};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Fresh, InProcess, SOON, eventually};

/// Waits for a message.
const WAITING: &str = "
name: waiting
variables: { got: null }
output: { got: '${ got }' }
activities:
  - { id: payment, receive: { name: paid }, output: { got: result.data } }
";
/// Fails for good with its first step, however often.
const FAILING: &str = "
name: failing
activities:
  - { id: look, raise: { code: shown.broken, message: it is broken } }
";

async fn client(fresh: &Fresh) -> Client {
    Client::connect(&fresh.amqp_url, &fresh.prefix, "shop").await.unwrap()
}

fn start(definition: &str, key: &str) -> Start {
    Start { definition: definition.into(), key: Some(key.into()), ..Start::default() }
}

fn target(definition: &str, key: &str) -> Target {
    Target {
        definition: Some(definition.into()),
        key: Some(key.into()),
        reason: Some("because".into()),
        ..Target::default()
    }
}

/// Waits until the newest instance with this key has this status, and shows it.
async fn has_status(leveret: &InProcess, key: &str, status: &str) -> Value {
    let mut found = Value::Null;
    let there = async || {
        found = leveret.get(&format!("/instances?key={key}&limit=1")).await.ok(200)["items"][0].clone();
        found["status"] == status
    };
    eventually(&format!("{key} is {status}"), SOON, there).await;
    leveret.get(&format!("/instances/{}", found["id"].as_str().unwrap())).await.ok(200)
}

async fn kinds(leveret: &InProcess, view: &Value) -> Vec<String> {
    let history = leveret.get(&format!("/instances/{}/history", view["id"].as_str().unwrap())).await.ok(200);
    history["items"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_service_in_rust_starts_pays_cancels_and_retries() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    leveret.apply(FAILING).await;
    let client = client(&leveret.fresh).await;

    for _ in 0..2 {
        client.start("start-A", &start("waiting", "A")).await.unwrap();
    }
    let paid = Message { name: "paid".into(), key: "A".into(), data: json!(12), ttl: Some(60), broadcast: false };
    client.message("paid-A", &paid).await.unwrap();
    let done = has_status(&leveret, "A", "completed").await;
    assert_eq!((&done["output"], &done["started_by"]), (&json!({ "got": 12 }), &json!("shop")));

    client.start("start-B", &start("waiting", "B")).await.unwrap();
    has_status(&leveret, "B", "running").await;
    client.cancel("cancel-B", &target("waiting", "B")).await.unwrap();
    has_status(&leveret, "B", "cancelled").await;

    client.start("start-C", &start("failing", "C")).await.unwrap();
    let failed = has_status(&leveret, "C", "suspended").await;
    assert_eq!(failed["error"]["code"], "shown.broken");
    let by_id = Target { instance: failed["id"].as_str().unwrap().parse().ok(), ..Target::default() };
    client.retry("retry-C", &by_id).await.unwrap();
    let again = async || kinds(&leveret, &failed).await.iter().filter(|kind| *kind == "IncidentOpened").count() == 2;
    eventually("it has failed again", SOON, again).await;
    assert!(kinds(&leveret, &failed).await.contains(&"IncidentRetried".to_owned()));

    let all = leveret.get("/instances?definition=waiting").await.ok(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "the second start-A was known");
    client.close().await;
    leveret.stop().await;
}

#[tokio::test]
async fn a_client_gets_an_error_without_a_command_queue_or_with_a_command_that_is_too_large() {
    let fresh = Fresh::new().await;
    let elsewhere = format!("{}-not-here", fresh.prefix);
    let client = Client::connect(&fresh.amqp_url, &elsewhere, "shop").await.unwrap();
    let refused = timeout(SOON, client.start("one", &start("waiting", "A"))).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::Unroutable(_)), "{refused:?}");
    let why = refused.to_string();
    assert!(why.contains("start Leveret with this prefix first"), "{why}");

    let large = Start { input: json!("x".repeat(BODY_MAX)), ..start("waiting", "A") };
    let refused = client.start("two", &large).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge(bytes) if bytes > BODY_MAX), "{refused:?}");
    client.close().await;
}

#[tokio::test]
async fn a_client_gets_an_error_without_the_password_if_the_broker_is_down() {
    let refused = Client::connect("amqp://shop:hunter2@127.0.0.1:1/%2f", "leveret", "shop").await.err().unwrap();
    let why = refused.to_string();
    assert!(matches!(refused, Error::Connect(_)) && why.contains("127.0.0.1:1") && !why.contains("hunter2"), "{why}");
}

/// A program that speaks plain AMQP and wants answers.
struct Asker {
    channel: Channel,
    answers: Consumer,
    queue: String,
    exchange: String,
    connection: Connection,
}

impl Asker {
    async fn new(fresh: &Fresh) -> Self {
        let connection = Connection::connect(&fresh.amqp_url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let queue = format!("answers-{}", fresh.prefix);
        let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
        channel.queue_declare(queue.as_str().into(), exclusive, FieldTable::default()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let answers =
            channel.basic_consume(queue.as_str().into(), "asker".into(), options, FieldTable::default()).await.unwrap();
        Self { channel, answers, queue, exchange: format!("{}.commands", fresh.prefix), connection }
    }

    /// Publishes a command and waits for the answer that names it.
    async fn ask(&mut self, kind: &str, id: &str, body: &Value) -> Value {
        let correlation = Uuid::new_v4().to_string();
        let properties = BasicProperties::default()
            .with_type(kind.into())
            .with_app_id("asker".into())
            .with_message_id(id.into())
            .with_delivery_mode(2)
            .with_reply_to(self.queue.as_str().into())
            .with_correlation_id(correlation.as_str().into());
        let (exchange, key) = (self.exchange.as_str(), format!("{kind}.x"));
        let body = body.to_string();
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm =
            self.channel.basic_publish(exchange.into(), key.as_str().into(), options, body.as_bytes(), properties);
        assert!(confirm.await.unwrap().await.unwrap().is_ack());
        loop {
            let answer =
                timeout(SOON, self.answers.next()).await.unwrap_or_else(|_| panic!("no answer to {kind} {id}"));
            let answer = answer.unwrap().unwrap();
            let named = answer.properties.correlation_id().as_ref().map(|named| named.as_str().to_owned());
            assert_eq!(answer.properties.kind().as_ref().map(|kind| kind.as_str()), Some("answer"));
            // An answer may come twice: one for an earlier command is skipped.
            if named.as_deref() == Some(&correlation) {
                return serde_json::from_slice(&answer.data).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_repeated_command_gets_the_same_answer() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let mut asker = Asker::new(&leveret.fresh).await;

    let started = asker.ask("start", "s-1", &json!(start("waiting", "A"))).await;
    assert_eq!(started["outcome"], "started");
    let id = started["instance"].clone();
    assert_eq!(asker.ask("start", "s-1", &json!(start("waiting", "A"))).await, started);
    let same = Start { on_conflict: OnConflict::Return, ..start("waiting", "A") };
    let existing = json!({ "outcome": "existing", "instance": id });
    assert_eq!(asker.ask("start", "s-2", &json!(same)).await, existing);
    assert_eq!(asker.ask("start", "s-2", &json!(same)).await, existing);

    let early = json!({ "name": "paid", "key": "B", "data": 1 });
    for _ in 0..2 {
        assert_eq!(asker.ask("message", "m-1", &early).await, json!({ "outcome": "kept" }));
    }
    let opened =
        async || leveret.get(&format!("/instances/{}", id.as_str().unwrap())).await.ok(200)["waits"] != json!([]);
    eventually("it waits", SOON, opened).await;
    let paid = json!({ "name": "paid", "key": "A", "data": 2 });
    for _ in 0..2 {
        assert_eq!(asker.ask("message", "m-2", &paid).await, json!({ "outcome": "delivered", "instance": id }));
    }

    asker.ask("start", "s-3", &json!(start("waiting", "C"))).await;
    for _ in 0..2 {
        assert_eq!(asker.ask("cancel", "c-1", &json!(target("waiting", "C"))).await["outcome"], "cancelled");
    }
    // A refused command is stored once and refused again.
    for _ in 0..2 {
        let refused = asker.ask("start", "s-4", &json!(start("odrer", "D"))).await;
        assert_eq!(refused["outcome"], "refused");
        assert!(refused["reason"].as_str().unwrap().contains("`odrer`"), "{refused}");
    }
    let taken = asker.ask("start", "s-1", &json!(start("waiting", "E"))).await;
    assert!(taken["reason"].as_str().is_some_and(|why| why.contains("another body")), "{taken}");
    let letters = leveret.get("/dead-letters").await.ok(200);
    assert_eq!(letters["items"].as_array().unwrap().len(), 2, "{letters}");
    asker.connection.close(200, "done".into()).await.unwrap();
    leveret.stop().await;
}
