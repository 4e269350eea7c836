//! Readiness names what delays the work: a full queue, a slow database, an exhausted pool, a full outbox. Memory stays flat, and
//! everything drains afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, SimpleAsyncConnection};
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::roles::Role;
use leveret::store::Connection;
use serde_json::{Value, json};

use crate::support::broker::raw;
use crate::support::{Fresh, InProcess, Private, SOON, Sender, eventually};

/// A claim of the sweep is over, and the next one publishes again.
const DRAINED_WITHIN: Duration = Duration::from_secs(90);
/// What the process may need more while messages are refused.
const MEMORY_MAX: u64 = 64 * 1024 * 1024;
/// Instances, each with two events of some size.
const INSTANCES: i64 = 300;

const TALKS: &str = "
name: talks
events: { instance: false }
activities:
  - { id: first, emit: { event: told, body: { text: LONG } } }
  - { id: second, emit: { event: told } }
";

async fn degraded(leveret: &InProcess) -> String {
    let body = leveret.get("/readyz").await.body;
    let causes: Vec<&str> = body["degraded"].as_array().unwrap().iter().map(|cause| cause.as_str().unwrap()).collect();
    causes.join("; ")
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_and_a_full_outbox_are_named_and_drain() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.outbox.publish_queue_for = Duration::from_secs(1);
    config.outbox.publish_queue_max = 100;
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    leveret.apply(&TALKS.replace("LONG", &"long ".repeat(400))).await;
    let channel = raw(&leveret.fresh.amqp_url).await;
    let (queue, exchange) = (format!("full-{}", leveret.fresh.prefix), format!("{}.events", leveret.fresh.prefix));
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let declared = channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::default(), arguments).await;
    declared.unwrap();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.as_str().into(), exchange.as_str().into(), "#".into(), bind, none).await.unwrap();
    assert_eq!(degraded(&leveret).await, "");

    let before = resident();
    for number in 0..INSTANCES {
        leveret.post("/instances", &json!({ "definition": "talks", "key": number.to_string() })).await.ok(201);
    }
    // A full queue of a listener stops no instance.
    leveret.count_becomes(INSTANCES, "leveret.instances WHERE status = 'completed'").await;
    let named = async || {
        let said = degraded(&leveret).await;
        said.contains("a queue is full and refuses messages (exchange `events`, routing key `talks.told`)")
            && said.contains("more than 100 rows wait")
    };
    eventually("readiness names both", SOON, named).await;
    assert_eq!(leveret.get("/readyz").await.ok(200)["ready"], true);
    let grown = resident().saturating_sub(before);
    println!(
        "{INSTANCES} instances, {} rows wait: {grown} bytes more in memory",
        leveret.count("leveret.outbox").await
    );
    assert!(grown < MEMORY_MAX, "{grown} bytes more");

    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let drained = async || leveret.count("leveret.outbox").await == 0;
    eventually("the outbox has drained", DRAINED_WITHIN, drained).await;
    eventually("nothing is named any more", SOON, async || degraded(&leveret).await.is_empty()).await;
    leveret.close().await;
}

/// Commits wait for this standby, or for none.
async fn wait_for(admin: &mut Connection, standby: &str) {
    admin.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'")).await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// A commit waits for a standby that comes back after a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_is_named_and_is_no_reason_to_send_no_requests() {
    let servers = Private::start();
    let leveret = InProcess::with_ledger_on(Fresh::on(&servers).await, |_| {}).await;
    let mut admin = Connection::establish(&leveret.fresh.database_url).await.unwrap();
    let mut said = Value::Null;
    for _ in 0..20 {
        wait_for(&mut admin, "gone").await;
        // Until the processes of the server have read it, commits are as before.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (reply, ()) = tokio::join!(leveret.get("/readyz"), async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            wait_for(&mut admin, "").await;
        });
        said = reply.body.clone();
        if said["database"] == "slow" {
            assert_eq!(reply.status, 200, "{said}");
            break;
        }
    }
    assert_eq!((&said["database"], &said["ready"]), (&json!("slow"), &json!(true)), "{said}");
    assert!(said["degraded"][0].as_str().unwrap().starts_with("database: a commit took "), "{said}");
    let well = async || leveret.get("/readyz").await.body["database"] == "answers";
    eventually("it is quick again", SOON, well).await;
    leveret.start("step", "after").await;
    leveret.reaches("after", "completed").await;
    leveret.close().await;
}

static HOLD: AtomicBool = AtomicBool::new(true);

async fn hold(_: &mut Connection, _: HandlerInput) -> HandlerResult {
    while HOLD.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(json!(null))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_named_and_what_waits_for_it_continues() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    (config.worker.concurrency, config.database.pool_max) = (6, 2);
    let handlers = Handlers::new().register("hold", hold);
    let leveret = InProcess::on(fresh, config, handlers, Role::ALL).await;
    leveret.apply("name: held\nactivities: [{ id: hold, run: { handler: hold } }]").await;
    for key in 0..6 {
        let body = json!({ "definition": "held", "key": key.to_string() }).to_string();
        let properties = Sender::properties("start", &key.to_string());
        leveret.sender.send("commands", "start.held", properties, body.as_bytes()).await;
    }
    let named = async || degraded(&leveret).await.contains("pool: all 2 connections for steps are in use");
    eventually("readiness names the pool", SOON, named).await;
    assert_eq!(leveret.get("/readyz").await.ok(200)["ready"], true);
    HOLD.store(false, Ordering::Relaxed);
    leveret.count_becomes(6, "leveret.instances WHERE status = 'completed'").await;
    eventually("nothing is named any more", SOON, async || degraded(&leveret).await.is_empty()).await;
    leveret.close().await;
}
