//! Calls of several activities to one target: a limit group that waits does not delay others.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::target::{Play, Target};
use crate::support::{Fresh, InProcess, eventually};

/// Shorter than the time in which an unused claim expires.
const SOON: Duration = Duration::from_secs(10);

async fn leveret(change: impl FnOnce(&mut leveret::config::Config)) -> InProcess {
    InProcess::with_ledger_on(Fresh::new().await, |config| {
        config.outgoing.allow_addresses = vec!["127.0.0.1".parse().unwrap()];
        change(config);
    })
    .await
}

/// Applies a definition of one activity, whose URL contains the key of its instance.
async fn asks(leveret: &InProcess, name: &str, target: &Target, limits: &str) {
    let url = target.url(&format!("/{name}/${{ instance.key }}"));
    leveret
        .apply(&format!(
            "name: {name}\nactivities:\n  - id: ask\n    http: {{ method: GET, url: \"{url}\" }}\n    timeout: 60s\n    {limits}\n"
        ))
        .await;
}

async fn start(leveret: &InProcess, definition: &str, count: usize) {
    for number in 0..count {
        leveret.start(definition, &format!("{definition}-{number}")).await;
    }
}

async fn completed(leveret: &InProcess, definition: &str, count: i64) {
    let ended = format!("leveret.instances WHERE definition = '{definition}' AND status = 'completed'");
    let what = format!("{count} of `{definition}` have ended");
    eventually(&what, SOON, async || leveret.count(&ended).await == count).await;
}

async fn waiting(leveret: &InProcess, definition: &str, count: i64) {
    leveret
        .count_becomes(count, &format!("leveret.calls WHERE definition = '{definition}' AND state = 'pending'"))
        .await;
}

/// The row of a target and key in the list.
async fn listed(leveret: &InProcess, target: &str, key: Option<&str>) -> Value {
    let listed = leveret.get("/targets").await.ok(200);
    let items = listed["items"].as_array().unwrap();
    let found = items.iter().find(|one| one["target"] == target && one["key"].as_str() == key);
    found.cloned().unwrap_or_else(|| panic!("{target} {key:?} is missing in {items:?}"))
}

#[tokio::test]
async fn a_rate_of_one_activity_delays_no_other_activity_of_that_target() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let leveret = leveret(|_| {}).await;
    asks(&leveret, "hourly", &target, "limits: { rate: 1/h }").await;
    asks(&leveret, "free", &target, "").await;
    asks(&leveret, "quick", &target, "limits: { rate: 50/s }").await;
    asks(&leveret, "keyed", &target, "limits: { rate: 1/h, key: '${ instance.key }' }").await;
    start(&leveret, "hourly", 4).await;
    completed(&leveret, "hourly", 1).await;
    waiting(&leveret, "hourly", 3).await;
    for other in ["free", "keyed", "quick"] {
        start(&leveret, other, 4).await;
        completed(&leveret, other, 4).await;
    }
    waiting(&leveret, "hourly", 3).await;
}

#[tokio::test]
async fn a_concurrency_of_one_activity_delays_no_other_activity_of_that_target() {
    let target = Target::playing(|asked| match asked.line.contains("/held/") {
        true => Play::Silent,
        false => Play::ok("{}"),
    })
    .await;
    let leveret = leveret(|_| {}).await;
    asks(&leveret, "held", &target, "limits: { concurrency: 2 }").await;
    asks(&leveret, "free", &target, "").await;
    start(&leveret, "held", 6).await;
    waiting(&leveret, "held", 4).await;
    start(&leveret, "free", 20).await;
    completed(&leveret, "free", 20).await;
    assert_eq!(target.asked().iter().filter(|asked| asked.line.contains("/held/")).count(), 2);
}

#[tokio::test]
async fn concurrency_is_not_exceeded_and_is_listed() {
    let target = Target::playing(|_| Play::Late(Duration::from_millis(100), "{}")).await;
    let leveret = leveret(|_| {}).await;
    asks(&leveret, "two", &target, "limits: { concurrency: 2 }").await;
    start(&leveret, "two", 20).await;
    completed(&leveret, "two", 20).await;
    assert_eq!((target.busiest(), target.times()), (2, 20));
    let name = format!("http://{}", target.address);
    assert_eq!(listed(&leveret, &name, None).await["concurrency"], 2);
    asks(&leveret, "eu", &target, "limits: { concurrency: 1, key: eu }").await;
    start(&leveret, "eu", 3).await;
    completed(&leveret, "eu", 3).await;
    let row = listed(&leveret, &name, Some("eu")).await;
    assert_eq!((&row["concurrency"], &row["running"], &row["waiting"]), (&json!(1), &json!(0), &json!(0)));
    leveret.close().await;
}

