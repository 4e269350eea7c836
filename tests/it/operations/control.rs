//! Operations on one instance, over HTTP, AMQP and the command line: each has a rehearsal, a guard by revision, and a place in the history.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{CommandLine, InProcess, SOON, assert_at_rest, eventually};

const ORDER: &str = "
name: trip
input: { type: object, properties: { amount: { type: number, maximum: 100, default: 1.0 } } }
variables: { amount: 0.0, by: null }
output: ${ by }
activities:
  - { id: pay, receive: { name: paid }, timeout: 1h, output: { by: result.data.by } }
  - { id: check, task: { candidates: { users: [ann] }, decisions: [go, stop] }, next: { go: break, stop: exit } }
  - { id: break, run: { handler: break }, retry: none, output: { by: result.by } }
  - { id: rest, receive: { name: rested } }
";

async fn standing() -> (InProcess, String) {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(ORDER).await;
    leveret.start("trip", "A").await;
    leveret.reaches("A", "running at pay").await;
    let id = leveret.id("A").await.unwrap().to_string();
    (leveret, id)
}

async fn history(leveret: &InProcess, id: &str, kind: &str) -> Vec<Value> {
    let items = leveret.get(&format!("/instances/{id}/history")).await.ok(200)["items"].take();
    let items: Vec<Value> = serde_json::from_value(items).unwrap();
    items.into_iter().filter(|item| item["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_skipped_moved_and_run_again_over_http_with_rehearsals() {
    let (leveret, id) = standing().await;
    let path = |verb: &str| format!("/instances/{id}/{verb}");
    let asked = json!({ "result": { "data": { "by": "hand" } }, "actor": "ada", "reason": "paid by letter" });
    let mut dry = asked.clone();
    dry["dry_run"] = json!(true);
    let before = leveret.lines("i::text", "leveret.instances AS i").await;
    let told = leveret.post(&path("skip"), &dry).await.ok(200);
    assert_eq!((&told["dry_run"], &told["at"]), (&json!(true), &json!({ "from": ["pay"], "to": ["check"] })), "{told}");
    assert_eq!((&told["variables"], &told["ends"][0]["kind"]), (&json!({ "by": "hand" }), &json!("message")), "{told}");
    assert_eq!(leveret.lines("i::text", "leveret.instances AS i").await, before, "a rehearsal changes nothing");
    let stale = leveret.post(&path("skip"), &json!({ "revision": 1, "result": {} })).await.problem(409, "stale");
    assert!(stale.contains("not 1"), "{stale}");
    let mut guarded = asked.clone();
    guarded["revision"] = told["revision"].clone();
    leveret.post(&path("skip"), &guarded).await.ok(200);
    leveret.reaches("A", "running at check").await;
    let entry = &history(&leveret, &id, "WaitSkipped").await[0]["details"];
    let by = json!({ "by": "ada", "reason": "paid by letter", "sender": "leveret.http" });
    assert_eq!(entry, &by);

    leveret.post(&path("jump"), &json!({ "activity": "nowhere" })).await.problem(409, "refused");
    leveret.post(&path("rerun"), &json!({ "activity": "break" })).await.problem(409, "refused");
    leveret.post(&path("jump"), &json!({ "activity": "break" })).await.ok(200);
    leveret.reaches("A", "suspended at break").await;
    assert_eq!(leveret.count("leveret.tasks WHERE outcome IS NULL").await, 0, "the task is closed");
    let told = leveret.post(&path("rerun"), &json!({ "activity": "pay", "dry_run": true })).await.ok(200);
    assert_eq!(told["done_since"]["items"][0]["activity"], "pay", "{told}");
    assert_eq!((&told["status"]["to"], &told["at"]["to"]), (&json!("running"), &json!(["pay"])), "{told}");
    leveret.post(&path("rerun"), &json!({ "activity": "pay" })).await.ok(200);
    leveret.reaches("A", "running at pay").await;
    leveret.post(&path("jump"), &json!({ "activity": "rest" })).await.ok(200);
    leveret.reaches("A", "running at rest").await;
    leveret.post("/messages", &json!({ "name": "rested", "key": "A" })).await.ok(200);
    leveret.reaches("A", "completed").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_keep_to_the_types_and_the_schema_of_the_definition() {
    let (leveret, id) = standing().await;
    let set = async |variables: Value| {
        let body = json!({ "variables": variables, "reason": "it was wrong" }).to_string();
        leveret.send(Method::PATCH, &format!("/instances/{id}/variables"), None, body).await
    };
    let why = set(json!({ "amount": "7" })).await.problem(422, "input");
    assert!(why.contains("/amount: in this definition it is a number"), "{why}");
    let reply = set(json!({ "amount": 101, "other": 1 })).await;
    assert_eq!(reply.body["errors"][0]["pointer"], "/other", "{}", reply.body);
    set(json!({ "amount": 101 })).await.problem(422, "input");
    set(json!({ "amount": 7, "by": ["anything"] })).await.ok(200);
    assert_eq!(leveret.lines("variables", "leveret.instances").await, [r#"{"by": ["anything"], "amount": 7.0}"#]);
    assert_eq!(leveret.position("A").await, "running at pay");
    assert_eq!(history(&leveret, &id, "VariablesSet").await[0]["details"]["reason"], "it was wrong");
    leveret.post(&format!("/instances/{id}/terminate"), &json!({})).await.ok(200);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_come_over_amqp_and_a_rehearsal_there_is_refused() {
    let (leveret, id) = standing().await;
    let ask = async |kind: &str, more: Value| {
        let mut body = json!({ "instance": id, "actor": "ada", "reason": "the test" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        leveret.sender.ask(kind, &format!("{kind} {:08x}", fastrand::u32(..)), &body).await;
        leveret.sender.answers(1).await.pop().unwrap().1
    };
    let dry = ask("terminate", json!({ "dry_run": true })).await;
    assert!(dry["reason"].as_str().unwrap().contains("`dry_run`"), "{dry}");
    let stale = ask("terminate", json!({ "revision": 1 })).await;
    assert_eq!(stale["outcome"], "refused", "{stale}");
    assert_eq!(ask("variables.set", json!({ "variables": { "amount": 3 } })).await["outcome"], "set");
    assert_eq!(
        ask("skip", json!({ "activity": "pay", "result": { "data": {"by": "hand"} } })).await["outcome"],
        "skipped"
    );
    leveret.reaches("A", "running at check").await;
    assert_eq!(ask("rerun", json!({ "activity": "pay" })).await["outcome"], "rerun");
    leveret.reaches("A", "running at pay").await;
    assert_eq!(ask("jump", json!({ "activity": "rest" })).await["outcome"], "jumped");
    leveret.reaches("A", "running at rest").await;
    assert_eq!(ask("queue.set", json!({ "queue": "default" })).await["outcome"], "refused");
    assert_eq!(ask("priority.set", json!({ "priority": 5 })).await["outcome"], "prioritised");
    assert_eq!(ask("priority.set", json!({ "priority": 5 })).await["outcome"], "refused");
    let audited = leveret.lines("actor || ' ' || object", "leveret.audit WHERE action = 'priority.set'").await;
    assert_eq!(audited, [format!("upstream {id}")]);
    assert_eq!(ask("terminate", json!({})).await["outcome"], "terminated");
    assert_eq!(history(&leveret, &id, "InstanceTerminated").await[0]["details"]["by"], "ada");
    leveret.execute("DELETE FROM leveret.dead_letters").await;
    leveret.close().await;
}

/// A tombstone: the row of an ended instance is as it was, whatever comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_not_revived_by_late_commands_and_runs_again_only_as_a_new_instance() {
    let (leveret, id) = standing().await;
    let path = |verb: &str| format!("/instances/{id}/{verb}");
    leveret.post(&path("terminate"), &json!({ "actor": "ada" })).await.ok(200);
    let tombstone = async || leveret.lines("i::text", &format!("leveret.instances AS i WHERE id = '{id}'")).await;
    let before = tombstone().await;
    for (verb, body) in [
        ("terminate", json!({})),
        ("cancel", json!({})),
        ("suspend", json!({})),
        ("resume", json!({})),
        ("retry", json!({})),
        ("skip", json!({})),
        ("jump", json!({ "activity": "pay" })),
        ("queue", json!({ "queue": "slow" })),
    ] {
        let why = leveret.post(&path(verb), &body).await.problem(409, "refused");
        assert!(why.contains("ended"), "{verb}: {why}");
    }
    let body = json!({ "variables": { "by": 1 } }).to_string();
    leveret.send(Method::PATCH, &path("variables"), None, body).await.problem(409, "refused");
    // Its message is kept for another instance, and its step command and its timer do nothing.
    leveret.post("/messages", &json!({ "name": "paid", "key": "A", "data": { "by": "late" } })).await.ok(202);
    leveret.sender.step("continue", &json!({ "instance": id, "branch": 0, "sequence": 1 })).await;
    leveret.sender.step("fire", &json!({ "instance": id, "bookmark": 2, "due_at": "2026-01-01T00:00:00Z" })).await;
    let queues = leveret.queues().await;
    eventually("the late commands are handled", SOON, async || queues.not_empty().await.is_empty()).await;
    assert_eq!(tombstone().await, before);

    let told = leveret.post(&path("rerun"), &json!({ "activity": "pay", "dry_run": true })).await.ok(200);
    assert_eq!((&told["starts"]["at"], &told["starts"]["key"]), (&json!(["pay"]), &json!("A")), "{told}");
    let again = json!({ "activity": "pay", "reason": "too early" });
    let new = leveret.post_as("again", &path("rerun"), &again).await.ok(200);
    assert_eq!((&new["rerun_of"], &new["status"]), (&json!(id), &json!("running")), "{new}");
    let repeated = leveret.post_as("again", &path("rerun"), &again).await.ok(200);
    assert_eq!(repeated["id"], new["id"], "the same command starts one instance");
    let noted = leveret.lines("object || ': ' || reason", "leveret.audit WHERE action = 'rerun'").await;
    assert_eq!(noted, [format!("{id}: too early")]);
    // It takes the message that was kept.
    leveret.reaches("A", "running at check").await;
    let why = leveret.post(&path("rerun"), &again).await.problem(409, "refused");
    assert!(why.contains("has the key `A`"), "{why}");
    assert_eq!(tombstone().await, before, "the ended one is as it was");
    let started = &history(&leveret, new["id"].as_str().unwrap(), "InstanceStarted").await[0]["details"];
    assert_eq!((&started["rerun_of"], &started["reason"]), (&json!(id), &json!("too early")));
    leveret.post(&format!("/instances/{}/terminate", new["id"].as_str().unwrap()), &json!({})).await.ok(200);
    assert_at_rest(&mut *leveret.conn().await).await;
    // After retention has deleted it, nothing is left to revive.
    leveret.execute(&format!("DELETE FROM leveret.instances WHERE id = '{id}'")).await;
    leveret.post(&path("rerun"), &json!({ "activity": "pay" })).await.problem(404, "not-found");
    leveret.post(&path("jump"), &json!({ "activity": "pay" })).await.problem(404, "not-found");
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_an_instance_is_changed_and_a_worker_of_the_other_queue_moves_it() {
    let (leveret, id) = standing().await;
    leveret.post(&format!("/instances/{id}/queue"), &json!({ "queue": "slow" })).await.ok(200);
    assert_eq!(leveret.lines("queue", "leveret.instances").await, ["slow"]);
    leveret.post("/messages", &json!({ "name": "paid", "key": "A", "data": { "by": "x" } })).await.ok(200);
    // No worker serves it here: its step command waits in the other queue.
    leveret.count_becomes(1, "leveret.instances WHERE ready AND queue = 'slow'").await;
    leveret.post(&format!("/instances/{id}/queue"), &json!({ "queue": "default", "reason": "back" })).await.ok(200);
    leveret.reaches("A", "running at check").await;
    assert_eq!(history(&leveret, &id, "QueueChanged").await.len(), 2);
    leveret.post(&format!("/instances/{id}/terminate"), &json!({})).await.ok(200);
    let fresh = leveret.stop().await;
    drop(fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_operates_and_rehearses() {
    let (leveret, id) = standing().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let dry = command_line.say(&format!("instance jump {id} check --dry-run")).await.good();
    assert!(dry.contains("pay → check") && dry.contains("nothing was changed"), "{dry}");
    let set = ["instance", "set", &id, "amount=7", "by=\"hand\"", "--as", "ada", "--reason", "it was wrong"];
    command_line.run(set).await.good();
    assert_eq!(leveret.lines("variables->>'by'", "leveret.instances").await, ["hand"]);
    let why = command_line.say(&format!("instance set {id} amount=x")).await.failed();
    assert!(why.contains("the value of `amount`"), "{why}");
    let why = command_line.say(&format!("instance jump {id} check --revision 1")).await.failed();
    assert!(why.contains("read it again"), "{why}");
    command_line.say(&format!("instance jump {id} check --revision {}", revision(&leveret).await)).await.good();
    leveret.reaches("A", "running at check").await;
    let skip = ["instance", "skip", &id, "--activity", "check", "--result", r#"{"decision":"stop"}"#];
    assert_eq!(command_line.run(skip).await.good(), format!("{id} is completed\n"));
    let new = command_line.json(&format!("instance rerun {id} check")).await;
    assert_eq!(new["rerun_of"], json!(id));
    leveret.reaches("A", "running at check").await;
    let new = new["id"].as_str().unwrap().to_owned();
    assert_eq!(command_line.say(&format!("instance terminate {new}")).await.good(), format!("{new} is cancelled\n"));
    leveret.close().await;
}

async fn revision(leveret: &InProcess) -> String {
    leveret.lines("revision", "leveret.instances").await.pop().unwrap()
}
