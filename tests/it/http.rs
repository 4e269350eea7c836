//! The HTTP API: every route, and every way a request can be wrong.

mod addresses;

use std::collections::BTreeSet;

use leveret::client::Client;
use leveret::contract::Start;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{InProcess, SOON, eventually};

/// Waits for a message; the amount must be a number.
const WAITING: &str = "
name: waiting
input: { type: object, properties: { amount: { type: integer } } }
variables: { got: null }
output: { got: '${ got }' }
activities:
  - { id: payment, receive: { name: paid }, output: { got: result.data } }
";
/// Fails for good with its first step.
const FAILING: &str = "
name: failing
activities:
  - { id: fall, raise: { code: shown.broken, message: it is broken } }
";

fn id(body: &Value) -> String {
    body["id"].as_str().unwrap_or_else(|| panic!("no id: {body}")).to_owned()
}

async fn started(leveret: &InProcess, body: Value) -> String {
    id(&leveret.post("/instances", &body).await.ok(201))
}

async fn has_status(leveret: &InProcess, id: &str, status: &str) -> Value {
    let mut seen = Value::Null;
    let there = async || {
        seen = leveret.get(&format!("/instances/{id}")).await.ok(200);
        seen["status"] == status
    };
    eventually(status, SOON, there).await;
    seen
}

#[tokio::test]
async fn an_instance_is_started_awaited_and_shown_with_its_history() {
    let leveret = InProcess::new().await;
    leveret.apply_example("line").await;

    let short = leveret.post("/instances", &json!({ "definition": "line", "key": "A" })).await.ok(201);
    assert_eq!(short.as_object().unwrap().len(), 1, "an id and nothing else");
    has_status(&leveret, &id(&short), "completed").await;

    let whole = leveret.post("/instances?wait=30s", &json!({ "definition": "line", "key": "B" })).await.ok(201);
    assert_eq!((&whole["status"], &whole["output"]), (&json!("completed"), &json!({ "sum": 210 })));
    assert_eq!(
        (&whole["key"], &whole["started_by"], &whole["version"]),
        (&json!("B"), &json!("leveret.http"), &json!(1))
    );
    let id = id(&whole);
    assert_eq!(leveret.get(&format!("/instances/{id}")).await.ok(200), whole);

    let all = leveret.get(&format!("/instances/{id}/history")).await.ok(200);
    let numbers = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|row| row["number"].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&all), (1..=numbers(&all).len() as i64).collect::<Vec<_>>());
    assert_eq!((&all["items"][0]["kind"], all.get("next")), (&json!("InstanceStarted"), None));
    let part = leveret.get(&format!("/instances/{id}/history?after=3&limit=2")).await.ok(200);
    assert_eq!((numbers(&part), &part["next"]), (vec![4, 5], &json!("5")));
    leveret.get(&format!("/instances/{id}/history?after=x")).await.problem(400, "invalid");
    leveret.stop().await;
}

#[tokio::test]
async fn a_wait_that_is_over_shows_the_instance_as_it_is() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let view = leveret.post("/instances?wait=50ms", &json!({ "definition": "waiting", "key": "A" })).await.ok(201);
    assert_eq!((&view["status"], &view["ended_at"]), (&json!("running"), &Value::Null));
    let why = leveret.post("/instances?wait=long", &json!({ "definition": "waiting" })).await.problem(400, "invalid");
    assert!(why.contains("`long` is not a valid duration"), "{why}");
    leveret.stop().await;
}

