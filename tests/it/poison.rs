//! Messages nobody can handle: each becomes a dead letter that says why, and nobody else notices.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use leveret::store::stuck;
use serde_json::{Value, json};

use crate::support::{InProcess, eventually};

const SOON: Duration = Duration::from_secs(30);

const HEALTHY: &str = "
name: healthy
variables: { n: 0 }
activities:
  - { id: rest, wait: { for: 50ms } }
  - { id: count, set: { n: n + 1 } }
";
/// Fails for good with its first step, whatever is done.
const POISONOUS: &str = "
name: poisonous
variables: { list: [] }
activities:
  - { id: look, set: { list: 'list[7]' } }
";

/// Who publishes, whether it makes sense or not.
struct Stranger {
    channel: Channel,
    exchange: String,
    _connection: Connection,
}

impl Stranger {
    async fn connect(leveret: &InProcess) -> Self {
        let connection = Connection::connect(&leveret.fresh.amqp_url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { channel, exchange: format!("{}.commands", leveret.fresh.prefix), _connection: connection }
    }

    async fn publish(&self, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (self.exchange.as_str().into(), "start.healthy".into());
        self.channel.basic_publish(exchange, key, options, body, properties).await.unwrap().await.unwrap();
    }
}

/// The properties of a good command.
fn good(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_type("start".into())
        .with_app_id("shop".into())
        .with_message_id(id.into())
        .with_delivery_mode(2)
}

fn start() -> Vec<u8> {
    json!({ "definition": "healthy" }).to_string().into_bytes()
}

fn with_header(name: &str, value: AMQPValue) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    headers
}

