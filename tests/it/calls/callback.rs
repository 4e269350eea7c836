//! Callbacks: to suspended instances, over the broker, after an attempt expired, and with forged tokens.

use serde_json::json;

use super::*;
use crate::support::eventually;

/// A definition with a request that awaits a callback.
fn announced(http: &str) -> String {
    format!(
        "
name: ask
input: {{ type: object, properties: {{ url: {{ type: string }} }} }}
variables: {{ got: null }}
output: '${{ got }}'
activities:
  - id: ask
    http: {{ method: POST, url: '${{ url }}', await: callback, body: {{ token: '${{ activity.token }}' }}{http} }}
    timeout: 1h
    output: {{ got: result.ok }}
"
    )
}

/// The token of a request, and the path of its callback.
fn callback_of(asked: &Asked) -> (String, String) {
    let token = carried(asked)["token"].as_str().unwrap().to_owned();
    (token, format!("/calls/{}/complete", asked.header("idempotency-key").unwrap()))
}

async fn asked(target: &Target) -> Asked {
    eventually("it is asked", SOON, async || target.times() > 0).await;
    target.asked().remove(0)
}

async fn control(house: &House, key: &str, what: &str) {
    let id = house.id(key).await.unwrap();
    house.process.post(&format!("/instances/{id}/{what}"), &json!({})).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_accepted_while_its_instance_is_suspended_and_after_it_resumed() {
    let house = house(|_| {}).await;
    house.apply(&announced("")).await;
    for (key, first) in [("asleep", "callback"), ("awake", "resume")] {
        let (go, target) = gated(Play::status(202)).await;
        started(&house, &target, key).await;
        let (token, path) = callback_of(&asked(&target).await);
        control(&house, key, "suspend").await;
        go.send(true).unwrap();
        house.becomes(1, &format!("leveret.calls WHERE state = 'waiting' AND instance_key = '{key}'")).await;
        assert_eq!(house.standing(key).await, "suspended at ask");
        let told = json!({ "token": token, "result": { "ok": key } });
        if first == "callback" {
            assert_eq!(house.process.post(&path, &told).await.ok(200), json!({"outcome": "kept"}));
            house.process.post(&path, &told).await.problem(409, "refused");
            control(&house, key, "resume").await;
        } else {
            control(&house, key, "resume").await;
            assert_eq!(house.standing(key).await, "running at ask");
            assert_eq!(house.process.post(&path, &told).await.ok(200), json!({"outcome": "completed"}));
        }
        house.stands(key, "completed").await;
        assert_eq!(output(&house, key).await, json!(key));
        assert_eq!(target.times(), 1);
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_overtakes_the_response_is_not_replaced_by_it() {
    let house = house(|_| {}).await;
    house.apply(&announced("")).await;
    let (go, target) = gated(Play::status(202)).await;
    started(&house, &target, "quick").await;
    let (token, path) = callback_of(&asked(&target).await);
    control(&house, "quick", "suspend").await;
    let told = json!({ "token": token, "result": { "ok": 1 } });
    assert_eq!(house.process.post(&path, &told).await.ok(200), json!({"outcome": "kept"}));
    let revision = house.lines("revision", "leveret.instances").await;
    go.send(true).unwrap();
    let answered = async || house.lines("revision", "leveret.instances").await != revision;
    eventually("the response is recorded", SOON, answered).await;
    assert_eq!(house.lines("state", "leveret.calls").await, ["reported"]);
    control(&house, "quick", "resume").await;
    house.stands("quick", "completed").await;
    assert_eq!(output(&house, "quick").await, json!(1));
    house.close().await;
}

#[tokio::test]
async fn a_callback_replaces_the_expiry_while_its_instance_is_suspended() {
    let house = house(|_| {}).await;
    house.apply(&announced("")).await;
    let target = Target::playing(|_| Play::status(202)).await;
    started(&house, &target, "slow").await;
    house.becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    control(&house, "slow", "suspend").await;
    house.execute("UPDATE leveret.calls SET deadline = now(), next_at = now()").await;
    house.becomes(1, "leveret.calls WHERE state = 'reported' AND outcome->>'outcome' = 'unknown'").await;
    let (token, path) = callback_of(&asked(&target).await);
    let told = json!({ "token": token, "result": { "ok": 1 } });
    assert_eq!(house.process.post(&path, &told).await.ok(200), json!({"outcome": "kept"}));
    house.process.post(&path, &told).await.problem(409, "refused");
    control(&house, "slow", "resume").await;
    house.stands("slow", "completed").await;
    assert_eq!(output(&house, "slow").await, json!(1));
    house.close().await;
}

#[tokio::test]
async fn a_callback_over_the_broker_is_accepted() {
    let house = house(|_| {}).await;
    house.apply(&announced("")).await;
    let target = Target::playing(|_| Play::status(202)).await;
    started(&house, &target, "back").await;
    house.becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    let asked = asked(&target).await;
    let (token, _) = callback_of(&asked);
    let call = asked.header("idempotency-key").unwrap();
    let told = json!({ "call": call, "token": token, "result": { "ok": 1 } });
    house.sender.command("call.complete", "printed", &told).await;
    house.stands("back", "completed").await;
    assert_eq!(output(&house, "back").await, json!(1));
    house.close().await;
}

#[tokio::test]
async fn a_token_that_its_target_repeats_is_redacted() {
    let house = house(|_| {}).await;
    house.apply(&announced("")).await;
    let target =
        Target::playing(|asked| Play::Answer(202, vec![("x-seen", callback_of(asked).0)], asked.body.clone())).await;
    started(&house, &target, "back").await;
    house.becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    let (token, path) = callback_of(&asked(&target).await);
    let kept = house.lines("calls::text", "leveret.calls").await.remove(0);
    assert!(kept.contains("x-seen") && !kept.contains(&token), "{kept}");
    house.process.post(&path, &json!({ "token": token, "result": { "ok": 1 } })).await.ok(200);
    house.stands("back", "completed").await;
    house.close().await;
}

#[tokio::test]
async fn a_callback_to_an_unknown_call_is_noted() {
    let house = house(|_| {}).await;
    house.apply(&announced("")).await;
    let target = Target::playing(|_| Play::Reset).await;
    started(&house, &target, "lost").await;
    house.stands("lost", "suspended at ask").await;
    let asked = asked(&target).await;
    let (token, path) = callback_of(&asked);
    let told = json!({ "token": token, "result": { "ok": 7 } });
    let said = house.process.post_as("once", &path, &told).await.ok(200);
    assert_eq!(said, json!({"outcome": "noted"}));
    assert_eq!(house.process.post_as("once", &path, &told).await.ok(200), said, "a duplicate gets the same answer");
    let id = asked.header("idempotency-key").unwrap();
    let shown = house.process.get(&format!("/calls/{id}")).await.ok(200);
    assert_eq!((&shown["state"], &shown["late"]["dispatch"]), (&json!("unknown"), &json!(1)));
    assert_eq!(shown["late"]["outcome"], json!({"outcome": "done", "result": {"ok": 7}}));
    let forged = json!({ "token": "1-0000", "result": 1 });
    house.process.post(&path, &forged).await.problem(409, "refused");
    let found = json!({ "outcome": "succeeded", "result": shown["late"]["outcome"]["result"] });
    house.process.post(&format!("/calls/{id}/resolve"), &found).await.ok(200);
    house.stands("lost", "completed").await;
    assert_eq!(output(&house, "lost").await, json!(7));
    house.close().await;
}

#[tokio::test]
async fn a_callback_completes_a_call_whose_target_is_being_probed() {
    let house = house(|config| config.retry.base = Duration::from_secs(3_600)).await;
    let probe = ", on_unknown: probe, probe: { url: '${ url }', done: result.status == 200 }";
    house.apply(&announced(probe)).await;
    let target = Target::playing(|_| Play::Reset).await;
    started(&house, &target, "lost").await;
    house.becomes(1, "leveret.calls WHERE state = 'pending' AND purpose = 'probe'").await;
    let (token, path) = callback_of(&asked(&target).await);
    let told = json!({ "token": token, "result": { "ok": 7 } });
    assert_eq!(house.process.post(&path, &told).await.ok(200), json!({"outcome": "completed"}));
    house.stands("lost", "completed").await;
    assert_eq!((output(&house, "lost").await, target.times()), (json!(7), 1));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_of_tasks_and_calls_during_a_suspension_are_replayed_once() {
    let house = house(|_| {}).await;
    house
        .apply(
            "
name: ask
input: { type: object, properties: { url: { type: string } } }
variables: { who: null, body: null }
output: { who: '${ who }', body: '${ body }' }
activities:
  - { id: allow, task: { title: Allow it, assignee: ann }, output: { who: result.actor } }
  - { id: ask, http: { url: '${ url }' }, output: { body: result.body } }
",
        )
        .await;
    let (go, target) = gated(Play::ok("\"yes\"")).await;
    started(&house, &target, "both").await;
    house.stands("both", "running at allow").await;
    let id = house.id("both").await.unwrap();
    control(&house, "both", "suspend").await;
    let task = house.process.get(&format!("/tasks?instance={id}")).await.ok(200)["items"][0]["id"].clone();
    let path = format!("/tasks/{}/complete", task.as_str().unwrap());
    house.process.post(&path, &json!({ "user": "ann" })).await.ok(200);
    assert_eq!(house.standing("both").await, "suspended after allow");
    assert_eq!(target.times(), 0, "no call begins");
    control(&house, "both", "resume").await;
    asked(&target).await;
    control(&house, "both", "suspend").await;
    go.send(true).unwrap();
    house.becomes(1, "leveret.calls WHERE state = 'reported'").await;
    control(&house, "both", "resume").await;
    house.stands("both", "completed").await;
    assert_eq!(output(&house, "both").await, json!({"who": "ann", "body": "yes"}));
    for activity in ["allow", "ask"] {
        house
            .becomes(1, &format!("leveret.history WHERE kind = 'ActivityCompleted' AND activity = '{activity}'"))
            .await;
    }
    assert_eq!(target.times(), 1);
    house.close().await;
}