#[tokio::test]
async fn lists_are_filtered_and_paged_by_cursor() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    leveret.apply(FAILING).await;
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(started(&leveret, json!({ "definition": "waiting", "key": format!("K{number}") })).await);
    }
    let fallen = started(&leveret, json!({ "definition": "failing" })).await;
    has_status(&leveret, &fallen, "suspended").await;

    let ids = |page: &Value| -> Vec<String> { page["items"].as_array().unwrap().iter().map(id).collect() };
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = leveret.get(&format!("/instances?definition=waiting&limit=2{cursor}")).await.ok(200);
        pages += 1;
        found.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    all.reverse();
    assert_eq!((found, pages), (all, 3), "newest first, each once");

    let suspended = leveret.get("/instances?status=suspended").await.ok(200);
    assert_eq!(ids(&suspended), [fallen]);
    assert_eq!(suspended["items"][0]["at"], json!(["fall"]));
    let keyed = leveret.get("/instances?definition=waiting&key=K3&status=running").await.ok(200);
    assert_eq!((ids(&keyed).len(), &keyed["items"][0]["key"]), (1, &json!("K3")));
    assert_eq!(leveret.get("/instances?status=cancelled").await.ok(200), json!({ "items": [] }));

    for wrong in ["limit=0", "limit=501", "limit=-1", "limit=many", "status=happy", "cursor=x", "colour=red"] {
        leveret.get(&format!("/instances?{wrong}")).await.problem(400, "invalid");
    }
    let why = leveret.get("/instances?status=happy").await.problem(400, "invalid");
    assert!(why.contains("`happy` is not a status: use running, suspended"), "{why}");
    leveret.stop().await;
}

#[tokio::test]
async fn a_message_is_delivered_or_kept_and_a_repetition_is_recognised() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let paid = |key: &str| json!({ "name": "paid", "key": key, "data": { "amount": 7 } });

    let waiting = started(&leveret, json!({ "definition": "waiting", "key": "A" })).await;
    let opened = async || leveret.get(&format!("/instances/{waiting}")).await.ok(200)["waits"] != json!([]);
    eventually("it waits", SOON, opened).await;
    let delivered = leveret.post_as("pay-A", "/messages", &paid("A")).await.ok(200);
    assert_eq!(delivered, json!({ "outcome": "delivered", "instance": waiting }));
    assert_eq!(leveret.post_as("pay-A", "/messages", &paid("A")).await.ok(200), delivered, "the same answer");
    assert_eq!(has_status(&leveret, &waiting, "completed").await["output"], json!({ "got": { "amount": 7 } }));

    assert_eq!(leveret.post_as("pay-B", "/messages", &paid("B")).await.ok(202), json!({ "outcome": "kept" }));
    assert_eq!(leveret.post_as("pay-B", "/messages", &paid("B")).await.ok(200), json!({ "outcome": "kept" }));
    let early = leveret.post("/instances?wait=30s", &json!({ "definition": "waiting", "key": "B" })).await.ok(201);
    assert_eq!(early["output"], json!({ "got": { "amount": 7 } }));
    // Kept once: the second one to wait finds nothing.
    let other = leveret.post("/instances?wait=300ms", &json!({ "definition": "waiting", "key": "B" })).await.ok(201);
    assert_eq!(other["status"], "running");

    leveret.post("/messages", &json!({ "name": "", "key": "B" })).await.problem(400, "invalid");
    leveret.post("/messages", &json!({ "name": "paid" })).await.problem(400, "invalid");
    leveret.stop().await;
}

