//! HTTP requests: results, attempts, unknown outcomes, callbacks, suspended instances.

use serde_json::json;

use super::*;
use crate::support::eventually;

#[tokio::test]
async fn a_response_becomes_the_result_in_the_same_commit_as_the_next_step() {
    let house = house(|_| {}).await;
    house.apply(&asking("http: { url: '${ url }things', query: { q: 'a b' } }")).await;
    let target = Target::playing(|_| Play::ok("{\"n\": 7}")).await;
    started(&house, &target, "one").await;
    house.stands("one", "completed").await;
    assert_eq!(output(&house, "one").await, json!({"n": 7}));
    let asked = target.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "GET /things?q=a+b HTTP/1.1");
    let id = house.lines("id", "leveret.calls").await.remove(0);
    assert_eq!(asked[0].header("idempotency-key"), Some(id.as_str()));
    assert_eq!(house.lines("state || ' ' || attempt", "leveret.calls").await, ["succeeded 1"]);
    let shown = house.process.get(&format!("/calls/{id}")).await.ok(200);
    assert_eq!((&shown["state"], &shown["result"]["body"]), (&json!("succeeded"), &json!({"n": 7})));
    let listed = house.process.get("/calls?state=succeeded&definition=ask").await.ok(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    house.process.get("/calls?state=odd").await.problem(400, "invalid");
    house.close().await;
}

#[tokio::test]
async fn the_commit_that_closes_a_call_opens_the_next_one() {
    let house = house(|_| {}).await;
    let text = asking("http: { url: '${ url }' }");
    house
        .apply(&format!(
            "{text}  - {{ id: more, http: {{ url: '${{ url }}more' }}, output: {{ body: body + result.body }} }}\n"
        ))
        .await;
    let target = Target::playing(|asked| Play::ok(if asked.line.contains("more") { "2" } else { "1" })).await;
    started(&house, &target, "row").await;
    house.stands("row", "completed").await;
    assert_eq!(output(&house, "row").await, json!(3));
    // Start, first call, second call, end.
    assert_eq!(house.lines("revision", "leveret.instances").await, ["4"]);
    house.close().await;
}

#[tokio::test]
async fn a_busy_target_is_asked_again_with_the_same_key() {
    let house = house(|_| {}).await;
    house.apply(&asking("http: { method: POST, url: '${ url }', body: { id: '${ instance.key }' } }")).await;
    let target = Target::playing(|asked| if asked.number < 3 { busy() } else { Play::ok("\"done\"") }).await;
    started(&house, &target, "two").await;
    house.stands("two", "completed").await;
    let asked = target.asked();
    let keys: Vec<_> = asked.iter().map(|asked| asked.header("idempotency-key").unwrap()).collect();
    let attempts: Vec<_> = asked.iter().map(|asked| asked.header("leveret-attempt").unwrap()).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(asked.iter().all(|asked| carried(asked) == json!({"id": "two"})));
    assert_eq!(house.count("leveret.history WHERE kind = 'ActivityRetryScheduled'").await, 2);
    house.close().await;
}