/// What is wrong, and a word its reason must contain.
fn poisons() -> Vec<(Vec<u8>, BasicProperties, &'static str)> {
    let nested = format!("{{\"definition\":\"healthy\",\"input\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let large = json!({ "definition": "healthy", "input": { "text": "x".repeat(1024 * 1024) } }).to_string();
    let nul = br#"{"definition":"healthy","input":{"a":{"b":"x\u0000"}}}"#.to_vec();
    let nul_key = br#"{"definition":"healthy","key":"a\u0000b"}"#.to_vec();
    let long_key = json!({ "definition": "healthy", "key": "k".repeat(300) }).to_string();
    let unknown = json!({ "instance": "01890000-0000-7000-8000-000000000000" }).to_string();
    vec![
        (b"not json".to_vec(), good("p1"), "not JSON"),
        (vec![0xff, 0xfe, 0x00], good("p2"), "not JSON"),
        (b"[]".to_vec(), good("p3"), "not a JSON object"),
        (b"{}".to_vec(), good("p4"), "definition"),
        (nested.into_bytes(), good("p5"), "recursion"),
        (large.into_bytes(), good("p6"), "bytes"),
        (nul, good("p7"), "/input/a/b"),
        (nul_key, good("p8"), "u0000"),
        (long_key.into_bytes(), good("p9"), "`key`"),
        (start(), good("p10").with_headers(with_header("schema", AMQPValue::LongInt(99))), "schema 99"),
        (start(), good("p11").with_type("dance".into()), "`dance` is no command"),
        (start(), BasicProperties::default().with_app_id("shop".into()).with_message_id("p12".into()), "`type`"),
        (start(), BasicProperties::default().with_type("start".into()).with_message_id("p13".into()), "`app_id`"),
        (start(), BasicProperties::default().with_type("start".into()).with_app_id("shop".into()), "`message_id`"),
        (unknown.clone().into_bytes(), good("p15").with_type("cancel".into()), "no instance"),
        (unknown.into_bytes(), good("p16").with_type("retry".into()), "no instance"),
        (json!({ "definition": "nowhere" }).to_string().into_bytes(), good("p17"), "`nowhere`"),
        (json!({ "definition": "healthy", "version": 9 }).to_string().into_bytes(), good("p18"), "version 9"),
    ]
}

async fn count(leveret: &InProcess, definition: &str, status: &str) -> usize {
    let page = leveret.get(&format!("/instances?definition={definition}&status={status}&limit=500")).await.ok(200);
    page["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_cannot_be_handled_is_filed_with_its_reason_and_others_are_unaffected() {
    let leveret = InProcess::start().await;
    leveret.apply(HEALTHY).await;
    let stranger = Stranger::connect(&leveret).await;
    let poisons = poisons();
    let count_of_poisons = poisons.len();
    let mut words = Vec::new();
    for (number, (body, properties, word)) in poisons.into_iter().enumerate() {
        stranger.publish(&body, properties).await;
        stranger.publish(&start(), good(&format!("healthy-{number}"))).await;
        words.push(word);
    }

    let done = async || count(&leveret, "healthy", "completed").await == count_of_poisons;
    eventually("the healthy ones have completed", SOON, done).await;
    let mut letters: Vec<Value> = Vec::new();
    let filed = async || {
        letters = leveret.get("/dead-letters").await.ok(200)["items"].as_array().unwrap().clone();
        letters.len() >= count_of_poisons
    };
    eventually("every poison is filed", SOON, filed).await;
    let reasons: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    for word in words {
        assert!(reasons.iter().any(|reason| reason.contains(word)), "no reason says {word}: {reasons:#?}");
    }
    assert_eq!(reasons.len(), count_of_poisons, "one letter each: {reasons:#?}");
    // A body that was refused is kept as it came, and shown.
    assert!(letters.iter().all(|letter| letter["body"].is_null()), "a list shows no bodies");
    assert_eq!(stuck::list(&mut leveret.app().store.duties().await.unwrap(), 10).await.unwrap(), []);
    leveret.stop().await;
}

#[tokio::test]
async fn hostile_headers_do_no_harm() {
    let leveret = InProcess::start().await;
    leveret.apply(HEALTHY).await;
    let stranger = Stranger::connect(&leveret).await;
    let mut headers = FieldTable::default();
    for number in 0..200 {
        headers.insert(format!("x-{number}").into(), AMQPValue::LongString("y".repeat(200).as_str().into()));
    }
    headers.insert("traceparent".into(), AMQPValue::LongString("z".repeat(5_000).as_str().into()));
    headers.insert("sent_at".into(), AMQPValue::LongString("not a number".into()));
    headers.insert("nested".into(), AMQPValue::FieldTable(with_header("a", AMQPValue::Boolean(true))));
    stranger.publish(&start(), good("h1").with_headers(headers)).await;
    stranger
        .publish(b"nothing", good("h2").with_headers(with_header("bin", AMQPValue::ByteArray(vec![0; 64].into()))))
        .await;
    let done = async || count(&leveret, "healthy", "completed").await == 1;
    eventually("the command with hostile headers is carried out", SOON, done).await;
    let filed = async || !leveret.get("/dead-letters").await.ok(200)["items"].as_array().unwrap().is_empty();
    eventually("the other one is filed", SOON, filed).await;
    leveret.stop().await;
}

#[tokio::test]
async fn a_definition_that_always_fails_stops_nobody_else() {
    let leveret = InProcess::start().await;
    leveret.apply(HEALTHY).await;
    leveret.apply(POISONOUS).await;
    for number in 0..30 {
        leveret.post("/instances", &json!({ "definition": "poisonous" })).await.ok(201);
        leveret.post("/instances", &json!({ "definition": "healthy", "key": number.to_string() })).await.ok(201);
    }
    let done = async || {
        count(&leveret, "healthy", "completed").await == 30 && count(&leveret, "poisonous", "suspended").await == 30
    };
    eventually("the healthy ones complete, the others wait for a person", SOON, done).await;
    assert_eq!(stuck::list(&mut leveret.app().store.duties().await.unwrap(), 10).await.unwrap(), []);
    leveret.stop().await;
}
