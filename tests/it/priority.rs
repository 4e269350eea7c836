//! The priority of a command: RabbitMQ 4.3 delivers a higher one first, always.

use std::time::{Duration, Instant};

use leveret::broker::Queue;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::roles::Role;
use leveret::store::Connection;
use serde_json::json;

use crate::support::{Fresh, InProcess, Sender, broker_version, shared};

mod instances;

const NAPS: &str = "
name: naps
activities:
  - { id: nap, run: { handler: nap } }
";
/// Commands that wait at any time.
const WAITING: u64 = 60;
/// A command that comes first must be handled within this, whatever comes after it.
const HANDLED_WITHIN: Duration = Duration::from_secs(30);

async fn nap(_: &mut Connection, _: HandlerInput) -> HandlerResult {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(json!(null))
}

async fn start(leveret: &InProcess, key: &str, priority: Option<u8>) {
    let mut properties = Sender::properties("start", key);
    if let Some(priority) = priority {
        properties = properties.with_priority(priority);
    }
    let body = json!({ "definition": "naps", "key": key }).to_string();
    leveret.sender.send("commands", "start.naps", properties, body.as_bytes()).await;
}

/// Naps that run at once.
const SLOTS: usize = 2;
/// Commands in a backlog: some seconds of work, so that it lasts.
const BURST: usize = 400;
/// Commands that run, are prefetched or are sent to the end at the same moment may pass each other.
const DISPLACED_MAX: usize = 20;

const SKIPPED: &str = "skipped: before RabbitMQ 4.3 no priority makes a command wait for ever";

/// A worker with [`SLOTS`] slots, or nothing where no priority makes a command wait for ever.
async fn worker() -> Option<InProcess> {
    if broker_version(&shared().amqp_url).await < (4, 3) {
        return None;
    }
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.worker.concurrency = SLOTS;
    let leveret = InProcess::on(fresh, config, Handlers::new().register("nap", nap), Role::ALL).await;
    leveret.apply(NAPS).await;
    Some(leveret)
}

/// Otherwise a message would wait for the whole backlog after its instance has been started before its turn.
#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_priority_are_handled_in_their_order_while_they_wait() {
    let Some(leveret) = worker().await else { return println!("{SKIPPED}") };
    for number in 0..BURST {
        start(&leveret, &format!("{number:04}"), None).await;
    }
    leveret.count_becomes(i64::try_from(BURST).unwrap(), "leveret.instances WHERE status = 'completed'").await;
    let order = leveret.lines("key", "leveret.instances ORDER BY started_at, id").await;
    let displaced = order.iter().enumerate().map(|(place, key)| place.abs_diff(key.parse::<usize>().unwrap())).max();
    assert!(displaced.is_some_and(|places| places <= DISPLACED_MAX), "displaced by {displaced:?} places: {order:?}");
    leveret.close().await;
}

/// Java's client and Spring send 0 unless told otherwise; most others send none, which counts as 4.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_the_lowest_priority_is_handled_although_others_keep_coming() {
    let Some(leveret) = worker().await else { return println!("{SKIPPED}") };
    let mut sent = 0;
    let mut send_more = async || {
        let waiting = leveret.app().broker.depth(&Queue::Commands).await.unwrap();
        for _ in waiting..WAITING {
            sent += 1;
            // Some of the highest priority of AMQP 0.9.1.
            start(&leveret, &format!("other {sent}"), (sent % 3 == 0).then_some(9)).await;
        }
        waiting
    };
    send_more().await;
    let begun = Instant::now();
    start(&leveret, "lowest", Some(0)).await;
    let mut least_waiting = WAITING;
    while leveret.count("leveret.instances WHERE key = 'lowest'").await == 0 {
        least_waiting = least_waiting.min(send_more().await);
        assert!(
            begun.elapsed() < HANDLED_WITHIN,
            "it waits behind {} that came after it",
            leveret.count("leveret.instances").await
        );
    }
    println!(
        "handled after {:?}, after {} others; at least {least_waiting} waited at any time",
        begun.elapsed(),
        leveret.count("leveret.instances").await - 1
    );
    assert!(least_waiting > 0, "the others did not keep coming");
    leveret.count_becomes(i64::from(sent) + 1, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!(leveret.count("leveret.inbox").await, i64::from(sent) + 1);
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}
