//! HTTP requests: results, attempts, unknown outcomes, callbacks, suspended instances.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_response_becomes_the_result_in_the_same_commit_as_the_next_step() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking("http: { url: '${ url }things', query: { q: 'a b' } }")).await;
    let target = Target::playing(|_| Play::ok("{\"n\": 7}")).await;
    started(&leveret, &target, "one").await;
    leveret.reaches("one", "completed").await;
    assert_eq!(output(&leveret, "one").await, json!({"n": 7}));
    let asked = target.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "GET /things?q=a+b HTTP/1.1");
    let id = leveret.lines("id", "leveret.calls").await.remove(0);
    assert_eq!(asked[0].header("idempotency-key"), Some(id.as_str()));
    assert_eq!(leveret.lines("state || ' ' || attempt", "leveret.calls").await, ["succeeded 1"]);
    let shown = leveret.get(&format!("/calls/{id}")).await.ok(200);
    assert_eq!((&shown["state"], &shown["result"]["body"]), (&json!("succeeded"), &json!({"n": 7})));
    let listed = leveret.get("/calls?state=succeeded&definition=ask").await.ok(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    leveret.get("/calls?state=odd").await.problem(400, "invalid");
    leveret.close().await;
}

#[tokio::test]
async fn the_commit_that_closes_a_call_opens_the_next_one() {
    let leveret = leveret(|_| {}).await;
    let text = asking("http: { url: '${ url }' }");
    leveret
        .apply(&format!(
            "{text}  - {{ id: more, http: {{ url: '${{ url }}more' }}, output: {{ body: body + result.body }} }}\n"
        ))
        .await;
    let target = Target::playing(|asked| Play::ok(if asked.line.contains("more") { "2" } else { "1" })).await;
    started(&leveret, &target, "row").await;
    leveret.reaches("row", "completed").await;
    assert_eq!(output(&leveret, "row").await, json!(3));
    // Start, first call, second call, end.
    assert_eq!(leveret.lines("revision", "leveret.instances").await, ["4"]);
    leveret.close().await;
}

#[tokio::test]
async fn a_busy_target_is_asked_again_with_the_same_key() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking("http: { method: POST, url: '${ url }', body: { id: '${ instance.key }' } }")).await;
    let target = Target::playing(|asked| if asked.number < 3 { busy() } else { Play::ok("\"done\"") }).await;
    started(&leveret, &target, "two").await;
    leveret.reaches("two", "completed").await;
    let asked = target.asked();
    let keys: Vec<_> = asked.iter().map(|asked| asked.header("idempotency-key").unwrap()).collect();
    let attempts: Vec<_> = asked.iter().map(|asked| asked.header("leveret-attempt").unwrap()).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(asked.iter().all(|asked| carried(asked) == json!({"id": "two"})));
    assert_eq!(leveret.count("leveret.history WHERE kind = 'ActivityRetryScheduled'").await, 2);
    leveret.close().await;
}

#[tokio::test]
async fn a_lost_response_to_a_post_waits_until_a_person_resolves_it() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking("http: { method: POST, url: '${ url }' }")).await;
    let target = Target::playing(|_| Play::Reset).await;
    for key in ["told", "again"] {
        started(&leveret, &target, key).await;
        leveret.reaches(key, "suspended at ask").await;
    }
    assert_eq!(target.asked().len(), 2, "no request was sent twice");
    let unknown = leveret.get("/calls?state=unknown").await.ok(200);
    let id = |key: &str| {
        let items = unknown["items"].as_array().unwrap();
        items.iter().find(|item| item["key"] == key).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let told = json!({ "outcome": "succeeded", "result": { "body": "paid" }, "reason": "seen in their console" });
    leveret.post(&format!("/calls/{}/resolve", id("told")), &json!({"outcome": "odd"})).await.problem(400, "invalid");
    let view = leveret.post(&format!("/calls/{}/resolve", id("told")), &told).await.ok(200);
    assert_eq!(view["state"], "succeeded");
    leveret.reaches("told", "completed").await;
    assert_eq!(output(&leveret, "told").await, json!("paid"));
    leveret.post(&format!("/calls/{}/resolve", id("told")), &told).await.problem(409, "refused");

    leveret.post(&format!("/calls/{}/resolve", id("again")), &json!({"outcome": "retry"})).await.ok(200);
    target.is_asked(3, SOON).await;
    let third = target.asked().remove(2);
    assert_eq!(third.header("idempotency-key"), Some(id("again").as_str()));
    assert_eq!(third.header("leveret-attempt"), Some("2"));
    leveret.reaches("again", "suspended at ask").await;
    let declined = json!({"outcome": "failed", "error": {"code": "declined"}});
    leveret.post(&format!("/calls/{}/resolve", id("again")), &declined).await.ok(200);
    leveret.reaches("again", "suspended at ask").await;
    assert_eq!(
        leveret.lines("error->>'code'", "leveret.calls WHERE instance_key = 'again'").await,
        ["worker.declined"]
    );
    leveret.close().await;
}