#[tokio::test]
async fn definitions_are_applied_checked_and_shown_by_version() {
    let leveret = InProcess::new().await;
    let put = async |name: &str, text: &str| {
        leveret.send(Method::PUT, &format!("/definitions/{name}"), None, text.to_owned()).await
    };
    let first = put("waiting", WAITING).await.ok(201);
    assert_eq!(first, json!({ "name": "waiting", "version": 1, "changed": true, "warnings": [], "hints": [] }));
    assert_eq!(put("waiting", WAITING).await.ok(200)["changed"], false);
    // The content counts, not how it is written.
    let shown = leveret.get("/definitions/waiting").await.ok(200);
    assert_eq!(put("waiting", &shown["content"].to_string()).await.ok(200)["version"], 1);
    let more = WAITING.replace("output: { got: '${ got }' }", "output: { got: '${ got }', more: 1 }");
    assert_eq!(put("waiting", &more).await.ok(201)["version"], 2);

    assert_eq!(leveret.get("/definitions/waiting").await.ok(200)["version"], 2);
    assert_eq!(leveret.get("/definitions/waiting/versions/1").await.ok(200), shown);
    let all = leveret.get("/definitions").await.ok(200);
    assert_eq!(
        (all["items"].as_array().unwrap().len(), &all["items"][0]["version"]),
        (1, &json!(2)),
        "the newest of each"
    );
    assert_eq!(leveret.get("/definitions?limit=1").await.ok(200)["next"], "waiting");
    assert_eq!(leveret.get("/definitions?limit=1&cursor=waiting").await.ok(200), json!({ "items": [] }));
    assert!(
        all["items"].as_array().unwrap().iter().all(|one| one["name"] == "waiting" && one.get("content").is_none())
    );

    let checked = leveret.send(Method::POST, "/definitions/check", None, FAILING.into()).await.ok(200);
    assert_eq!((&checked["name"], &checked["warnings"]), (&json!("failing"), &json!([])));
    leveret.get("/definitions/failing").await.problem(404, "not-found");

    let wrong =
        "name: broken\nactivities:\n  - { id: a, set: { nobody: 1 }, next: nowhere }\n  - { id: b, fly: away }\n";
    for (method, path) in [(Method::PUT, "/definitions/broken"), (Method::POST, "/definitions/check")] {
        let reply = leveret.send(method, path, None, wrong.into()).await;
        let errors = reply.body["errors"].as_array().unwrap().clone();
        reply.problem(422, "definition");
        let lines: BTreeSet<i64> = errors.iter().map(|error| error["line"].as_i64().unwrap()).collect();
        assert_eq!(lines, BTreeSet::from([3, 4]), "every problem at once: {errors:?}");
        let said = json!(errors).to_string();
        assert!(["nobody", "nowhere", "fly"].iter().all(|word| said.contains(word)), "{said}");
        assert!(errors.iter().all(|error| error["column"].as_i64() > Some(0) && error["detail"].is_string()), "{said}");
    }

    let why = put("other", WAITING).await.problem(400, "invalid");
    assert!(why.contains("the document's name is `waiting`, but the path names `other`"), "{why}");
    leveret.get("/definitions/nobody").await.problem(404, "not-found");
    leveret.get("/definitions/waiting/versions/7").await.problem(404, "not-found");
    leveret.get("/definitions/waiting/versions/new").await.problem(400, "invalid");
    let large = format!("# {}\n{WAITING}", "x".repeat(1024 * 1024));
    put("waiting", &large).await.problem(413, "too-large");
    leveret.stop().await;
}

#[tokio::test]
async fn an_instance_is_cancelled_once_and_retried_only_when_it_has_failed() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let waiting = started(&leveret, json!({ "definition": "waiting", "key": "A" })).await;
    leveret.post(&format!("/instances/{waiting}/retry"), &json!({})).await.problem(409, "refused");
    let cancel = format!("/instances/{waiting}/cancel");
    let reason = json!({ "reason": "the customer has called" });
    let cancelled = leveret.post_as("stop-A", &cancel, &reason).await.ok(200);
    assert_eq!(cancelled, json!({ "id": waiting, "status": "cancelled", "revision": 2 }));
    assert_eq!(leveret.post_as("stop-A", &cancel, &reason).await.ok(200)["outcome"], "cancelled", "known");
    leveret.post(&cancel, &json!({})).await.problem(409, "refused");
    let history = leveret.get(&format!("/instances/{waiting}/history")).await.ok(200);
    let last = history["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["kind"], "InstanceCancelled");
    assert_eq!(last["details"], json!({ "by": "leveret.http", "reason": "the customer has called" }));
    // The key names one command, not one body.
    leveret
        .post_as("stop-A", &format!("/instances/{waiting}/retry"), &reason)
        .await
        .problem(422, "idempotency-key-reused");
    leveret.post(&cancel, &json!({ "because": "x" })).await.problem(400, "invalid");
    leveret.stop().await;
}

