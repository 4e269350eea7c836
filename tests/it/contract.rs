//! Every message is described in the published contract, and every described message occurs.

use std::collections::BTreeSet;

use diesel_async::SimpleAsyncConnection;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, Consumer};
use leveret::client::Client;
use leveret::contract::{Start, asyncapi};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{CommandLine, InProcess, SOON, Sender, contract};

const TALKS: &str = "
name: talks
events: { instance: true, activity: true }
activities:
  - { id: say, emit: { event: said, body: { a: 1 } } }
  - { id: pay, receive: { name: paid } }
";
const BREAKS: &str = "
name: breaks
activities: [{ id: a, raise: { code: shown.broken, data: { why: x } } }]
";
const FAILS: &str = "
name: fails
activities: [{ id: a, end: { outcome: failed, error: { code: shown.no, message: not today } } }]
";
const RESTS: &str = "
name: rests
activities: [{ id: rest, wait: { for: 1h } }]
";
const ASKS: &str = "
name: asks
activities:
  - id: ask
    task:
      assignee: mia
      candidates: { users: [mia, bob], groups: [managers] }
      decisions: [approve, reject]
      due: 100ms
      remind: 100ms
      escalate: { after: 100ms, candidates: { users: [eve] }, priority: 5 }
    next: { approve: exit, reject: exit }
";

const KEEPS: &str = "
name: keeps
activities:
  - { id: ask, task: { assignee: mia, candidates: { users: [mia, bob] } } }
";

/// Everything on the exchanges of commands and events, and the requests to workers that pack.
pub(crate) struct Tap {
    _connection: Connection,
    messages: Consumer,
    /// What came so far, each with its name in the contract.
    seen: Vec<(String, Value)>,
}

