//! The priority of instances: urgent ones go first when workers are behind, and never starve the others. On every version of RabbitMQ.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use leveret::broker::Queue;
use leveret::contract::step_queue::urgent_queue;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::roles::Role;
use leveret::store::Connection;
use serde_json::{Value, json};

use super::{NAPS, nap};
use crate::support::{CommandLine, Fresh, InProcess, eventually};

/// Ordinary instances that wait, and urgent ones that come after them.
const ORDINARY: i64 = 60;
const URGENT: i64 = 5;
/// Urgent commands that wait at any time in a flood of them.
const FLOOD: u64 = 20;
/// Ordinary instances that must end during the flood.
const SHARED: i64 = 15;

const HELD: &str = "
name: held
activities:
  - { id: hold, run: { handler: hold } }
";
/// The keys of the instances that hold the worker up.
static HOLDING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

async fn hold(_: &mut Connection, input: HandlerInput) -> HandlerResult {
    let key = input.key.unwrap();
    while HOLDING.lock().unwrap().contains(&key) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(json!(null))
}

/// Holds the worker up until it is released: what is started meanwhile waits.
async fn hold_up(leveret: &InProcess, key: &str) {
    HOLDING.lock().unwrap().insert(key.to_owned());
    leveret.post("/instances", &json!({ "definition": "held", "key": key })).await.ok(201);
}

fn release(key: &str) {
    HOLDING.lock().unwrap().remove(key);
}

/// One worker that does one thing at a time.
async fn worker() -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.worker.concurrency = 1;
    let leveret =
        InProcess::on(fresh, config, Handlers::new().register("nap", nap).register("hold", hold), Role::ALL).await;
    leveret.apply(NAPS).await;
    leveret.apply(HELD).await;
    leveret
}

async fn start(leveret: &InProcess, key: &str, priority: Option<i64>) -> String {
    let mut body = json!({ "definition": "naps", "key": key });
    body.as_object_mut().unwrap().extend(priority.map(|priority| ("priority".to_owned(), json!(priority))));
    leveret.post("/instances", &body).await.ok(201)["id"].as_str().unwrap().to_owned()
}

