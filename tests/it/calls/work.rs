//! External workers: asked over the broker, they answer by commands with the token of their attempt.

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions};
use lapin::types::FieldTable;
use leveret::contract::WorkRequest;
use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::support::{Fault, broker_version};

const PACKING: &str = "
name: packing
variables: { got: null }
output: '${ got }'
activities:
  - id: pack
    call: { name: pack, input: { id: '${ instance.key }' } }
    timeout: 20s
    output: { got: result }
    on_error: [{ code: worker.broken, output: { got: error.data.why } }]
";

/// An external worker of the test: receives requests one by one.
struct Worker {
    consumer: lapin::Consumer,
}

impl Worker {
    async fn of(leveret: &InProcess, name: &str) -> Self {
        let fresh = &leveret.fresh;
        let connection =
            lapin::Connection::connect(&fresh.amqp_url, lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        std::mem::forget(connection);
        let queue = format!("{}.work.{name}", fresh.prefix);
        let consumer = channel
            .basic_consume(queue.as_str().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        Self { consumer }
    }

    /// The next request, acknowledged.
    async fn next(&mut self) -> (WorkRequest, lapin::BasicProperties) {
        let delivery = timeout(SOON, self.consumer.next()).await.expect("a request in time").unwrap().unwrap();
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        (serde_json::from_slice(&delivery.data).unwrap(), delivery.properties)
    }
}

/// Starts an instance and waits until its request is published, which also declares the queue.
async fn asked(leveret: &InProcess, key: &str) {
    leveret.start("packing", key).await;
    leveret.reaches(key, "running at pack").await;
    leveret.count_becomes(0, "leveret.outbox WHERE exchange = 'work'").await;
}

async fn says(leveret: &InProcess, kind: &str, id: &str, body: Value) {
    leveret.sender.command(kind, id, &body).await;
}

#[tokio::test]
async fn a_request_has_all_an_external_worker_needs_and_its_reply_is_accepted_once() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(PACKING).await;
    asked(&leveret, "box").await;
    let mut worker = Worker::of(&leveret, "pack").await;
    let (request, properties) = worker.next().await;
    assert_eq!((request.name.as_str(), request.attempt, &request.input), ("pack", 1, &json!({"id": "box"})));
    assert_eq!(request.idempotency_key, request.call.to_string());
    let text = |short: &Option<lapin::types::ShortString>| short.as_ref().unwrap().to_string();
    assert_eq!(text(properties.kind()), "call");
    assert_eq!(text(properties.message_id()), request.idempotency_key);
    assert_eq!(text(properties.correlation_id()), request.call.to_string());
    assert_eq!(text(properties.reply_to()), format!("{}.commands", leveret.fresh.prefix));
    let progress = json!({ "call": request.call, "token": request.token, "progress": { "percent": 50 } });
    says(&leveret, "call.progress", "half", progress).await;
    leveret.count_becomes(1, "leveret.history WHERE kind = 'CallProgressed'").await;
    let reply = json!({ "call": request.call, "token": request.token, "result": { "packed": true } });
    says(&leveret, "call.complete", "done", reply.clone()).await;
    leveret.reaches("box", "completed").await;
    assert_eq!(output(&leveret, "box").await, json!({"packed": true}));
    says(&leveret, "call.complete", "done", reply.clone()).await;
    says(&leveret, "call.complete", "done twice", reply).await;
    leveret.count_becomes(1, "leveret.dead_letters").await;
    assert!(leveret.dead_letters().await[0].contains("ended as succeeded"));
    leveret.execute("DELETE FROM leveret.dead_letters").await;
    leveret.close().await;
}

#[tokio::test]
async fn an_error_of_an_external_worker_has_its_code_and_a_forged_reply_is_a_dead_letter() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(PACKING).await;
    asked(&leveret, "box").await;
    let mut worker = Worker::of(&leveret, "pack").await;
    let (request, _) = worker.next().await;
    let forged = json!({ "call": request.call, "token": "1-1234", "result": 1 });
    says(&leveret, "call.complete", "forged", forged).await;
    leveret.count_becomes(1, "leveret.dead_letters").await;
    let error = json!({ "code": "broken", "message": "it fell", "data": { "why": "butter fingers" } });
    says(&leveret, "call.complete", "done", json!({ "call": request.call, "token": request.token, "error": error }))
        .await;
    leveret.reaches("box", "completed").await;
    assert_eq!(output(&leveret, "box").await, json!("butter fingers"));
    leveret.close().await;
}

#[tokio::test]
async fn an_attempt_of_a_hanging_worker_expires_and_its_late_reply_is_refused() {
    let mut fault = Fault::new("the reply of an external worker comes after its attempt has expired", "F26", "I9 I16");
    let leveret = leveret(|_| {}).await;
    leveret.apply(&PACKING.replace("timeout: 20s", "timeout: 1s")).await;
    asked(&leveret, "box").await;
    let mut worker = Worker::of(&leveret, "pack").await;
    let (first, _) = worker.next().await;
    let (second, _) = worker.next().await;
    assert_eq!((second.call, second.attempt), (first.call, 2));
    assert_eq!(second.idempotency_key, first.idempotency_key);
    assert_ne!(second.token, first.token);
    says(&leveret, "call.complete", "late", json!({ "call": first.call, "token": first.token, "result": 1 })).await;
    says(&leveret, "call.complete", "good", json!({ "call": second.call, "token": second.token, "result": 2 })).await;
    fault.fired_times(1, 1);
    leveret.reaches("box", "completed").await;
    assert_eq!(output(&leveret, "box").await, json!(2));
    leveret.count_becomes(1, "leveret.dead_letters").await;
    assert!(leveret.dead_letters().await[0].contains("too late"), "{:?}", leveret.dead_letters().await);
    leveret.close().await;
    fault.held();
}