#[tokio::test]
async fn a_command_with_an_idempotency_key_happens_once() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let body = json!({ "definition": "waiting", "key": "A", "input": { "amount": 1 } });
    let first = leveret.post_as("order-A", "/instances", &body).await.ok(201);
    assert_eq!(leveret.post_as("order-A", "/instances", &body).await.ok(201), first);
    let other = json!({ "definition": "waiting", "key": "A", "input": { "amount": 2 } });
    let why = leveret.post_as("order-A", "/instances", &other).await.problem(422, "idempotency-key-reused");
    assert!(why.contains("order-A"), "{why}");

    let why = leveret.post("/instances", &other).await.problem(409, "refused");
    assert!(why.contains("a live instance of `waiting` has the key `A`"), "{why}");
    let returned = json!({ "definition": "waiting", "key": "A", "on_conflict": "return" });
    assert_eq!(leveret.post("/instances", &returned).await.ok(200), first);
    assert_eq!(leveret.post_as("again-A", "/instances", &returned).await.ok(200), first);
    assert_eq!(leveret.post_as("again-A", "/instances", &returned).await.ok(200), first);
    assert_eq!(leveret.get("/instances").await.ok(200)["items"].as_array().unwrap().len(), 1, "one instance");

    let replaced = json!({ "definition": "waiting", "key": "A", "on_conflict": "replace" });
    assert_ne!(leveret.post("/instances", &replaced).await.ok(201), first);
    assert_eq!(leveret.get(&format!("/instances/{}", id(&first))).await.ok(200)["status"], "cancelled");
    // A key beyond ASCII is a key.
    let body = json!({ "definition": "waiting", "key": "M", "input": { "amount": 1 } });
    let first = leveret.post_as("Auftrag-Müller", "/instances", &body).await.ok(201);
    assert_eq!(leveret.post_as("Auftrag-Müller", "/instances", &body).await.ok(201), first);
    leveret.post_as(&"k".repeat(256), "/instances", &body).await.problem(400, "invalid");

    // A refusal is not remembered: once its cause is removed, the same request succeeds.
    let later = json!({ "definition": "failing" });
    leveret.post_as("later", "/instances", &later).await.problem(404, "not-found");
    leveret.apply(FAILING).await;
    leveret.post_as("later", "/instances", &later).await.ok(201);
    leveret.stop().await;
}

