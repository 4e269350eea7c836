//! The same races over HTTP, where the process that commits does not run the next step.

use std::collections::BTreeMap;
use std::time::Duration;

use leveret::store::stuck;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{self, InProcess, SOON, eventually};

/// Repetitions of what is a matter of moments.
const TURNS: usize = 30;

/// Waits for a payment, not for ever.
const PAYMENT: &str = "
name: payment
input: { type: object, properties: { patience: { type: string, default: 1h } } }
variables: { got: null }
output: { got: '${ got }' }
activities:
  - id: wait
    receive: { name: paid }
    timeout: ${ patience }
    output: { got: result.data.n }
    on_timeout: late
  - { id: paid, end: {} }
  - { id: late, end: { output: { got: late } } }
";

async fn leveret() -> InProcess {
    let leveret = InProcess::new().await;
    leveret.apply(PAYMENT).await;
    leveret
}

async fn begin(leveret: &InProcess, definition: &str, key: &str, input: Value) -> Uuid {
    let request = json!({ "definition": definition, "key": key, "input": input });
    leveret.post("/instances", &request).await.ok(201)["id"].as_str().unwrap().parse().unwrap()
}

async fn pay(leveret: &InProcess, key: &str, n: i64) -> String {
    let reply = leveret.post("/messages", &json!({ "name": "paid", "key": key, "data": { "n": n } })).await;
    assert!(reply.status.is_success(), "{}", reply.body);
    reply.body["outcome"].as_str().unwrap().to_owned()
}

async fn show(leveret: &InProcess, id: Uuid) -> Value {
    leveret.get(&format!("/instances/{id}")).await.ok(200)
}

async fn output(leveret: &InProcess, id: Uuid) -> Value {
    let mut view = Value::Null;
    let ended = async || {
        view = show(leveret, id).await;
        !view["ended_at"].is_null()
    };
    eventually("the instance has ended", SOON, ended).await;
    view["output"]["got"].clone()
}

async fn waits(leveret: &InProcess, id: Uuid, activity: &str) -> Value {
    let mut view = Value::Null;
    let waiting = async || {
        view = show(leveret, id).await;
        view["at"][0] == activity && !view["waits"].as_array().unwrap().is_empty()
    };
    eventually(&format!("it waits at {activity}"), SOON, waiting).await;
    view
}

async fn count(leveret: &InProcess, what: &str) -> i64 {
    support::count(&mut leveret.app().store.background().await.unwrap(), what).await
}

/// Nothing is stuck and nothing is left to be sent.
async fn at_rest(leveret: InProcess) {
    eventually("the outbox is empty", SOON, async || count(&leveret, "leveret.outbox").await == 0).await;
    assert_eq!(stuck::list(&mut leveret.app().store.background().await.unwrap(), 10).await.unwrap(), []);
    leveret.stop().await;
}

#[tokio::test]
async fn a_message_before_at_the_same_moment_as_and_after_its_wait_is_taken_once() {
    let leveret = leveret().await;
    assert_eq!(pay(&leveret, "before", 1).await, "kept");
    let before = begin(&leveret, "payment", "before", json!({})).await;
    assert_eq!(output(&leveret, before).await, 1);

    let after = begin(&leveret, "payment", "after", json!({})).await;
    waits(&leveret, after, "wait").await;
    assert_eq!(pay(&leveret, "after", 2).await, "delivered");
    assert_eq!(output(&leveret, after).await, 2);

    for turn in 0..TURNS {
        let key = format!("same-{turn}");
        let (id, _) = tokio::join!(begin(&leveret, "payment", &key, json!({})), pay(&leveret, &key, 3));
        assert_eq!(output(&leveret, id).await, 3, "turn {turn}");
    }
    assert_eq!(count(&leveret, "leveret.messages").await, 0, "a message was taken and kept");
    at_rest(leveret).await;
}

#[tokio::test]
async fn of_two_messages_for_one_wait_one_is_delivered_and_the_other_kept() {
    let leveret = leveret().await;
    for turn in 0..TURNS {
        let key = format!("two-{turn}");
        let id = begin(&leveret, "payment", &key, json!({})).await;
        waits(&leveret, id, "wait").await;
        let (one, other) = tokio::join!(pay(&leveret, &key, 1), pay(&leveret, &key, 2));
        let mut outcomes = [one.as_str(), other.as_str()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["delivered", "kept"], "turn {turn}");
        let expected = if one == "delivered" { 1 } else { 2 };
        assert_eq!(output(&leveret, id).await, expected);
    }
    assert_eq!(count(&leveret, "leveret.messages").await, TURNS as i64);
    at_rest(leveret).await;
}

#[tokio::test]
async fn a_message_and_the_timeout_of_its_wait_at_the_same_moment_one_wins_and_the_message_is_not_lost() {
    let leveret = leveret().await;
    let mut ids = BTreeMap::new();
    for turn in 0..TURNS {
        let key = format!("tight-{turn}");
        ids.insert(key.clone(), begin(&leveret, "payment", &key, json!({ "patience": "600ms" })).await);
    }
    let delivered = futures_util::future::join_all(ids.keys().enumerate().map(|(turn, key)| {
        let leveret = &leveret;
        async move {
            // Around the moment the timers are due, some before it and some after it.
            tokio::time::sleep(Duration::from_millis(450 + 10 * turn as u64)).await;
            pay(leveret, key, 7).await == "delivered"
        }
    }))
    .await;
    for (id, delivered) in ids.values().zip(&delivered) {
        let got = output(&leveret, *id).await;
        assert_eq!(got, if *delivered { json!(7) } else { json!("late") });
    }
    let kept = delivered.iter().filter(|delivered| !**delivered).count();
    assert_eq!(count(&leveret, "leveret.messages").await, kept as i64, "what was not delivered is kept");
    at_rest(leveret).await;
}

#[tokio::test]
async fn a_cancel_and_a_message_at_the_same_moment_leave_one_end() {
    let leveret = leveret().await;
    for turn in 0..TURNS {
        let key = format!("cancel-{turn}");
        let id = begin(&leveret, "payment", &key, json!({})).await;
        waits(&leveret, id, "wait").await;
        let cancel = format!("/instances/{id}/cancel");
        let nothing = json!({});
        let (outcome, cancelled) = tokio::join!(pay(&leveret, &key, 5), leveret.post(&cancel, &nothing));
        let mut view = Value::Null;
        let ended = async || {
            view = show(&leveret, id).await;
            !view["ended_at"].is_null()
        };
        eventually("it has ended", SOON, ended).await;
        match view["status"].as_str().unwrap() {
            "completed" => assert_eq!((outcome.as_str(), &view["output"]["got"]), ("delivered", &json!(5))),
            // Delivered first and cancelled then, between two steps, is legal; a message that was not delivered is kept.
            "cancelled" => assert!(cancelled.status.is_success(), "{}", cancelled.body),
            other => panic!("it ended as {other}"),
        }
        let kinds = format!(
            "leveret.history WHERE instance_id = '{id}' AND kind LIKE 'Instance%ed' AND kind <> 'InstanceStarted'"
        );
        assert_eq!(count(&leveret, &kinds).await, 1, "one end");
    }
    at_rest(leveret).await;
}
