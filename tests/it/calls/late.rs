//! Lateness: responses after an attempt expired, and attempts whose time is over before they begin.

use leveret::command::calls::{self, AttemptToken, Begin};
use leveret::engine::CallId;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_to_an_expired_attempt_is_stored_as_late() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking("http: { method: POST, url: '${ url }' }")).await;
    let (go, target) = gated(Play::ok("\"paid\"")).await;
    started(&leveret, &target, "slow").await;
    target.is_asked(1, SOON).await;
    // As if the process that makes it had died.
    leveret.execute("UPDATE leveret.calls SET deadline = now(), next_at = now()").await;
    leveret.reaches("slow", "suspended at ask").await;
    let id = target.asked()[0].header("idempotency-key").unwrap().to_owned();
    go.send(true).unwrap();
    leveret.count_becomes(1, "leveret.calls WHERE state = 'unknown' AND late IS NOT NULL").await;
    let shown = leveret.get(&format!("/calls/{id}")).await.ok(200);
    let outcome = &shown["late"]["outcome"];
    assert_eq!((&outcome["status"], &outcome["body"]), (&json!(200), &json!("paid")));
    let found = json!({ "outcome": "succeeded", "result": outcome });
    leveret.post(&format!("/calls/{id}/resolve"), &found).await.ok(200);
    leveret.reaches("slow", "completed").await;
    assert_eq!(target.times(), 1);
    leveret.close().await;
}

const LIMITED: &str = "
    limits: { rate: 1/h }
    retry: { attempts: 3, within: 2s }
    on_error: [{ output: { body: error.code } }]";

#[tokio::test]
async fn a_call_that_cannot_begin_in_time_fails_and_sends_nothing() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking(&format!("http: {{ method: POST, url: '${{ url }}' }}{LIMITED}"))).await;
    let target = Target::playing(|_| Play::ok("1")).await;
    started(&leveret, &target, "first").await;
    leveret.reaches("first", "completed").await;
    started(&leveret, &target, "second").await;
    leveret.reaches("second", "completed").await;
    assert_eq!(output(&leveret, "second").await, json!("timeout"));
    assert_eq!(target.times(), 1);
    assert_eq!(leveret.count("leveret.targets WHERE last_failure IS NOT NULL").await, 0, "its target has not failed");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'CallUnknown'").await, 0, "its outcome is known");
    leveret.close().await;
}

#[tokio::test]
async fn a_call_to_an_external_worker_that_would_be_late_is_not_sent() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking(&format!("call: {{ name: pack }}{LIMITED}"))).await;
    for key in ["first", "second"] {
        leveret.start_with("ask", key, json!({ "url": "" })).await;
        leveret.reaches(key, "completed").await;
        assert_eq!(output(&leveret, key).await, json!("timeout"));
    }
    let begun = leveret.lines("count(begun_at)", "leveret.calls").await;
    assert_eq!(begun, ["1"], "the second did not begin");
    leveret.close().await;
}

#[tokio::test]
async fn no_attempt_begins_during_a_suspension_and_its_timeout_is_replayed() {
    let leveret = leveret(|_| {}).await;
    leveret.apply(&asking(&format!("http: {{ url: '${{ url }}' }}{}", LIMITED.replace("2s", "4s")))).await;
    let target = Target::playing(|_| Play::ok("1")).await;
    started(&leveret, &target, "first").await;
    leveret.reaches("first", "completed").await;
    started(&leveret, &target, "second").await;
    leveret.reaches("second", "running at ask").await;
    let id = leveret.id("second").await.unwrap();
    leveret.post(&format!("/instances/{id}/suspend"), &json!({})).await.ok(200);
    let call = leveret.lines("id", "leveret.calls WHERE state = 'pending'").await.remove(0);
    let token = AttemptToken::new(1);
    let begun = calls::begin(leveret.app(), CallId(call.parse().unwrap()), 1, None, &token).await.unwrap();
    assert!(matches!(begun, Begin::Stale), "another process had claimed it");
    leveret.count_becomes(1, "leveret.calls WHERE state = 'reported'").await;
    assert_eq!(leveret.position("second").await, "suspended at ask");
    leveret.post(&format!("/instances/{id}/resume"), &json!({})).await.ok(200);
    leveret.reaches("second", "completed").await;
    assert_eq!(output(&leveret, "second").await, json!("timeout"));
    assert_eq!(target.times(), 1);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_after_the_end_of_within_still_decides_the_outcome() {
    let leveret = leveret(|config| config.retry.base = Duration::from_secs(2)).await;
    let probing = "http:
      method: POST
      url: '${ url }pay'
      on_unknown: probe
      probe: { url: '${ url }paid', accept: 404, done: result.status == 200 }
    retry: { attempts: 3, within: 1s }";
    leveret.apply(&asking(probing)).await;
    let target = Target::playing(|asked| match asked.line.starts_with("GET") {
        true => {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(300)));
            Play::ok("\"paid\"")
        }
        false => Play::Reset,
    })
    .await;
    started(&leveret, &target, "probed").await;
    leveret.reaches("probed", "completed").await;
    assert_eq!(output(&leveret, "probed").await, json!("paid"));
    let asked = target.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["POST /pay HTTP/1.1", "GET /paid HTTP/1.1"], "the probe is sent although `within` is over");
    assert_eq!((asked[1].header("idempotency-key"), asked[1].body.len()), (None, 0));
    assert_eq!(leveret.lines("state || ' ' || attempt || ' ' || dispatch", "leveret.calls").await, ["succeeded 1 2"]);
    leveret.close().await;
}

#[tokio::test]
async fn a_response_that_is_too_large_never_sends_the_request_with_another_key() {
    let leveret = leveret(|config| config.outgoing.response_max = 16).await;
    let post = "http: { method: POST, url: '${ url }' }";
    leveret.apply(&asking(post)).await;
    leveret.apply(&asking(post).replace("name: ask", "name: glad").replace("result.body", "result.status")).await;
    let large = json!("x".repeat(100)).to_string();
    let target = Target::playing(move |asked| if asked.number < 3 { Play::ok(&large) } else { Play::ok("1") }).await;
    leveret.start_with("glad", "glad", json!({ "url": target.url("/") })).await;
    leveret.reaches("glad", "completed").await;
    assert_eq!(output(&leveret, "glad").await, json!(200), "the body is not needed");
    started(&leveret, &target, "needy").await;
    leveret.reaches("needy", "suspended at ask").await;
    assert_eq!(leveret.lines("error->>'code'", "leveret.calls WHERE state = 'unknown'").await, ["limit.response"]);
    assert_eq!(leveret.count("leveret.targets WHERE last_failure IS NOT NULL").await, 0, "its target has not failed");
    let id = leveret.id("needy").await.unwrap();
    leveret.post(&format!("/instances/{id}/retry"), &json!({})).await.ok(200);
    leveret.reaches("needy", "completed").await;
    let asked = target.asked();
    assert_eq!(asked[2].header("idempotency-key"), asked[1].header("idempotency-key"));
    leveret.close().await;
}