#[tokio::test]
async fn a_lost_response_to_a_post_waits_until_a_person_resolves_it() {
    let house = house(|_| {}).await;
    house.apply(&asking("http: { method: POST, url: '${ url }' }")).await;
    let target = Target::playing(|_| Play::Reset).await;
    for key in ["told", "again"] {
        started(&house, &target, key).await;
        house.stands(key, "suspended at ask").await;
    }
    assert_eq!(target.asked().len(), 2, "no request was sent twice");
    let unknown = house.process.get("/calls?state=unknown").await.ok(200);
    let id = |key: &str| {
        let items = unknown["items"].as_array().unwrap();
        items.iter().find(|item| item["key"] == key).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let told = json!({ "outcome": "succeeded", "result": { "body": "paid" }, "reason": "seen in their console" });
    house
        .process
        .post(&format!("/calls/{}/resolve", id("told")), &json!({"outcome": "odd"}))
        .await
        .problem(400, "invalid");
    let view = house.process.post(&format!("/calls/{}/resolve", id("told")), &told).await.ok(200);
    assert_eq!(view["state"], "succeeded");
    house.stands("told", "completed").await;
    assert_eq!(output(&house, "told").await, json!("paid"));
    house.process.post(&format!("/calls/{}/resolve", id("told")), &told).await.problem(409, "refused");

    house.process.post(&format!("/calls/{}/resolve", id("again")), &json!({"outcome": "retry"})).await.ok(200);
    let asked = async || target.asked().len() == 3;
    eventually("it is sent again", SOON, asked).await;
    let third = target.asked().remove(2);
    assert_eq!(third.header("idempotency-key"), Some(id("again").as_str()));
    assert_eq!(third.header("leveret-attempt"), Some("2"));
    house.stands("again", "suspended at ask").await;
    let declined = json!({"outcome": "failed", "error": {"code": "declined"}});
    house.process.post(&format!("/calls/{}/resolve", id("again")), &declined).await.ok(200);
    house.stands("again", "suspended at ask").await;
    assert_eq!(house.lines("error->>'code'", "leveret.calls WHERE instance_key = 'again'").await, ["worker.declined"]);
    house.close().await;
}

#[tokio::test]
async fn a_callback_over_http_completes_a_call_once() {
    let house = house(|_| {}).await;
    house
        .apply(
            "
name: ask
input: { type: object, properties: { url: { type: string } } }
variables: { got: null }
output: '${ got }'
activities:
  - id: ask
    http: { method: POST, url: '${ url }', await: callback, body: { token: '${ activity.token }' } }
    output: { got: result.ok }
",
        )
        .await;
    let target = Target::playing(|_| Play::status(202)).await;
    started(&house, &target, "back").await;
    house.becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    let token = carried(&target.asked()[0])["token"].as_str().unwrap().to_owned();
    let kept = house.lines("calls::text", "leveret.calls").await.remove(0);
    assert!(!kept.contains(&token), "the table contains only its hash");
    let id = house.lines("id", "leveret.calls").await.remove(0);
    let path = format!("/calls/{id}/complete");
    let forged =
        house.process.post(&path, &json!({"token": "1-0000", "result": {"ok": 0}})).await.problem(409, "refused");
    assert!(forged.contains("not that of the attempt"), "{forged}");
    let both = json!({ "token": token, "result": 1, "error": { "code": "no" } });
    let why = house.process.post(&path, &both).await.problem(400, "invalid");
    assert!(why.contains("a `result` and an `error`"), "{why}");
    let told = json!({ "token": token, "result": { "ok": 1 } });
    assert_eq!(house.process.post(&path, &told).await.ok(200), json!({"outcome": "completed"}));
    let second = house.process.post(&path, &told).await.problem(409, "refused");
    assert!(second.contains("ended as succeeded"), "{second}");
    house.stands("back", "completed").await;
    assert_eq!(output(&house, "back").await, json!(1));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_during_a_suspension_is_replayed() {
    let house = house(|_| {}).await;
    house.apply(&asking("http: { url: '${ url }' }")).await;
    let (go, target) = gated(Play::ok("\"late\"")).await;
    started(&house, &target, "asleep").await;
    house.becomes(1, "leveret.calls WHERE state = 'running'").await;
    let id = house.id("asleep").await.unwrap();
    house.process.post(&format!("/instances/{id}/suspend"), &json!({})).await.ok(200);
    go.send(true).unwrap();
    house.becomes(1, "leveret.calls WHERE state = 'reported'").await;
    assert_eq!(house.standing("asleep").await, "suspended at ask");
    house.process.post(&format!("/instances/{id}/resume"), &json!({})).await.ok(200);
    house.stands("asleep", "completed").await;
    assert_eq!(output(&house, "asleep").await, json!("late"));
    house.close().await;
}

#[tokio::test]
async fn a_slow_target_leaves_slots_for_others() {
    let house = house(|config| {
        config.calls.concurrency = 6;
        config.calls.per_target = 3;
    })
    .await;
    house.apply(&asking("http: { url: '${ url }' }\n    timeout: 1m")).await;
    let slow = Target::playing(|_| Play::Silent).await;
    let quick = Target::playing(|_| Play::ok("1")).await;
    for number in 0..12 {
        started(&house, &slow, &format!("slow-{number}")).await;
    }
    house.becomes(3, "leveret.calls WHERE state = 'running'").await;
    for number in 0..12 {
        started(&house, &quick, &format!("quick-{number}")).await;
    }
    house.becomes(12, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!(house.count("leveret.calls WHERE state = 'running'").await, 3, "no more slots for the slow one");
    assert_eq!(slow.asked().len(), 3);
    // Cancelled, so that the test need not wait a minute for their timeout.
    for id in house.lines("id", "leveret.instances WHERE ended_at IS NULL").await {
        house.process.post(&format!("/instances/{id}/cancel"), &json!({})).await.ok(200);
    }
    house.becomes(12, "leveret.calls WHERE state = 'cancelled'").await;
    drop(slow);
    house.close().await;
}
