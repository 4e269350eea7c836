//! Which way a command comes says who may have sent it: what Leveret sends to itself is taken only from its own exchanges, and what it
//! says there is looked up before anything waits for it.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fresh, InProcess, SOON, Sender, broker, eventually};

/// Two days at one activity.
const WAITS: &str = "
name: waits
activities:
  - { id: long, wait: { for: 2d } }
";

/// The reason of the newest dead letter, once there are this many.
async fn newest_letter(leveret: &InProcess, count: i64) -> String {
    leveret.count_becomes(count, "leveret.dead_letters").await;
    leveret.dead_letters().await.pop().unwrap()
}

/// Publishes to a queue itself, as the default exchange lets everybody do who may write to it.
async fn send_to_queue(leveret: &InProcess, queue: &str, properties: BasicProperties, body: &Value) {
    let channel = broker::raw(&leveret.fresh.amqp_url).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let queue = format!("{}.{queue}", leveret.fresh.prefix);
    let (options, body) = (BasicPublishOptions { mandatory: true, ..Default::default() }, body.to_string());
    let sent = channel.basic_publish("".into(), queue.as_str().into(), options, body.as_bytes(), properties);
    assert!(sent.await.unwrap().await.unwrap().is_ack());
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_commands_are_refused_on_every_public_way() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("paid", "A-1").await;
    leveret.reaches("A-1", "running at payment").await;
    let id = leveret.id("A-1").await.unwrap().0;
    let deliver = json!({ "instance": id, "bookmark": 1, "name": "paid", "key": "A-1", "data": { "amount": 1 } });
    let forged = [
        ("continue", json!({ "instance": id, "branch": 0, "sequence": 1 })),
        ("fire", json!({ "instance": id, "bookmark": 1, "due_at": "2020-01-01T00:00:00Z" })),
        ("deliver", deliver),
    ];
    let mut letters = 0;
    for (kind, body) in &forged {
        leveret.sender.command(kind, &format!("forged {kind}"), body).await;
        letters += 1;
        let why = newest_letter(&leveret, letters).await;
        let says = format!("`{kind}` is a command of Leveret to itself: it comes only through the exchange");
        assert!(why.starts_with(&says) && why.contains(".steps`"), "{why}");
        for queue in ["commands", "steps.default"] {
            send_to_queue(&leveret, queue, Sender::properties(kind, &format!("{kind} {queue}")), body).await;
            letters += 1;
            let why = newest_letter(&leveret, letters).await;
            assert!(why.starts_with(&says), "{why}");
        }
    }
    // And what belongs to the exchange of commands is not taken from a queue of steps.
    send_to_queue(&leveret, "steps.default", Sender::properties("start", "x"), &json!({ "definition": "step" })).await;
    let why = newest_letter(&leveret, letters + 1).await;
    assert!(why.contains("does not belong into a queue of steps"), "{why}");
    assert_eq!(leveret.position("A-1").await, "running at payment");
    assert_eq!(leveret.count("leveret.instances").await, 1);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_wake_up_ends_after_one_look_into_the_database() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(WAITS).await;
    leveret.start("waits", "A-1").await;
    leveret.reaches("A-1", "running at long").await;
    let id = leveret.id("A-1").await.unwrap().0;
    let queues = leveret.queues().await;
    // In all of these one of both times is beyond the horizon: that of the wake-up, or that of its timer.
    let forged = [
        (Uuid::now_v7(), 1, "2999-01-01T00:00:00Z"),
        (id, 1, "2999-01-01T00:00:00Z"),
        (id, 99, "2999-01-01T00:00:00Z"),
        (id, 1, "2020-01-01T00:00:00Z"),
    ];
    for (instance, bookmark, due_at) in forged {
        leveret.sender.step("fire", &json!({ "instance": instance, "bookmark": bookmark, "due_at": due_at })).await;
    }
    let gone = async || queues.not_empty().await.is_empty();
    eventually("nothing waits in a delay queue", SOON, gone).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(queues.not_empty().await, []);
    assert_eq!(leveret.position("A-1").await, "running at long");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.sender.command("cancel", "enough", &json!({ "definition": "waits", "key": "A-1" })).await;
    leveret.reaches("A-1", "cancelled").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_key_has_to_begin_with_the_type_unless_the_setting_takes_any() {
    let leveret = InProcess::with_ledger().await;
    let start = json!({ "definition": "step", "key": "A" }).to_string();
    for (number, key) in (1..).zip(["message.step", "starts", "x.start"]) {
        leveret.sender.send("commands", key, Sender::properties("start", key), start.as_bytes()).await;
        let why = newest_letter(&leveret, number).await;
        assert!(why.contains(&format!("the routing key `{key}` does not begin with the `type`")), "{why}");
        assert!(why.contains("`start.…`") && why.contains("broker.routing_keys"), "{why}");
    }
    send_to_queue(&leveret, "commands", Sender::properties("start", "queue"), &json!({ "definition": "step" })).await;
    assert!(newest_letter(&leveret, 4).await.contains("does not begin with the `type`"));
    // The token proves who sends this one, so it may go to the queue as well.
    let late = json!({ "call": Uuid::now_v7(), "token": "1-2" });
    send_to_queue(&leveret, "commands", Sender::properties("call.heartbeat", "beat"), &late).await;
    assert!(newest_letter(&leveret, 5).await.contains("there is no call"));
    leveret.sender.send("commands", "start", Sender::properties("start", "bare"), start.as_bytes()).await;
    leveret.reaches("A", "completed").await;
    let fresh = leveret.stop().await;

    let mut config = InProcess::config(&fresh);
    config.broker.routing_keys = leveret::config::RoutingKeys::Any;
    let handlers = crate::support::ledger::handlers();
    let leveret = InProcess::on(fresh, config, handlers, leveret::roles::Role::ALL).await;
    let old = json!({ "definition": "step", "key": "old" }).to_string();
    leveret.sender.send("commands", "whatever", Sender::properties("start", "old"), old.as_bytes()).await;
    leveret.reaches("old", "completed").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_go_to_a_queue_of_leveret() {
    let leveret = InProcess::with_ledger().await;
    let prefix = leveret.fresh.prefix.clone();
    let own = [format!("{prefix}.steps.default"), format!("{prefix}.commands"), prefix];
    for (number, queue) in (1..).zip(&own) {
        let properties = Sender::properties("start", queue).with_reply_to(queue.as_str().into());
        let body = json!({ "definition": "step" }).to_string();
        leveret.sender.send("commands", "start.step", properties, body.as_bytes()).await;
        let why = newest_letter(&leveret, number).await;
        assert!(why.contains(&format!("`reply_to` names `{queue}`, which is a queue of Leveret")), "{why}");
    }
    leveret.count_becomes(0, "leveret.outbox").await;
    assert_eq!(leveret.count("leveret.instances").await, 0);
    // No answer was sent there: it would be a dead letter as well.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(leveret.dead_letters().await.len(), own.len());
    leveret.close().await;
}

/// What Leveret itself sends again keeps its way: a refused command is refused again.
#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_command_is_checked_as_if_it_came_again() {
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |_| {}).await;
    let properties = Sender::properties("start", "forged").with_app_id("leveret.schedule/nightly".into());
    let body = json!({ "definition": "step" }).to_string();
    leveret.sender.send("commands", "start.step", properties, body.as_bytes()).await;
    newest_letter(&leveret, 1).await;
    let id = &leveret.lines("id", "leveret.dead_letters").await[0];
    leveret.post(&format!("/dead-letters/{id}/redrive"), &json!({})).await.ok(200);
    leveret.count_becomes(1, "leveret.dead_letters WHERE failures = 2").await;
    assert!(newest_letter(&leveret, 1).await.contains("`leveret.schedule/nightly`"));
    assert_eq!(leveret.count("(SELECT DISTINCT exchange FROM leveret.dead_letters) AS each").await, 1);
    assert_eq!(leveret.count("leveret.instances").await, 0);
    leveret.close().await;
}
