//! `If-Match` and `Idempotency-Key` on the operations that are no commands to one instance.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{InProcess, SOON, eventually};

const SLOW: &str = "
name: slow
activities:
  - { id: pause, wait: { for: 1h } }
";
const FALLING: &str = "
name: falling
activities:
  - { id: fall, raise: { code: shown.broken, message: it is broken } }
";

/// A request with headers, and its status, its `ETag` and its body.
async fn sent(
    leveret: &InProcess,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, Value) {
    let mut request = Client::new().request(method, leveret.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let kind = if path.starts_with("/definitions") { "application/yaml" } else { "application/json" };
    let answer = request.header("content-type", kind).body(body.to_owned()).send().await.unwrap();
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = answer.status().as_u16();
    (status, tag, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn a_definition_follows_the_version_that_was_seen() {
    let leveret = InProcess::new().await;
    let put = async |headers: &[(&str, &str)], label: &str| {
        let document = format!("{SLOW}labels: {{ team: {label} }}\n");
        sent(&leveret, Method::PUT, "/definitions/slow", headers, &document).await
    };
    let (status, first, _) = put(&[], "a").await;
    assert_eq!((status, first.as_str()), (201, "\"1\""));
    let (status, second, _) = put(&[("if-match", "\"1\"")], "b").await;
    assert_eq!((status, second.as_str()), (201, "\"2\""));
    let (status, _, problem) = put(&[("if-match", "\"1\"")], "c").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:leveret:definition-stale")));
    let (status, tag, view) = sent(&leveret, Method::GET, "/definitions/slow", &[], "").await;
    assert_eq!((status, tag.as_str(), &view["version"]), (200, "\"2\"", &json!(2)), "nothing was written");
    // What is the newest already may be applied again, by an author who has not heard of it.
    assert_eq!(put(&[("if-match", "\"1\"")], "b").await.0, 200);
    leveret.stop().await;
}

#[tokio::test]
async fn a_schedule_is_changed_as_it_was_seen_and_once_for_each_key() {
    let leveret = InProcess::new().await;
    leveret.apply(SLOW).await;
    let schedule = r#"{"definition": "slow", "cron": "0 9 * * *"}"#;
    assert_eq!(sent(&leveret, Method::PUT, "/schedules/daily", &[], schedule).await.1, "\"1\"");
    let post = async |verb: &str, headers: &[(&str, &str)]| {
        sent(&leveret, Method::POST, &format!("/schedules/daily/{verb}"), headers, "").await
    };
    for verb in ["pause", "resume", "run"] {
        let (status, _, problem) = post(verb, &[("if-match", "7")]).await;
        assert_eq!((status, &problem["type"]), (409, &json!("urn:leveret:schedule-stale")), "{verb}");
    }
    let (status, _, problem) = sent(&leveret, Method::DELETE, "/schedules/daily", &[("if-match", "7")], "").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:leveret:schedule-stale")));

    let paused = post("pause", &[("if-match", "1"), ("idempotency-key", "p")]).await;
    assert_eq!((paused.0, paused.1.as_str()), (200, "\"2\""));
    assert_eq!(post("resume", &[]).await.1, "\"3\"");
    // A late repetition does not pause it again, although it would be possible.
    let (status, tag, view) = post("pause", &[("if-match", "1"), ("idempotency-key", "p")]).await;
    assert_eq!((status, tag.as_str(), &view["paused_at"]), (200, "\"3\"", &Value::Null));
    let reused = post("resume", &[("idempotency-key", "p")]).await;
    assert_eq!((reused.0, &reused.2["type"]), (422, &json!("urn:leveret:idempotency-key-reused")));
    assert_eq!(sent(&leveret, Method::DELETE, "/schedules/daily", &[("if-match", "\"3\"")], "").await.0, 204);
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_and_an_incident_are_changed_as_their_instance_was_seen() {
    let leveret = InProcess::new().await;
    leveret.apply(SLOW).await;
    leveret.apply(FALLING).await;
    leveret.start("slow", "A").await;
    leveret.start("falling", "B").await;
    let there = async || {
        let timers = leveret.get("/timers").await.ok(200)["items"].as_array().unwrap().len();
        let incidents = leveret.get("/incidents").await.ok(200)["items"].as_array().unwrap().len();
        (timers, incidents) == (1, 1)
    };
    eventually("both wait", SOON, there).await;
    let timer = leveret.get("/timers").await.ok(200)["items"][0].clone();
    let path = format!("/timers/{}/{}/reschedule", timer["instance"].as_str().unwrap(), timer["bookmark"]);
    let incident = leveret.get("/incidents").await.ok(200)["items"][0]["instance"].as_str().unwrap().to_owned();
    for (path, instance, body) in [
        (path, timer["instance"].as_str().unwrap().to_owned(), r#"{"after": "2h"}"#),
        (format!("/incidents/{incident}/resolve"), incident, r#"{"action": "retry"}"#),
    ] {
        let (status, _, problem) = sent(&leveret, Method::POST, &path, &[("if-match", "99")], body).await;
        assert_eq!((status, &problem["type"]), (409, &json!("urn:leveret:stale")), "{path}: {problem}");
        let (_, tag, _) = sent(&leveret, Method::GET, &format!("/instances/{instance}"), &[], "").await;
        let (status, _, done) = sent(&leveret, Method::POST, &path, &[("if-match", &tag)], body).await;
        assert_eq!(status, 200, "{path}: {done}");
    }
    for wrong in ["1.5", "\"1", "x", "+1", "-1", ""] {
        let path = "/schedules/daily/pause";
        let (status, _, problem) = sent(&leveret, Method::POST, path, &[("if-match", wrong)], "").await;
        assert_eq!((status, &problem["type"]), (400, &json!("urn:leveret:invalid")), "{wrong}");
    }
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_job_and_a_dead_letter_are_acted_on_once_for_each_key() {
    let leveret = InProcess::new().await;
    let job = json!({ "operation": "cancel", "filter": "definition:slow", "pace": 1 });
    let job = leveret.post("/bulk", &job).await.ok(201)["id"].as_str().unwrap().to_owned();
    let abort = format!("/bulk/{job}/abort");
    let first = leveret.post_as("k", &abort, &Value::Null).await.ok(200);
    assert_eq!(leveret.post_as("k", &abort, &Value::Null).await.ok(200), first);
    leveret.post_as("other", &abort, &Value::Null).await.problem(409, "refused");
    let reused = leveret.post_as("k", &format!("/bulk/{job}/pause"), &Value::Null).await;
    reused.problem(422, "idempotency-key-reused");

    leveret.sender.command("cancel", "a", &json!({ "definition": "nothing", "key": "a" })).await;
    leveret.count_becomes(1, "leveret.dead_letters").await;
    let letter = leveret.get("/dead-letters").await.ok(200)["items"][0]["id"].clone();
    let redrive = format!("/dead-letters/{letter}/redrive");
    let sent = leveret.post_as("r", &redrive, &json!({})).await.ok(200);
    assert_eq!(leveret.post_as("r", &redrive, &json!({})).await.ok(200), sent, "the same message id");
    let drop = format!("/dead-letters/{letter}/drop");
    let dropped = leveret.post_as("d", &drop, &json!({})).await.ok(200);
    assert_eq!(leveret.post_as("d", &drop, &json!({})).await.ok(200), dropped);
    leveret.post_as("e", &drop, &json!({})).await.problem(404, "not-found");
    leveret.stop().await;
}