impl Tap {
    pub(crate) async fn open(url: &str, prefix: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let queue = format!("{prefix}.tap");
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), exclusive, FieldTable::default()).await.unwrap();
        for (exchange, key) in [("commands", "#"), ("events", "#"), ("work", "pack")] {
            let exchange = format!("{prefix}.{exchange}");
            let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(queue.as_str().into(), exchange.as_str().into(), key.into(), bind, none).await.unwrap();
        }
        let taken = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let messages = channel.basic_consume(queue.as_str().into(), "".into(), taken, FieldTable::default());
        Self { messages: messages.await.unwrap(), _connection: connection, seen: Vec::new() }
    }

    /// Takes messages until this holds.
    async fn sees(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let message = timeout(SOON, self.messages.next()).await;
            let message = message.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}; seen: {:?}", self.names()));
            let delivery = message.expect("the queue exists").unwrap();
            let name = contract::assert_fits(&delivery.properties, &delivery.data);
            self.seen.push((name, serde_json::from_slice(&delivery.data).unwrap()));
        }
    }

    /// Waits for messages of all these names.
    pub(crate) async fn sees_all(&mut self, names: &[&str]) {
        self.sees(&format!("{names:?}"), |tap| names.iter().all(|name| tap.names().contains(*name))).await;
    }

    /// Waits for a message of this name about the instance with this key, and gives its `data`.
    async fn event(&mut self, name: &str, key: &str) -> Value {
        let find = |tap: &Self| {
            let wanted = |seen: &&(String, Value)| seen.0 == name && seen.1["data"]["key"] == key;
            tap.seen.iter().find(wanted).map(|seen| seen.1["data"].clone())
        };
        self.sees(&format!("{name} of {key}"), |tap| find(tap).is_some()).await;
        find(self).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        self.seen.iter().map(|(name, _)| name.clone()).collect()
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one conversation, from its beginning to its end")]
async fn every_message_is_described_in_the_contract() {
    let leveret = InProcess::new().await;
    for document in [TALKS, BREAKS, FAILS, RESTS, ASKS, KEEPS] {
        leveret.apply(document).await;
    }
    let (url, prefix) = (&leveret.fresh.amqp_url, &leveret.fresh.prefix);
    let mut tap = Tap::open(url, prefix).await;
    let sender = Sender::connect(url, prefix).await;
    let client = Client::connect(url, prefix, "shop").await.unwrap();
    let start = async |definition: &str, key: &str| {
        let start = Start { definition: definition.into(), key: Some(key.into()), ..Start::default() };
        client.start(&format!("start {key}"), &start).await.unwrap();
    };
    let of = |definition: &str, key: &str| json!({ "definition": definition, "key": key, "reason": "because" });

    // From SQL, from the Rust client, and over plain AMQP.
    let mut conn = leveret.app().store.background().await.unwrap();
    conn.batch_execute("SELECT leveret.start('talks', '{}', key => 't')").await.unwrap();
    drop(conn);
    tap.event("started", "t").await;
    sender.ask("message", "m-1", &json!({ "name": "paid", "key": "t", "data": null, "ttl": 60 })).await;
    tap.event("completed", "t").await;

    start("fails", "f").await;
    tap.event("failed", "f").await;

    start("breaks", "b").await;
    tap.event("suspended", "b").await;
    sender.ask("retry", "m-2", &of("breaks", "b")).await;
    tap.event("resumed", "b").await;
    sender.ask("cancel", "m-3", &of("breaks", "b")).await;
    tap.event("cancelled", "b").await;

    start("rests", "r").await;
    tap.event("started", "r").await;
    sender.ask("suspend", "m-4", &of("rests", "r")).await;
    tap.event("suspended", "r").await;
    sender.ask("resume", "m-5", &of("rests", "r")).await;
    tap.event("resumed", "r").await;
    let at_once = json!({ "definition": "rests", "key": "r", "bookmark": 1, "after": "0s" });
    sender.ask("timer.reschedule", "m-6", &at_once).await;
    tap.event("completed", "r").await;

    let mut answers = sender.answers(6).await;
    start("asks", "a").await;
    let task = tap.event("task_opened", "a").await["task"].clone();
    for event in ["task_reminded", "task_overdue", "task_escalated"] {
        tap.event(event, "a").await;
    }
    start("keeps", "k").await;
    let kept = tap.event("task_opened", "k").await["task"].clone();
    sender.ask("task.claim", "m-7", &json!({ "task": kept, "user": "mia", "lease": 600 })).await;
    answers.extend(sender.answers(1).await);
    sender.ask("task.release", "m-8", &json!({ "task": kept, "user": "mia" })).await;
    tap.event("task_assigned", "k").await;
    let done = json!({ "task": task, "user": "bob", "groups": ["x"], "decision": "approve", "comment": "fine" });
    sender.ask("task.complete", "m-9", &done).await;
    tap.event("task_completed", "a").await;
    start("asks", "c").await;
    tap.event("task_opened", "c").await;
    sender.ask("cancel", "m-10", &of("asks", "c")).await;
    tap.event("task_closed", "c").await;
    sender.ask("cancel", "m-11", &of("asks", "nobody")).await;
    // The operations of a person; the queue has a name that it has already.
    start("rests", "o").await;
    tap.event("started", "o").await;
    let with = |name: &str, value: Value| {
        let mut body = of("rests", "o");
        (body[name], body["actor"]) = (value, json!("ada"));
        body
    };
    sender.ask("jump", "o-1", &with("activity", json!("rest"))).await;
    answers.extend(sender.answers(5).await);
    sender.ask("rerun", "o-2", &with("activity", json!("rest"))).await;
    sender.ask("variables.set", "o-3", &with("variables", json!({ "none": 1 }))).await;
    sender.ask("queue.set", "o-4", &with("queue", json!("default"))).await;
    sender.ask("priority.set", "o-7", &with("priority", json!(7))).await;
    sender.ask("incident.resolve", "o-8", &with("action", json!("fail"))).await;
    answers.extend(sender.answers(5).await);
    leveret.reaches("o", "running at rest").await;
    sender.ask("skip", "o-5", &with("result", json!(1))).await;
    tap.event("completed", "o").await;
    start("rests", "t-2").await;
    tap.event("started", "t-2").await;
    sender.ask("terminate", "o-6", &of("rests", "t-2")).await;
    assert_eq!(tap.event("cancelled", "t-2").await["terminated"], true);

    // Each is checked against the contract as it is taken.
    answers.extend(sender.answers(2).await);
    assert_eq!(answers.iter().filter(|(_, answer)| answer["outcome"] == "refused").count(), 4, "{answers:?}");
    let mut seen = tap.names();
    seen.insert("answer".into());
    let never: Vec<String> = contract::names().into_iter().filter(|name| !seen.contains(name)).collect();
    assert_eq!(never, OF_WORKERS, "described, and never seen");
    client.close().await;
    leveret.stop().await;
}

/// The messages of external workers occur in their own tests.
const OF_WORKERS: [&str; 4] = ["call", "call.complete", "call.heartbeat", "call.progress"];

#[tokio::test]
async fn the_contract_is_served_and_printed_with_the_names_of_this_broker() {
    let leveret = InProcess::new().await;
    let expected = asyncapi::document(&leveret.fresh.prefix);
    let served: Value = serde_json::from_str(&leveret.text("/asyncapi.json").await).unwrap();
    assert_eq!(served, expected);
    let printed = CommandLine::on(&leveret.fresh).say("asyncapi").await.good();
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), expected);
    assert!(printed.contains(&format!("{}.work.{{name}}", leveret.fresh.prefix)));
    leveret.stop().await;
}
