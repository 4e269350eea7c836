//! Bulk jobs: previewed, worked off by every process at once, paced, paused and aborted; a crash repeats nothing.

use std::time::{Duration, Instant};

use leveret::roles::{Role, bulk};
use serde_json::{Value, json};

use crate::support::{CommandLine, Fresh, InProcess, Program, SOON, eventually};

const GATED: &str = "
name: gated
activities:
  - { id: gate, run: { handler: wait_for_gate }, retry: none }
";
/// Without the role bulk: the test decides when it runs.
const ROLES: [Role; 6] = [Role::Worker, Role::Relay, Role::Timers, Role::Caller, Role::DeadLetters, Role::Api];

/// Instances of `paid` that wait for their payment.
async fn waiting(count: i64) -> InProcess {
    let fresh = Fresh::new().await;
    let config = InProcess::config(&fresh);
    let handlers = crate::support::ledger::handlers();
    let leveret = InProcess::on(fresh, config, handlers, &ROLES).await;
    leveret.apply("name: paid\nactivities: [{ id: payment, receive: { name: paid } }]").await;
    leveret.apply(GATED).await;
    for number in 0..count {
        leveret.start("paid", &format!("K-{number:03}")).await;
    }
    leveret.count_becomes(count, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    leveret
}

async fn work_off(leveret: &InProcess) {
    while bulk::run_once(leveret.app()).await.unwrap() > 0 {}
}

async fn start(leveret: &InProcess, key: &str, request: &Value) -> String {
    leveret.post_as(key, "/bulk", request).await.ok(201)["id"].as_str().unwrap().to_owned()
}

async fn job(leveret: &InProcess, id: &str) -> Value {
    leveret.get(&format!("/bulk/{id}")).await.ok(200)
}

async fn ends(leveret: &InProcess, id: &str) -> Value {
    eventually("the job is done", SOON, async || {
        work_off(leveret).await;
        job(leveret, id).await["state"] == "done"
    })
    .await;
    job(leveret, id).await
}

fn cancel(filter: &str) -> Value {
    json!({ "operation": "terminate", "filter": filter, "actor": "ada", "reason": "a recall", "pace": 1000 })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_what_its_preview_counted_with_an_outcome_for_each_instance() {
    let leveret = waiting(30).await;
    let mut dry = cancel("definition:paid status:running key:K-*");
    dry["dry_run"] = json!(true);
    let told = leveret.post("/bulk", &dry).await.ok(200);
    assert_eq!((&told["count"], &told["more"]), (&json!(30), &json!(false)), "{told}");
    assert_eq!(told["sample"].as_array().unwrap().len(), 20);
    assert_eq!(leveret.count("leveret.bulk_jobs").await, 0, "a preview starts nothing");

    let request = cancel("definition:paid key:K-*");
    let id = start(&leveret, "recall", &request).await;
    assert_eq!(start(&leveret, "recall", &request).await, id, "the same request is one job");
    leveret.post_as("recall", "/bulk", &cancel("key:B*")).await.problem(422, "idempotency-key-reused");
    // One ends by itself before its command comes.
    let gone = leveret.id("K-007").await.unwrap();
    leveret.post(&format!("/instances/{gone}/cancel"), &json!({})).await.ok(200);
    let ended = ends(&leveret, &id).await;
    let counts = json!([ended["collected"], ended["done"], ended["refused"], ended["failed"], ended["open"]]);
    assert_eq!(counts, json!([30, 29, 1, 0, 0]), "{ended}");
    let who = "leveret.audit WHERE actor = 'ada' AND reason = 'a recall'";
    assert_eq!(leveret.count(&format!("{who} AND action = 'bulk.start' AND door = 'http'")).await, 1);
    assert_eq!(leveret.count(&format!("{who} AND action = 'terminate' AND door = 'bulk'")).await, 29);
    let refused = leveret.get(&format!("/bulk/{id}/items?state=refused")).await.ok(200);
    let item = &refused["items"][0];
    assert_eq!(item["instance"], json!(gone.0));
    assert!(item["detail"].as_str().unwrap().contains("has already ended as cancelled"), "{item}");
    assert_eq!(leveret.count("leveret.instances WHERE status = 'cancelled'").await, 30);
    let entry = "leveret.history WHERE kind = 'InstanceTerminated' AND details->>'by' = 'ada' \
                 AND details->>'reason' = 'a recall' AND details->>'sender' = 'leveret.bulk'";
    assert_eq!(leveret.count(entry).await, 29);
    leveret.post(&format!("/bulk/{id}/pause"), &json!({})).await.problem(409, "refused");
    leveret.get("/bulk/01a20d57-3169-72dc-a704-bc67f6273567").await.problem(404, "not-found");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_work_off_one_job_without_doing_anything_twice() {
    let leveret = waiting(120).await;
    let id = start(&leveret, "recall", &cancel("definition:paid")).await;
    let work = async || {
        for _ in 0..200 {
            bulk::run_once(leveret.app()).await.unwrap();
            if job(&leveret, &id).await["state"] == "done" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(work(), work(), work());
    let ended = ends(&leveret, &id).await;
    assert_eq!((&ended["done"], &ended["refused"]), (&json!(120), &json!(0)), "{ended}");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'InstanceTerminated'").await, 120);
    leveret.close().await;
}

/// The process dies in the middle of a batch: after the command of one item, while others of the batch are done, under way or open.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_in_the_middle_of_a_job_repeats_nothing() {
    let leveret = waiting(40).await;
    let victim = leveret.id("K-020").await.unwrap();
    let mut request = cancel("definition:paid");
    request["operation"] = json!("suspend");
    let id = start(&leveret, "night", &request).await;
    let point = format!("bulk::executed {victim}");
    let mut doomed =
        Program::start(&leveret.fresh, &["serve", "--roles", "bulk"], &[("FAILPOINTS", &format!("{point}=return"))]);
    doomed.dies_at(&point, SOON).await;
    let before = leveret.count("leveret.history WHERE kind = 'InstanceSuspended'").await;
    assert!(before >= 1, "its command was committed");
    assert_eq!(job(&leveret, &id).await["done"], json!(0), "nothing is marked");
    assert_eq!(bulk::run_once(leveret.app()).await.unwrap(), 1, "what is claimed is left alone");
    // As if the claims of the dead process had expired.
    leveret.execute("UPDATE leveret.bulk_items SET claimed_until = clock_timestamp()").await;
    let ended = ends(&leveret, &id).await;
    assert_eq!((&ended["done"], &ended["refused"], &ended["failed"]), (&json!(40), &json!(0), &json!(0)), "{ended}");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'InstanceSuspended'").await, 40, "each once");
    let id = start(&leveret, "morning", &json!({ "operation": "terminate", "filter": "status:suspended" })).await;
    assert_eq!(ends(&leveret, &id).await["done"], json!(40));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_while_it_collects_loses_and_repeats_no_item() {
    let leveret = waiting(10).await;
    let id = start(&leveret, "recall", &cancel("definition:paid")).await;
    let mut doomed =
        Program::start(&leveret.fresh, &["serve", "--roles", "bulk"], &[("FAILPOINTS", "bulk::collected=1*return")]);
    doomed.dies_at("bulk::collected", SOON).await;
    assert_eq!(leveret.count("leveret.bulk_items WHERE state = 'open'").await, 10);
    assert_eq!(ends(&leveret, &id).await["done"], json!(10));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_keeps_its_pace_and_can_be_paused_resumed_and_aborted() {
    let leveret = waiting(30).await;
    let mut slow = cancel("definition:paid");
    slow["pace"] = json!(5);
    let id = start(&leveret, "slow", &slow).await;
    work_off(&leveret).await;
    let begun = Instant::now();
    eventually("ten are done", SOON, async || {
        work_off(&leveret).await;
        job(&leveret, &id).await["done"].as_i64() >= Some(10)
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(700), "five a second: {:?}", begun.elapsed());
    let paused = leveret.post(&format!("/bulk/{id}/pause"), &json!({})).await.ok(200);
    assert_eq!(paused["state"], "paused");
    leveret.execute("UPDATE leveret.bulk_jobs SET due_at = clock_timestamp()").await;
    work_off(&leveret).await;
    assert_eq!(job(&leveret, &id).await["done"], paused["done"], "a paused job does nothing");
    leveret.post(&format!("/bulk/{id}/resume"), &json!({})).await.ok(200);
    work_off(&leveret).await;
    assert!(job(&leveret, &id).await["done"].as_i64() > paused["done"].as_i64());
    let aborted = leveret.post(&format!("/bulk/{id}/abort"), &json!({})).await.ok(200);
    assert_eq!(aborted["state"], "aborted");
    leveret.execute("UPDATE leveret.bulk_jobs SET due_at = clock_timestamp()").await;
    work_off(&leveret).await;
    let after = job(&leveret, &id).await;
    assert_eq!((&after["done"], &after["open"]), (&aborted["done"], &aborted["open"]));
    assert!(after["open"].as_i64() > Some(0), "{after}");
    leveret.post(&format!("/bulk/{id}/resume"), &json!({})).await.problem(409, "refused");
    let rest = start(&leveret, "rest", &cancel("status:running")).await;
    ends(&leveret, &rest).await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_retried_in_bulk_and_jobs_are_bounded() {
    let leveret = waiting(5).await;
    for number in 0..5 {
        leveret.start("gated", &format!("G-{number}")).await;
    }
    leveret.count_becomes(5, "leveret.instances WHERE status = 'suspended'").await;
    leveret.execute("INSERT INTO gate DEFAULT VALUES").await;
    let retry = json!({ "operation": "retry", "filter": "code:handler.closed", "items_max": 3 });
    let id = start(&leveret, "retry", &retry).await;
    let ended = ends(&leveret, &id).await;
    assert_eq!((&ended["done"], &ended["more"]), (&json!(3), &json!(true)), "{ended}");
    leveret.count_becomes(3, "leveret.instances WHERE definition = 'gated' AND status = 'completed'").await;
    let id = start(&leveret, "rest", &json!({ "operation": "retry", "filter": "code:handler.closed" })).await;
    assert_eq!(ends(&leveret, &id).await["done"], json!(2));
    leveret.count_becomes(5, "leveret.instances WHERE definition = 'gated' AND status = 'completed'").await;

    leveret.post("/bulk", &json!({ "operation": "cancel", "filter": "" })).await.problem(409, "refused");
    leveret.post("/bulk", &json!({ "operation": "remove", "filter": "key:A" })).await.problem(400, "invalid");
    leveret.post("/bulk", &cancel("stat:running")).await.problem(400, "invalid");
    for number in 0..20 {
        start(&leveret, &format!("job {number}"), &cancel("key:none")).await;
    }
    let why = leveret.post("/bulk", &cancel("key:none")).await.problem(409, "refused");
    assert!(why.contains("20 bulk jobs have not ended"), "{why}");

    let command_line = CommandLine::on(&leveret.fresh);
    let listed = command_line.json("bulk list --limit 3").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    let abort = listed["items"][0]["id"].as_str().unwrap();
    assert!(command_line.say(&format!("bulk abort {abort}")).await.good().contains("aborted"));
    let preview = ["bulk", "preview", "skip", "--filter", "definition:paid", "--result", "{}"];
    assert!(command_line.run(preview).await.good().contains("skip would be sent to 5 instances"));
    let skip = ["bulk", "start", "skip", "--filter", "definition:paid", "--activity", "payment", "--as", "ada"];
    let shown = command_line.run(skip).await.good();
    let id = leveret.lines("id", "leveret.bulk_jobs WHERE operation = 'skip'").await.pop().unwrap();
    assert!(shown.contains(&id) && shown.contains("collecting"), "{shown}");
    assert_eq!(ends(&leveret, &id).await["done"], json!(5));
    assert!(command_line.say(&format!("bulk items {id} --state done")).await.good().contains("done"));
    leveret.count_becomes(5, "leveret.instances WHERE definition = 'paid' AND status = 'completed'").await;
    leveret.close().await;
}