#[tokio::test]
async fn a_missed_heartbeat_ends_an_attempt_and_a_timely_one_keeps_it() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&PACKING.replace("name: pack, input", "name: pack, heartbeat: 2s, input")).await;
    asked(&leveret, "box").await;
    leveret.reaches("box", "running at pack").await;
    // The request waits in the queue, so no heartbeat is due yet.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let mut worker = Worker::of(&leveret, "pack").await;
    let (first, _) = worker.next().await;
    assert_eq!(first.heartbeat_for.as_deref(), Some("2s"));
    for beat in 0..5 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        says(&leveret, "call.heartbeat", &format!("beat {beat}"), json!({ "call": first.call, "token": first.token }))
            .await;
    }
    assert_eq!(leveret.lines("attempt", "leveret.calls").await, ["1"], "the attempt continues");
    let (second, _) = worker.next().await;
    assert_eq!(second.attempt, 2);
    assert_eq!(
        leveret.lines("details->>'code'", "leveret.history WHERE kind = 'CallUnknown'").await,
        ["worker.unavailable"]
    );
    says(&leveret, "call.complete", "good", json!({ "call": second.call, "token": second.token, "result": 2 })).await;
    leveret.reaches("box", "completed").await;
    // From the expired attempt, and for the call that has ended.
    for (n, token) in [&first.token, &second.token].into_iter().enumerate() {
        let about = json!({ "call": first.call, "token": token, "progress": 1 });
        says(&leveret, "call.heartbeat", &format!("late beat {n}"), about.clone()).await;
        says(&leveret, "call.progress", &format!("late progress {n}"), about).await;
    }
    leveret.count_becomes(0, "leveret.outbox").await;
    asked(&leveret, "another").await;
    let (third, _) = worker.next().await;
    says(&leveret, "call.complete", "done", json!({ "call": third.call, "token": third.token, "result": 3 })).await;
    leveret.reaches("another", "completed").await;
    assert_eq!(leveret.dead_letters().await, [""; 0], "a late heartbeat is not a dead letter");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'CallProgressed'").await, 0);
    leveret.close().await;
}

#[tokio::test]
async fn work_has_a_name_in_any_letters_which_may_come_from_data() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&PACKING.replace("name: pack, input", "name: 'Verpacken: ${ instance.key } ✓', input")).await;
    asked(&leveret, "Möbel").await;
    let mut worker = Worker::of(&leveret, "Verpacken: Möbel ✓").await;
    let (request, properties) = worker.next().await;
    assert_eq!(request.name, "Verpacken: Möbel ✓");
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "call");
    let reply = json!({ "call": request.call, "token": request.token, "result": 1 });
    says(&leveret, "call.complete", "done", reply).await;
    leveret.reaches("Möbel", "completed").await;
    assert_eq!(leveret.lines("target", "leveret.calls").await, ["work:Verpacken: Möbel ✓"]);
    leveret.close().await;
}

/// RabbitMQ 4.3 does not count a `basic.nack`: there the request ends with its attempt, on older versions at the delivery limit.
#[tokio::test]
async fn a_request_that_its_worker_returns_without_end_ends() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&PACKING.replace("timeout: 20s", "timeout: 3s\n    retry: none")).await;
    asked(&leveret, "box").await;
    let mut worker = Worker::of(&leveret, "pack").await;
    let mut times = 0;
    let returning = async {
        loop {
            let delivery = worker.consumer.next().await.unwrap().unwrap();
            times += 1;
            delivery.nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = returning => {}
        () = leveret.reaches("box", "suspended at pack") => {}
    }
    assert!(times > 50, "only {times} deliveries");
    let another = timeout(Duration::from_secs(1), worker.consumer.next()).await;
    assert!(another.is_err(), "it came again after {times} deliveries");
    if broker_version(&leveret.fresh.amqp_url).await < (4, 3) {
        leveret.count_becomes(1, "leveret.dead_letters").await;
        let letters = leveret.dead_letters().await;
        assert_eq!(letters, ["the broker stopped redelivering it (delivery_limit)"]);
    }
    leveret.sender.command("cancel", "call it off", &json!({ "definition": "packing", "key": "box" })).await;
    leveret.reaches("box", "cancelled").await;
    leveret.close().await;
}

#[tokio::test]
async fn a_request_that_no_worker_takes_expires_without_a_dead_letter() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&PACKING.replace("timeout: 20s", "timeout: 1s\n    retry: none")).await;
    asked(&leveret, "box").await;
    leveret.reaches("box", "suspended at pack").await;
    let mut worker = Worker::of(&leveret, "pack").await;
    let came = timeout(Duration::from_secs(1), worker.consumer.next()).await;
    assert!(came.is_err(), "it has expired");
    leveret.sender.command("cancel", "call it off", &json!({ "definition": "packing", "key": "box" })).await;
    leveret.reaches("box", "cancelled").await;
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}
