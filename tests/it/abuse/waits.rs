//! Requests that wait for the end of an instance: each holds a connection, for up to a minute.

use std::time::{Duration, Instant};

use leveret::handlers::Handlers;
use leveret::roles::Role;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Fresh, InProcess, SOON, eventually};

const RESTING: &str = "
name: resting
activities:
  - { id: rest, receive: { name: wake } }
";
/// The waits of a test that counts statements.
const WAITS: usize = 60;

/// A process that allows this number of waits.
async fn allowing(waits: usize) -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.http.waits_max = waits;
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    leveret.apply(RESTING).await;
    leveret
}

/// A start that waits, in the background.
fn waits_in(tasks: &mut JoinSet<(StatusCode, Value)>, leveret: &InProcess, key: &str) {
    let body = json!({ "definition": "resting", "key": key });
    let request = Client::new().post(leveret.url("/instances?wait=60s")).json(&body);
    tasks.spawn(async move {
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    });
}

async fn wake(leveret: &InProcess, key: &str) {
    leveret.post("/messages", &json!({ "name": "wake", "key": key })).await.ok(200);
}

#[tokio::test]
async fn a_wait_beyond_the_bound_starts_nothing_and_may_come_again() {
    let leveret = allowing(2).await;
    let mut waiting = JoinSet::new();
    for key in ["A", "B"] {
        waits_in(&mut waiting, &leveret, key);
        leveret.reaches(key, "running at rest").await;
    }
    let body = json!({ "definition": "resting", "key": "C" });
    let refused = Client::new().post(leveret.url("/instances?wait=1s")).json(&body).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["type"], "urn:leveret:full");
    assert!(refused["detail"].as_str().unwrap().contains("`http.waits_max`"), "{refused}");
    assert_eq!(leveret.id("C").await, None, "nothing was started");
    // Everything else is answered.
    leveret.post("/instances", &json!({ "definition": "resting", "key": "D" })).await.ok(201);
    leveret.get("/livez").await.ok(200);
    wake(&leveret, "A").await;
    let (status, ended) = waiting.join_next().await.unwrap().unwrap();
    assert_eq!((status, &ended["key"], &ended["status"]), (StatusCode::CREATED, &json!("A"), &json!("completed")));
    // Its seat is free again.
    leveret.post("/instances?wait=1ms", &body).await.ok(201);
    for key in ["B", "C", "D"] {
        wake(&leveret, key).await;
    }
    waiting.join_next().await.unwrap().unwrap();
    leveret.close().await;
}

#[tokio::test]
async fn an_end_that_another_process_commits_is_found() {
    let leveret = allowing(10).await;
    let mut waiting = JoinSet::new();
    for key in ["A", "B"] {
        waits_in(&mut waiting, &leveret, key);
        leveret.reaches(key, "running at rest").await;
    }
    // As another process would, of which this one hears nothing.
    let began = Instant::now();
    leveret.execute("UPDATE leveret.instances SET status = 'completed', ended_at = now() WHERE key = 'A'").await;
    let (_, ended) = waiting.join_next().await.unwrap().unwrap();
    assert_eq!((&ended["key"], &ended["status"]), (&json!("A"), &json!("completed")));
    assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    assert!(waiting.try_join_next().is_none(), "the other one waits");
    leveret.stop().await;
    // A process that stops answers those who wait, with the instance as it is.
    let (status, view) = waiting.join_next().await.unwrap().unwrap();
    assert_eq!((status, &view["key"], &view["status"]), (StatusCode::CREATED, &json!("B"), &json!("running")));
}

#[tokio::test]
async fn many_waits_take_no_more_statements_than_one() {
    let leveret = allowing(WAITS).await;
    // Transactions of this database; a session reports them when it is idle.
    let transactions = async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let column = "(xact_commit + xact_rollback)::text";
        leveret.lines(column, "pg_stat_database WHERE datname = current_database()").await[0].parse::<i64>().unwrap()
    };
    let mut waiting = JoinSet::new();
    waits_in(&mut waiting, &leveret, "first");
    leveret.reaches("first", "running at rest").await;
    let with_one = -transactions().await + transactions().await;
    for number in 1..WAITS {
        waits_in(&mut waiting, &leveret, &format!("K{number}"));
    }
    leveret.count_becomes(WAITS as i64, "leveret.instances").await;
    let with_many = -transactions().await + transactions().await;
    // Four looks a second and wait would be 700 more.
    assert!(with_many < with_one + 150, "{with_many} with {WAITS} waits, {with_one} with one");
    let rested = async || leveret.count("leveret.bookmarks WHERE consumed_at IS NULL").await == WAITS as i64;
    eventually("all of them rest", SOON, rested).await;
    leveret.execute("UPDATE leveret.instances SET status = 'cancelled', ended_at = now()").await;
    while let Some(ended) = waiting.join_next().await {
        assert_eq!(ended.unwrap().1["status"], "cancelled");
    }
    leveret.stop().await;
}