#[tokio::test]
async fn a_refused_request_is_a_problem_with_its_reason() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let nobody = "0197e000-0000-7000-8000-000000000000";
    for path in ["/nothing", "/instances/", "/instances/x/y/z", "/metrics/more"] {
        leveret.get(path).await.problem(404, "not-found");
    }
    let why = leveret.get("/nothing").await.problem(404, "not-found");
    assert!(why.contains("/api/v1/nothing"), "{why}");
    for (method, path) in [
        (Method::DELETE, "/instances"),
        (Method::POST, "/definitions/waiting"),
        (Method::PUT, "/messages"),
        (Method::POST, "/livez"),
    ] {
        let reply = leveret.send(method.clone(), path, None, String::new()).await;
        assert!(!reply.allow.is_empty() && !reply.allow.contains(method.as_str()), "{}", reply.allow);
        let why = reply.problem(405, "method");
        assert!(why.contains(method.as_str()), "{why}");
    }
    for path in [format!("/instances/{nobody}"), format!("/instances/{nobody}/history")] {
        leveret.get(&path).await.problem(404, "not-found");
    }
    for path in [format!("/instances/{nobody}/cancel"), format!("/instances/{nobody}/retry")] {
        leveret.post(&path, &json!({})).await.problem(404, "not-found");
    }
    let why = leveret.get("/instances/17").await.problem(400, "invalid");
    assert!(why.contains("`17` is not a valid id"), "{why}");
    leveret.post("/instances/17/cancel", &json!({})).await.problem(400, "invalid");

    let why = leveret.post("/instances", &json!({ "definition": "nobody" })).await.problem(404, "not-found");
    assert!(why.contains("`nobody`"), "{why}");
    leveret.post("/instances", &json!({ "definition": "waiting", "version": 9 })).await.problem(404, "not-found");
    let wrong = json!({ "definition": "waiting", "input": { "amount": "much" } });
    let said = leveret.post("/instances", &wrong).await;
    assert_eq!(said.body["errors"][0]["pointer"], "/amount", "{}", said.body);
    let why = said.problem(422, "input");
    assert!(why.contains("amount"), "{why}");
    let why = leveret.post("/instances", &json!({ "definiton": "waiting" })).await.problem(400, "invalid");
    assert!(why.contains("definiton") && why.contains("definition"), "{why}");
    let why = leveret.post("/instances", &json!({})).await.problem(400, "invalid");
    assert!(why.contains("missing field `definition`"), "{why}");
    leveret.post("/instances", &json!({ "definition": 7 })).await.problem(400, "invalid");
    leveret
        .post("/instances", &json!({ "definition": "waiting", "on_conflict": "fight" }))
        .await
        .problem(400, "invalid");
    leveret.post("/instances?slow=1", &json!({ "definition": "waiting" })).await.problem(400, "invalid");
    assert_eq!(leveret.get("/instances").await.ok(200), json!({ "items": [] }), "nothing was started");
    leveret.stop().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_without_effect_on_other_requests() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let send = async |body: &str| leveret.send(Method::POST, "/instances", None, body.to_owned()).await;
    for broken in ["{", "nonsense", "[]", "\"text\"", "{\"definition\": \"waiting\"} {}", "\u{feff}\u{feff}{}"] {
        send(broken).await.problem(400, "invalid");
    }
    // One level more than the reader of JSON takes.
    let deep = format!("{{\"definition\": \"waiting\", \"input\": {}{} }}", "[".repeat(127), "]".repeat(127));
    let why = send(&deep).await.problem(400, "invalid");
    assert!(why.contains("recursion"), "{why}");
    let why = send(r#"{"definition": "waiting", "input": {"a": ["x\u0000y"]}}"#).await.problem(400, "invalid");
    assert!(why.contains("/input/a/0"), "{why}");
    for nul in [r#"{"definition": "wait\u0000ing"}"#, r#"{"definition": "waiting", "input": {"a\u0000": 1}}"#] {
        send(nul).await.problem(400, "invalid");
    }
    let long = json!({ "definition": "waiting", "key": "k".repeat(256) });
    leveret.post("/instances", &long).await.problem(400, "invalid");
    let large = json!({ "definition": "waiting", "input": { "text": "x".repeat(256 * 1024) } });
    leveret.post("/instances", &large).await.problem(413, "too-large");
    leveret.post("/messages", &large).await.problem(413, "too-large");

    // A byte order mark is skipped.
    send("\u{feff}{\"definition\": \"waiting\"}").await.ok(201);
    assert_eq!(leveret.get("/instances").await.ok(200)["items"].as_array().unwrap().len(), 1);
    leveret.stop().await;
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_reason() {
    let leveret = InProcess::new().await;
    let fresh = &leveret.fresh;
    let client = Client::connect(&fresh.amqp_url, &fresh.prefix, "shop").await.unwrap();
    client.start("one", &Start { definition: "odrer".into(), ..Start::default() }).await.unwrap();
    let mut letters = Value::Null;
    let filed = async || {
        letters = leveret.get("/dead-letters").await.ok(200);
        letters["items"] != json!([])
    };
    eventually("it is filed", SOON, filed).await;
    let letter = &letters["items"][0];
    assert_eq!(
        (&letter["kind"], &letter["app_id"], &letter["message_id"]),
        (&json!("start"), &json!("shop"), &json!("one"))
    );
    assert_eq!((&letter["routing_key"], letter.get("body")), (&json!("start.odrer"), None));
    assert!(letter["reason"].as_str().unwrap().contains("`odrer`"), "{letter}");
    client.close().await;
    leveret.stop().await;
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let leveret = InProcess::new().await;
    leveret.apply(FAILING).await;
    assert_eq!(leveret.text("/livez").await, "ok\n");
    let ready = leveret.get("/readyz").await.ok(200);
    let expected = json!({ "ready": true, "database": "answers", "broker": "connected", "degraded": [], "queues_in_trouble": [], "stopping": false });
    assert_eq!(ready, expected);

    let metrics = leveret.get("/metrics").await;
    assert!(metrics.content_type.starts_with("text/plain; version=0.0.4"), "{}", metrics.content_type);
    let suspended = async |count: u32| {
        leveret
            .text("/metrics")
            .await
            .lines()
            .any(|line| line == format!("leveret_instances{{status=\"suspended\"}} {count}"))
    };
    assert!(suspended(0).await, "none is a figure too");
    let fallen = started(&leveret, json!({ "definition": "failing" })).await;
    has_status(&leveret, &fallen, "suspended").await;
    assert!(suspended(1).await);
    leveret.post(&format!("/instances/{fallen}/cancel"), &json!({})).await.ok(200);
    assert!(suspended(0).await, "the last one has gone");

    leveret.stop().await;
}