#[tokio::test]
async fn a_callback_over_http_completes_a_call_once() {
    let leveret = leveret(|_| {}).await;
    leveret
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
    started(&leveret, &target, "back").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'waiting'").await;
    let token = carried(&target.asked()[0])["token"].as_str().unwrap().to_owned();
    let kept = leveret.lines("calls::text", "leveret.calls").await.remove(0);
    assert!(!kept.contains(&token), "the table contains only its hash");
    let id = leveret.lines("id", "leveret.calls").await.remove(0);
    let path = format!("/calls/{id}/complete");
    let forged = leveret.post(&path, &json!({"token": "1-0000", "result": {"ok": 0}})).await.problem(409, "refused");
    assert!(forged.contains("not that of the running attempt"), "{forged}");
    let both = json!({ "token": token, "result": 1, "error": { "code": "no" } });
    let why = leveret.post(&path, &both).await.problem(400, "invalid");
    assert!(why.contains("send `result` or `error`, not both"), "{why}");
    let told = json!({ "token": token, "result": { "ok": 1 } });
    assert_eq!(leveret.post(&path, &told).await.ok(200), json!({"outcome": "completed"}));
    let second = leveret.post(&path, &told).await.problem(409, "refused");
    assert!(second.contains("ended as succeeded"), "{second}");
    leveret.reaches("back", "completed").await;
    assert_eq!(output(&leveret, "back").await, json!(1));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_during_a_suspension_is_replayed() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking("http: { url: '${ url }' }")).await;
    let (go, target) = gated(Play::ok("\"late\"")).await;
    started(&leveret, &target, "asleep").await;
    leveret.count_becomes(1, "leveret.calls WHERE state = 'running'").await;
    let id = leveret.id("asleep").await.unwrap();
    leveret.post(&format!("/instances/{id}/suspend"), &json!({})).await.ok(200);
    go.send(true).unwrap();
    leveret.count_becomes(1, "leveret.calls WHERE state = 'reported'").await;
    assert_eq!(leveret.position("asleep").await, "suspended at ask");
    leveret.post(&format!("/instances/{id}/resume"), &json!({})).await.ok(200);
    leveret.reaches("asleep", "completed").await;
    assert_eq!(output(&leveret, "asleep").await, json!("late"));
    leveret.close().await;
}

#[tokio::test]
async fn a_slow_target_leaves_slots_for_others() {
    let leveret = leveret(|config| {
        config.calls.concurrency = 6;
        config.calls.per_target = 3;
    })
    .await;
    leveret.apply(&asking("http: { url: '${ url }' }\n    timeout: 1m")).await;
    let slow = Target::playing(|_| Play::Silent).await;
    let quick = Target::playing(|_| Play::ok("1")).await;
    for number in 0..12 {
        started(&leveret, &slow, &format!("slow-{number}")).await;
    }
    leveret.count_becomes(3, "leveret.calls WHERE state = 'running'").await;
    for number in 0..12 {
        started(&leveret, &quick, &format!("quick-{number}")).await;
    }
    leveret.count_becomes(12, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!(leveret.count("leveret.calls WHERE state = 'running'").await, 3, "no more slots for the slow one");
    assert_eq!(slow.asked().len(), 3);
    // Cancelled, so that the test need not wait a minute for their timeout.
    for id in leveret.lines("id", "leveret.instances WHERE ended_at IS NULL").await {
        leveret.post(&format!("/instances/{id}/cancel"), &json!({})).await.ok(200);
    }
    leveret.count_becomes(12, "leveret.calls WHERE state = 'cancelled'").await;
    drop(slow);
    leveret.close().await;
}

#[tokio::test]
async fn a_silent_target_of_a_post_leads_where_its_author_wrote() {
    let leveret = leveret(|_| {}).await;
    leveret
        .apply(
            "
name: ask
input: { type: object, properties: { url: { type: string } } }
on_failure: fail
activities:
  - id: ask
    http: { method: POST, url: '${ url }', body: {} }
    timeout: 1s
    on_timeout: late
    next: exit
  - { id: late, end: { outcome: failed, error: { code: too_late } } }
",
        )
        .await;
    let target = Target::playing(|_| Play::Silent).await;
    started(&leveret, &target, "silent").await;
    leveret.reaches("silent", "failed").await;
    assert_eq!(leveret.lines("error->>'code'", "leveret.instances").await, ["too_late"]);
    assert_eq!(leveret.count("leveret.history WHERE kind = 'CallUnknown'").await, 1);
    assert_eq!(target.times(), 1, "no request was sent twice");
    leveret.close().await;
}

#[tokio::test]
async fn a_value_in_a_path_names_one_part_of_it_or_nothing_is_sent() {
    let leveret = leveret(|_| {}).await;
    leveret
        .apply(
            "
name: ask
input: { type: object, properties: { url: { type: string }, order: {} } }
on_failure: fail
activities:
  - { id: ask, http: { method: DELETE, url: '${ url }orders/${ order }' }, retry: none }
",
        )
        .await;
    let target = Target::playing(|_| Play::status(204)).await;
    for (number, order) in ["", ".", "..", "../x", "%2e%2e", "..\\x", "%2e%2E%2f"].iter().enumerate() {
        let key = format!("elsewhere {number}");
        leveret.start_with("ask", &key, json!({ "url": target.url("/"), "order": order })).await;
        leveret.reaches(&key, "failed").await;
        let error = leveret.lines("error->>'code'", &format!("leveret.instances WHERE key = '{key}'")).await;
        assert_eq!(error, ["expression"], "{order:?}");
    }
    assert_eq!(target.times(), 0, "nothing was sent");
    for (key, order) in [("7", json!(7)), ("slash", json!("2024/7")), ("dots", json!("..."))] {
        leveret.start_with("ask", key, json!({ "url": target.url("/"), "order": order })).await;
        leveret.reaches(key, "completed").await;
    }
    let lines: Vec<String> = target.asked().into_iter().map(|asked| asked.line).collect();
    let expected = ["DELETE /orders/7 HTTP/1.1", "DELETE /orders/2024%2F7 HTTP/1.1", "DELETE /orders/... HTTP/1.1"];
    assert_eq!(lines, expected);
    leveret.close().await;
}
