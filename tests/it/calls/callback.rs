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
    target.is_asked(1, SOON).await;
    target.asked().remove(0)
}

async fn control(leveret: &InProcess, key: &str, what: &str) {
    let id = leveret.id(key).await.unwrap();
    leveret.post(&format!("/instances/{id}/{what}"), &json!({})).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_accepted_while_its_instance_is_suspended_and_after_it_resumed() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&announced("")).await;
    for (key, first) in [("asleep", "callback"), ("awake", "resume")] {
        let (go, target) = gated(Play::status(202)).await;
        started(&leveret, &target, key).await;
        let (token, path) = callback_of(&asked(&target).await);
        control(&leveret, key, "suspend").await;
        go.send(true).unwrap();
        leveret.count_becomes(1, &format!("leveret.calls WHERE state = 'waiting' AND instance_key = '{key}'")).await;
        assert_eq!(leveret.position(key).await, "suspended at ask");
        let told = json!({ "token": token, "result": { "ok": key } });
        if first == "callback" {
            assert_eq!(leveret.post(&path, &told).await.ok(200), json!({"outcome": "kept"}));
            leveret.post(&path, &told).await.problem(409, "refused");
            control(&leveret, key, "resume").await;
        } else {
            control(&leveret, key, "resume").await;
            assert_eq!(leveret.position(key).await, "running at ask");
            assert_eq!(leveret.post(&path, &told).await.ok(200), json!({"outcome": "completed"}));
        }
        leveret.reaches(key, "completed").await;
        assert_eq!(output(&leveret, key).await, json!(key));
        assert_eq!(target.times(), 1);
    }
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_overtakes_the_response_is_not_replaced_by_it() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&announced("")).await;
    let (go, target) = gated(Play::status(202)).await;
    started(&leveret, &target, "quick").await;
    let (token, path) = callback_of(&asked(&target).await);
    control(&leveret, "quick", "suspend").await;
    let told = json!({ "token": token, "result": { "ok": 1 } });
    assert_eq!(leveret.post(&path, &told).await.ok(200), json!({"outcome": "kept"}));
    let revision = leveret.lines("revision", "leveret.instances").await;
    go.send(true).unwrap();
    let answered = async || leveret.lines("revision", "leveret.instances").await != revision;
    eventually("the response is recorded", SOON, answered).await;
    assert_eq!(leveret.lines("state", "leveret.calls").await, ["reported"]);
    control(&leveret, "quick", "resume").await;
    leveret.reaches("quick", "completed").await;
    assert_eq!(output(&leveret, "quick").await, json!(1));
    leveret.close().await;
}

#[tokio::test]
async fn a_callback_replaces_the_expiry_while_its_instance_is_suspended() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&announced("")).await;
    let target = Target::playing(|_| Play::status(202)).await;
    started(&leveret, &target, "slow").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    control(&leveret, "slow", "suspend").await;
    leveret.execute("UPDATE leveret.calls SET deadline = now(), next_at = now()").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'reported' AND outcome->>'outcome' = 'unknown'").await;
    let (token, path) = callback_of(&asked(&target).await);
    let told = json!({ "token": token, "result": { "ok": 1 } });
    assert_eq!(leveret.post(&path, &told).await.ok(200), json!({"outcome": "kept"}));
    leveret.post(&path, &told).await.problem(409, "refused");
    control(&leveret, "slow", "resume").await;
    leveret.reaches("slow", "completed").await;
    assert_eq!(output(&leveret, "slow").await, json!(1));
    leveret.close().await;
}

#[tokio::test]
async fn a_callback_over_the_broker_is_accepted() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&announced("")).await;
    let target = Target::playing(|_| Play::status(202)).await;
    started(&leveret, &target, "back").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    let asked = asked(&target).await;
    let (token, _) = callback_of(&asked);
    let call = asked.header("idempotency-key").unwrap();
    let told = json!({ "call": call, "token": token, "result": { "ok": 1 } });
    leveret.sender.command("call.complete", "printed", &told).await;
    leveret.reaches("back", "completed").await;
    assert_eq!(output(&leveret, "back").await, json!(1));
    leveret.close().await;
}

#[tokio::test]
async fn a_token_that_its_target_repeats_is_redacted() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&announced("")).await;
    let target =
        Target::playing(|asked| Play::Answer(202, vec![("x-seen", callback_of(asked).0)], asked.body.clone())).await;
    started(&leveret, &target, "back").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    let (token, path) = callback_of(&asked(&target).await);
    let kept = leveret.lines("calls::text", "leveret.calls").await.remove(0);
    assert!(kept.contains("x-seen") && !kept.contains(&token), "{kept}");
    leveret.post(&path, &json!({ "token": token, "result": { "ok": 1 } })).await.ok(200);
    leveret.reaches("back", "completed").await;
    leveret.close().await;
}