#[tokio::test]
async fn the_call_that_waits_longest_is_next() {
    let target = Target::playing(|_| Play::Late(Duration::from_millis(150), "{}")).await;
    let leveret = leveret(|_| {}).await;
    asks(&leveret, "one", &target, "limits: { concurrency: 1 }").await;
    for number in 0..12 {
        leveret.start("one", &format!("one-{number}")).await;
        leveret.count_becomes(number + 1, "leveret.calls").await;
    }
    completed(&leveret, "one", 12).await;
    let asked: Vec<i64> = target.asked().iter().map(|asked| number(&asked.line)).collect();
    // The call that finds out whether there is room may be overtaken by the next one.
    let near = (0i64..).zip(&asked).all(|(place, number)| place.abs_diff(*number) <= 2);
    assert!(near && asked.len() == 12, "{asked:?}");
}

/// The number at the end of the path.
fn number(line: &str) -> i64 {
    line.split(' ').nth(1).and_then(|path| path.rsplit('-').next()).unwrap().parse().unwrap()
}

#[tokio::test]
async fn limits_of_an_external_worker_hold_although_all_slots_for_requests_are_taken() {
    let target = Target::playing(|_| Play::Silent).await;
    let leveret = leveret(|config| config.calls.concurrency = 1).await;
    asks(&leveret, "silent", &target, "").await;
    start(&leveret, "silent", 3).await;
    target.is_asked(1, SOON).await;
    leveret
        .apply("name: packing\nactivities:\n  - id: pack\n    call: { name: pack, input: null }\n    limits: { concurrency: 2 }\n")
        .await;
    start(&leveret, "packing", 5).await;
    let running = "leveret.calls WHERE kind = 'work' AND state = 'running'";
    leveret.count_becomes(2, running).await;
    waiting(&leveret, "packing", 3).await;
    let row = listed(&leveret, "work:pack", None).await;
    assert_eq!((&row["concurrency"], &row["running"], &row["waiting"]), (&json!(2), &json!(2), &json!(3)));
    // Each call that ends makes room for one that begins.
    for ended in 1..=3 {
        let id = leveret.lines("id", &format!("{running} ORDER BY begun_at LIMIT 1")).await.remove(0);
        let told = json!({ "outcome": "succeeded", "result": null, "reason": "seen" });
        leveret.post(&format!("/calls/{id}/resolve"), &told).await.ok(200);
        completed(&leveret, "packing", ended).await;
        let begun = "leveret.calls WHERE kind = 'work' AND begun_at IS NOT NULL";
        leveret.count_becomes(2 + ended, begun).await;
        assert_eq!(leveret.count(running).await, 2);
    }
    assert_eq!(target.times(), 1);
}

#[tokio::test]
async fn a_call_that_cannot_be_begun_delays_no_other() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let leveret = leveret(|_| {}).await;
    asks(&leveret, "hourly", &target, "limits: { rate: 1/h }").await;
    start(&leveret, "hourly", 6).await;
    completed(&leveret, "hourly", 1).await;
    waiting(&leveret, "hourly", 5).await;
    // The first due call has a key that is too long for an index, as only an older version could have written it.
    let long = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) AS n)";
    leveret
        .execute(&format!(
            "WITH bad AS (SELECT id FROM leveret.calls WHERE state = 'pending' ORDER BY id LIMIT 1) \
             UPDATE leveret.calls AS c SET \
               limits = CASE WHEN c.id = bad.id THEN c.limits || jsonb_build_object('key', {long}) END, \
               next_at = CASE WHEN c.id = bad.id THEN now() - interval '1 minute' ELSE now() END \
             FROM bad WHERE c.state = 'pending'"
        ))
        .await;
    completed(&leveret, "hourly", 5).await;
    waiting(&leveret, "hourly", 1).await;
}