/// Instances that ended after the last one whose key is like this.
async fn ended_after(leveret: &InProcess, key: &str) -> i64 {
    let last = format!("SELECT max(ended_at) FROM leveret.instances WHERE key LIKE '{key}'");
    leveret.count(&format!("leveret.instances WHERE ended_at > ({last})")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_instances_end_before_those_that_wait_since_before() {
    let leveret = worker().await;
    hold_up(&leveret, "first").await;
    for number in 0..ORDINARY {
        start(&leveret, &format!("ordinary {number}"), (number % 2 == 0).then_some(-5)).await;
    }
    for number in 0..URGENT {
        start(&leveret, &format!("urgent {number}"), Some(5)).await;
    }
    release("first");
    leveret.count_becomes(ORDINARY + URGENT + 1, "leveret.instances WHERE status = 'completed'").await;
    let behind = ended_after(&leveret, "urgent %").await;
    assert!(behind >= ORDINARY - URGENT, "only {behind} of {ORDINARY} ended after the urgent ones");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_becomes_urgent_passes_the_others_that_wait() {
    let leveret = worker().await;
    hold_up(&leveret, "becomes").await;
    let mut last = String::new();
    for number in 0..ORDINARY {
        last = start(&leveret, &format!("ordinary {number}"), None).await;
    }
    let path = format!("/instances/{last}/priority");
    let dry = leveret.post(&path, &json!({ "priority": 5, "dry_run": true })).await.ok(200);
    assert_eq!((&dry["priority"], &dry["dry_run"]), (&json!({ "from": 0, "to": 5 }), &json!(true)));
    let revision = dry["revision"].as_i64().unwrap();
    leveret.post(&path, &json!({ "priority": 5, "revision": revision + 1 })).await.problem(409, "stale");
    let told = leveret.post(&path, &json!({ "priority": 5, "actor": "ada", "revision": revision })).await.ok(200);
    assert_eq!(told["revision"], revision + 1);
    release("becomes");
    leveret.count_becomes(ORDINARY + 1, "leveret.instances WHERE status = 'completed'").await;
    let behind = ended_after(&leveret, &format!("ordinary {}", ORDINARY - 1)).await;
    assert!(behind >= ORDINARY - URGENT, "only {behind} of {ORDINARY} ended after the one that has become urgent");
    let shown: Value = leveret.get(&format!("/instances/{last}")).await.ok(200);
    assert_eq!(shown["priority"], 5);
    leveret.close().await;
}

/// While others come faster than they are handled.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_urgent_instances_leaves_every_fourth_slot_to_the_others() {
    let leveret = worker().await;
    hold_up(&leveret, "flood").await;
    for number in 0..SHARED * 2 {
        start(&leveret, &format!("ordinary {number}"), None).await;
    }
    let urgent = Queue::Steps(urgent_queue("default"));
    let ended = async |key: &str| {
        leveret.count(&format!("leveret.instances WHERE key LIKE '{key}' AND ended_at IS NOT NULL")).await
    };
    let mut sent = 0;
    let mut flood = async || {
        let waiting = leveret.app().broker.depth(&urgent).await.unwrap();
        for _ in waiting..FLOOD {
            sent += 1;
            start(&leveret, &format!("urgent {sent}"), Some(1)).await;
        }
    };
    flood().await;
    release("flood");
    let before = [ended("ordinary %").await, ended("urgent %").await];
    while ended("ordinary %").await - before[0] < SHARED {
        flood().await;
    }
    let [ordinary, urgent] = [ended("ordinary %").await - before[0], ended("urgent %").await - before[1]];
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let share = ordinary as f64 / (ordinary + urgent) as f64;
    println!("{ordinary} ordinary and {urgent} urgent instances ended: the share of the ordinary ones is {share:.2}");
    assert!((0.15..0.4).contains(&share), "{share:.2}");
    leveret.count_becomes(0, "leveret.instances WHERE ended_at IS NULL").await;
    leveret.close().await;
}

/// The definition says it, the start may say something else, from every door.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_the_priority_of_its_definition_unless_it_names_one() {
    let leveret = worker().await;
    leveret.apply(&NAPS.replace("name: naps", "name: naps\npriority: 7")).await;
    start(&leveret, "by definition", None).await;
    start(&leveret, "over http", Some(-3)).await;
    let body = json!({ "definition": "naps", "key": "over amqp", "priority": 2 }).to_string();
    let properties = crate::support::Sender::properties("start", "p-1");
    leveret.sender.send("commands", "start.naps", properties, body.as_bytes()).await;
    leveret
        .execute("DO $$ BEGIN PERFORM leveret.start('naps', key => 'over sql', priority => 4::smallint); END $$")
        .await;
    let command_line = CommandLine::on(&leveret.fresh);
    command_line.say("instance start naps --key by-hand --priority -9").await.good();
    eventually("all have started", std::time::Duration::from_secs(20), async || {
        leveret.count("leveret.instances").await == 5
    })
    .await;
    let seen = leveret.lines("key || ' ' || priority", "leveret.instances ORDER BY key").await;
    assert_eq!(seen, ["by definition 7", "by-hand -9", "over amqp 2", "over http -3", "over sql 4"]);
    leveret.count_becomes(5, "leveret.instances WHERE status = 'completed'").await;
    leveret.close().await;
}

/// Published to the exchange of urgent commands, a start passes those that wait in the queue of all others, from its first step on.
#[tokio::test(flavor = "multi_thread")]
async fn an_urgent_start_over_the_broker_passes_the_commands_that_wait() {
    let leveret = worker().await;
    hold_up(&leveret, "broker").await;
    let send = async |exchange: &str, key: &str, priority: i64| {
        let body = json!({ "definition": "naps", "key": key, "priority": priority }).to_string();
        let properties = crate::support::Sender::properties("start", key);
        leveret.sender.send(exchange, "start.naps", properties, body.as_bytes()).await;
    };
    for number in 0..ORDINARY {
        send("commands", &format!("ordinary {number}"), 0).await;
    }
    for number in 0..URGENT {
        send("urgent", &format!("urgent {number}"), 1).await;
    }
    release("broker");
    leveret.count_becomes(ORDINARY + URGENT + 1, "leveret.instances WHERE status = 'completed'").await;
    let behind = ended_after(&leveret, "urgent %").await;
    assert!(behind >= ORDINARY - 2 * URGENT, "only {behind} of {ORDINARY} ended after the urgent ones");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}