#[tokio::test]
async fn a_callback_to_an_unknown_call_is_noted() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&announced("")).await;
    let target = Target::playing(|_| Play::Reset).await;
    started(&leveret, &target, "lost").await;
    leveret.reaches("lost", "suspended at ask").await;
    let asked = asked(&target).await;
    let (token, path) = callback_of(&asked);
    let told = json!({ "token": token, "result": { "ok": 7 } });
    let said = leveret.post_as("once", &path, &told).await.ok(200);
    assert_eq!(said, json!({"outcome": "noted"}));
    assert_eq!(leveret.post_as("once", &path, &told).await.ok(200), said, "a duplicate gets the same answer");
    let id = asked.header("idempotency-key").unwrap();
    let shown = leveret.get(&format!("/calls/{id}")).await.ok(200);
    assert_eq!((&shown["state"], &shown["late"]["dispatch"]), (&json!("unknown"), &json!(1)));
    assert_eq!(shown["late"]["outcome"], json!({"outcome": "done", "result": {"ok": 7}}));
    let forged = json!({ "token": "1-0000", "result": 1 });
    leveret.post(&path, &forged).await.problem(409, "refused");
    let found = json!({ "outcome": "succeeded", "result": shown["late"]["outcome"]["result"] });
    leveret.post(&format!("/calls/{id}/resolve"), &found).await.ok(200);
    leveret.reaches("lost", "completed").await;
    assert_eq!(output(&leveret, "lost").await, json!(7));
    leveret.close().await;
}

#[tokio::test]
async fn a_callback_completes_a_call_whose_target_is_being_probed() {
    let leveret = leveret(|config| config.retry.base = Duration::from_secs(3_600)).await;
    let probe = ", on_unknown: probe, probe: { url: '${ url }', done: result.status == 200 }";
    leveret.apply(&announced(probe)).await;
    let target = Target::playing(|_| Play::Reset).await;
    started(&leveret, &target, "lost").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'pending' AND purpose = 'probe'").await;
    let (token, path) = callback_of(&asked(&target).await);
    let told = json!({ "token": token, "result": { "ok": 7 } });
    assert_eq!(leveret.post(&path, &told).await.ok(200), json!({"outcome": "completed"}));
    leveret.reaches("lost", "completed").await;
    assert_eq!((output(&leveret, "lost").await, target.times()), (json!(7), 1));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_of_tasks_and_calls_during_a_suspension_are_replayed_once() {
    let leveret = leveret(|_| {}).await;
    leveret
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
    started(&leveret, &target, "both").await;
    leveret.reaches("both", "running at allow").await;
    let id = leveret.id("both").await.unwrap();
    control(&leveret, "both", "suspend").await;
    let task = leveret.get(&format!("/tasks?instance={id}")).await.ok(200)["items"][0]["id"].clone();
    let path = format!("/tasks/{}/complete", task.as_str().unwrap());
    leveret.post(&path, &json!({ "user": "ann" })).await.ok(200);
    assert_eq!(leveret.position("both").await, "suspended after allow");
    assert_eq!(target.times(), 0, "no call begins");
    control(&leveret, "both", "resume").await;
    asked(&target).await;
    control(&leveret, "both", "suspend").await;
    go.send(true).unwrap();
    leveret.count_becomes(1, "leveret.calls WHERE state = 'reported'").await;
    control(&leveret, "both", "resume").await;
    leveret.reaches("both", "completed").await;
    assert_eq!(output(&leveret, "both").await, json!({"who": "ann", "body": "yes"}));
    for activity in ["allow", "ask"] {
        leveret
            .count_becomes(1, &format!("leveret.history WHERE kind = 'ActivityCompleted' AND activity = '{activity}'"))
            .await;
    }
    assert_eq!(target.times(), 1);
    leveret.close().await;
}

#[tokio::test]
async fn a_callback_that_does_not_come_in_time_is_a_timeout() {
    let leveret = leveret(|_| {}).await;
    let text = announced("").replace("timeout: 1h", "timeout: 1s\n    on_timeout: late\n    next: exit");
    leveret
        .apply(&format!("{text}  - {{ id: late, end: {{ outcome: failed, error: {{ code: too_late }} }} }}\n"))
        .await;
    let target = Target::playing(|_| Play::status(202)).await;
    started(&leveret, &target, "late").await;
    leveret.reaches("late", "failed").await;
    assert_eq!(leveret.lines("error->>'code'", "leveret.instances").await, ["too_late"]);
    assert_eq!(leveret.lines("state || ' ' || attempt", "leveret.calls").await, ["failed 1"]);
    assert_eq!(leveret.count("leveret.history WHERE kind = 'CallUnknown'").await, 0);
    let (token, path) = callback_of(&asked(&target).await);
    leveret.post(&path, &json!({ "token": token, "result": { "ok": 1 } })).await.problem(409, "refused");
    assert_eq!(target.times(), 1);
    leveret.close().await;
}
