//! What comes too late: answers after an attempt was given up, and attempts whose time is over before they begin.

use leveret::engine::CallId;
use leveret::step::calls::{self, Begin};
use serde_json::json;

use super::*;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_an_attempt_that_was_given_up_is_shown_to_whoever_has_to_find_out() {
    let house = house(|_| {}).await;
    house.apply(&asking("http: { method: POST, url: '${ url }' }")).await;
    let (go, target) = gated(Play::ok("\"paid\"")).await;
    started(&house, &target, "slow").await;
    eventually("it is asked", SOON, async || target.times() == 1).await;
    // Whoever makes it seems to be dead.
    house.execute("UPDATE leveret.calls SET deadline = now(), next_at = now()").await;
    house.stands("slow", "suspended at ask").await;
    let id = target.asked()[0].header("idempotency-key").unwrap().to_owned();
    go.send(true).unwrap();
    house.becomes(1, "leveret.calls WHERE state = 'unknown' AND late IS NOT NULL").await;
    let shown = house.process.get(&format!("/calls/{id}")).await.ok(200);
    let outcome = &shown["late"]["outcome"];
    assert_eq!((&outcome["status"], &outcome["body"]), (&json!(200), &json!("paid")));
    let found = json!({ "outcome": "succeeded", "result": outcome });
    house.process.post(&format!("/calls/{id}/resolve"), &found).await.ok(200);
    house.stands("slow", "completed").await;
    assert_eq!(target.times(), 1);
    house.close().await;
}

const LIMITED: &str = "
    limits: { rate: 1/h }
    retry: { attempts: 3, within: 2s }
    on_error: [{ output: { body: error.code } }]";

#[tokio::test]
async fn a_call_that_cannot_begin_in_its_time_ends_and_nothing_is_sent() {
    let house = house(|_| {}).await;
    house.apply(&asking(&format!("http: {{ method: POST, url: '${{ url }}' }}{LIMITED}"))).await;
    let target = Target::playing(|_| Play::ok("1")).await;
    started(&house, &target, "first").await;
    house.stands("first", "completed").await;
    started(&house, &target, "second").await;
    house.stands("second", "completed").await;
    assert_eq!(output(&house, "second").await, json!("timeout"));
    assert_eq!(target.times(), 1);
    assert_eq!(house.count("leveret.targets WHERE last_failure IS NOT NULL").await, 0, "its target is well");
    assert_eq!(house.count("leveret.history WHERE kind = 'CallUnknown'").await, 0, "and all know what became of it");
    house.close().await;
}

#[tokio::test]
async fn a_worker_is_not_asked_for_what_would_be_too_late() {
    let house = house(|_| {}).await;
    house.apply(&asking(&format!("call: {{ name: pack }}{LIMITED}"))).await;
    for key in ["first", "second"] {
        house.start_with("ask", key, json!({ "url": "" })).await;
        house.stands(key, "completed").await;
        assert_eq!(output(&house, key).await, json!("timeout"));
    }
    let begun = house.lines("count(begun_at)", "leveret.calls").await;
    assert_eq!(begun, ["1"], "the second was never begun");
    house.close().await;
}

#[tokio::test]
async fn no_attempt_begins_while_its_instance_is_suspended_and_the_end_of_its_time_is_replayed() {
    let house = house(|_| {}).await;
    house.apply(&asking(&format!("http: {{ url: '${{ url }}' }}{}", LIMITED.replace("2s", "4s")))).await;
    let target = Target::playing(|_| Play::ok("1")).await;
    started(&house, &target, "first").await;
    house.stands("first", "completed").await;
    started(&house, &target, "second").await;
    house.stands("second", "running at ask").await;
    let id = house.id("second").await.unwrap();
    house.process.post(&format!("/instances/{id}/suspend"), &json!({})).await.ok(200);
    let call = house.lines("id", "leveret.calls WHERE state = 'pending'").await.remove(0);
    let begun = calls::begin(house.app(), CallId(call.parse().unwrap()), 1, None).await.unwrap();
    assert!(matches!(begun, Begin::Stale), "somebody had claimed it before");
    house.becomes(1, "leveret.calls WHERE state = 'reported'").await;
    assert_eq!(house.standing("second").await, "suspended at ask");
    house.process.post(&format!("/instances/{id}/resume"), &json!({})).await.ok(200);
    house.stands("second", "completed").await;
    assert_eq!(output(&house, "second").await, json!("timeout"));
    assert_eq!(target.times(), 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_is_sent_instead_of_the_request_whenever_it_is_and_its_answer_settles() {
    let house = house(|config| config.retry.base = Duration::from_secs(2)).await;
    let probing = "http:
      method: POST
      url: '${ url }pay'
      on_unknown: probe
      probe: { url: '${ url }paid', accept: 404, done: result.status == 200 }
    retry: { attempts: 3, within: 100ms }";
    house.apply(&asking(probing)).await;
    let target = Target::playing(|asked| match asked.line.starts_with("GET") {
        true => {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(300)));
            Play::ok("\"paid\"")
        }
        false => Play::Reset,
    })
    .await;
    started(&house, &target, "probed").await;
    house.stands("probed", "completed").await;
    assert_eq!(output(&house, "probed").await, json!("paid"));
    let asked = target.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["POST /pay HTTP/1.1", "GET /paid HTTP/1.1"], "after `within` it is still asked for");
    assert_eq!((asked[1].header("idempotency-key"), asked[1].body.len()), (None, 0));
    assert_eq!(house.lines("state || ' ' || attempt || ' ' || dispatch", "leveret.calls").await, ["succeeded 1 2"]);
    house.close().await;
}

#[tokio::test]
async fn an_answer_too_large_to_be_kept_is_a_success_and_never_sends_the_request_under_another_key() {
    let house = house(|config| config.outgoing.response_max = 16).await;
    let post = "http: { method: POST, url: '${ url }' }";
    house.apply(&asking(post)).await;
    house.apply(&asking(post).replace("name: ask", "name: glad").replace("result.body", "result.status")).await;
    let large = json!("x".repeat(100)).to_string();
    let target = Target::playing(move |asked| if asked.number < 3 { Play::ok(&large) } else { Play::ok("1") }).await;
    house.start_with("glad", "glad", json!({ "url": target.url("/") })).await;
    house.stands("glad", "completed").await;
    assert_eq!(output(&house, "glad").await, json!(200), "what it says is not needed");
    started(&house, &target, "needy").await;
    house.stands("needy", "suspended at ask").await;
    assert_eq!(house.lines("error->>'code'", "leveret.calls WHERE state = 'unknown'").await, ["limit.response"]);
    assert_eq!(house.count("leveret.targets WHERE last_failure IS NOT NULL").await, 0, "its target is well");
    let id = house.id("needy").await.unwrap();
    house.process.post(&format!("/instances/{id}/retry"), &json!({})).await.ok(200);
    house.stands("needy", "completed").await;
    let asked = target.asked();
    assert_eq!(asked[2].header("idempotency-key"), asked[1].header("idempotency-key"));
    house.close().await;
}
