//! Limits of starts: refused over HTTP and on the command line, put off over the broker, and worked off afterwards.

use std::time::{Duration, Instant};

use leveret::handlers::Handlers;
use leveret::roles::Role;
use serde_json::json;

use crate::support::{CommandLine, Fresh, InProcess, SOON, Sender, eventually};

const LONG: Duration = Duration::from_secs(60);

fn document(name: &str, limits: &str, activity: &str) -> String {
    format!("name: {name}\nlimits: {limits}\nactivities:\n  - {activity}\n")
}

const QUICK: &str = "{ id: rest, wait: { for: 10ms } }";
const WAITS: &str = "{ id: rest, receive: { name: done } }";

async fn send(leveret: &InProcess, definition: &str, key: &str) {
    let body = json!({ "definition": definition, "key": key }).to_string();
    let properties = Sender::properties("start", key);
    leveret.sender.send("commands", &format!("start.{definition}"), properties, body.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_over_the_rate_of_its_definition_is_refused_with_the_time_of_the_next_place() {
    let leveret = InProcess::new().await;
    leveret.apply(&document("slow", "{ starts: 2/m }", QUICK)).await;
    leveret.apply("name: free\nactivities: [{ id: rest, wait: { for: 10ms } }]").await;
    let start = json!({ "definition": "slow", "key": "A" });
    let first = leveret.post_as("first", "/instances", &start).await.ok(201);
    let second = leveret.post("/instances", &json!({ "definition": "slow" })).await;
    let after: u64 = second.retry_after.parse().unwrap();
    assert!((1..=31).contains(&after), "{second:?}");
    let why = second.problem(429, "limited");
    assert!(why.contains("definition `slow`") && why.contains("`limits.starts`"), "{why}");
    // A repetition starts nothing, and gets its answer.
    assert_eq!(leveret.post_as("first", "/instances", &start).await.ok(201)["id"], first["id"]);
    leveret.post("/instances", &json!({ "definition": "free" })).await.ok(201);
    let said = CommandLine::on(&leveret.fresh).say("instance start slow").await.failed();
    assert!(said.contains("try again at"), "{said}");
    leveret.count_becomes(2, "leveret.instances WHERE status = 'completed'").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_instances_live_than_the_definition_says() {
    let leveret = InProcess::new().await;
    leveret.apply(&document("few", "{ live: 2 }", WAITS)).await;
    for key in ["A", "B"] {
        leveret.post("/instances", &json!({ "definition": "few", "key": key })).await.ok(201);
        leveret.reaches(key, "running at rest").await;
    }
    let third = json!({ "definition": "few", "key": "C" });
    let why = leveret.post("/instances", &third).await.problem(429, "limited");
    assert!(why.contains("2 instances of definition `few` are live"), "{why}");
    leveret.post("/messages", &json!({ "name": "done", "key": "A" })).await.ok(200);
    leveret.reaches("A", "completed").await;
    eventually("the next may start", SOON, async || leveret.post("/instances", &third).await.status == 201).await;
    for key in ["B", "C"] {
        leveret.reaches(key, "running at rest").await;
        leveret.post("/messages", &json!({ "name": "done", "key": key })).await.ok(200);
    }
    leveret.count_becomes(3, "leveret.instances WHERE status = 'completed'").await;
    leveret.close().await;
}

/// Over the broker a start takes its place and waits for it: none is lost, the order stays, and each goes round once.
#[tokio::test(flavor = "multi_thread")]
async fn starts_over_the_broker_wait_for_their_places_in_order() {
    const RATE: i64 = 5;
    const STARTS: i64 = 25;
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    // What is handled at once takes its place in any order.
    config.worker.concurrency = 1;
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    leveret.apply(&document("paced", &format!("{{ starts: {RATE}/s }}"), QUICK)).await;
    for number in 0..STARTS {
        send(&leveret, "paced", &format!("{number:02}")).await;
    }
    let all = async || leveret.count("leveret.instances WHERE status = 'completed'").await == STARTS;
    eventually("all have started", LONG, all).await;
    let took =
        "(SELECT extract(epoch FROM max(started_at) - min(started_at)) * 1000 AS ms FROM leveret.instances) AS took";
    let took: f64 = leveret.lines("ms::float8::text", took).await[0].parse().unwrap();
    println!("{STARTS} starts at {RATE} a second took {took} ms");
    assert!(took >= 1_000.0 * (STARTS - RATE - 1) as f64 / RATE as f64, "{took} ms");
    let order = leveret.lines("key", "leveret.instances ORDER BY started_at").await;
    let displaced = order.iter().enumerate().map(|(place, key)| place.abs_diff(key.parse::<usize>().unwrap())).max();
    assert!(displaced.is_some_and(|places| places <= 5), "displaced by {displaced:?}: {order:?}");
    let metrics = leveret.text("/metrics").await;
    let put_off = metrics.lines().find_map(|line| line.strip_prefix("leveret_starts_put_off_total ")).unwrap();
    assert!(put_off.parse::<i64>().unwrap() <= STARTS, "each at most once: {put_off}");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_over_the_broker_and_from_sql_wait_until_others_have_ended() {
    let leveret = InProcess::new().await;
    leveret.apply(&document("few", "{ live: 3 }", "{ id: rest, wait: { for: 400ms } }")).await;
    for number in 0..6 {
        send(&leveret, "few", &format!("amqp {number}")).await;
    }
    let from_sql =
        "DO $$ BEGIN PERFORM leveret.start('few', key => 'sql ' || n) FROM generate_series(1, 3) AS n; END $$";
    leveret.execute(from_sql).await;
    let mut most = 0;
    let done = async || {
        most = most.max(leveret.count("leveret.instances WHERE ended_at IS NULL").await);
        leveret.count("leveret.instances WHERE status = 'completed'").await == 9
    };
    eventually("all have ended", LONG, done).await;
    assert!((1..=3).contains(&most), "{most} lived at once");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_limits_of_its_own_whatever_it_starts() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    (config.limits.starts_per_sender, config.limits.live_per_sender) = (2, 3);
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    for name in ["one", "two"] {
        leveret.apply(&format!("name: {name}\nactivities:\n  - {WAITS}\n")).await;
    }
    let start = async |definition: &str| {
        let key = format!("{:08x}", fastrand::u32(..));
        leveret.post("/instances", &json!({ "definition": definition, "key": key })).await
    };
    let mut refused = Vec::new();
    let begun = Instant::now();
    while leveret.count("leveret.instances").await < 3 {
        let reply = start(if refused.len() % 2 == 0 { "one" } else { "two" }).await;
        if reply.status != 201 {
            refused.push(reply.problem(429, "limited"));
        }
        assert!(begun.elapsed() < LONG);
    }
    assert!(refused.iter().all(|why| why.contains("sender `leveret.http` may start 2 instances")), "{refused:?}");
    let why = start("two").await.problem(429, "limited");
    assert!(why.contains("3 instances of sender `leveret.http` are live"), "{why}");
    // Another sender is another.
    let body = json!({ "definition": "one", "key": "other" }).to_string();
    leveret.sender.send("commands", "start.one", Sender::properties("start", "other"), body.as_bytes()).await;
    leveret.count_becomes(4, "leveret.instances").await;
    leveret.stop().await;
}

/// Nothing waits for ever: what would wait for longer than an hour is told at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_would_wait_for_too_long_is_a_dead_letter() {
    let leveret = InProcess::new().await;
    leveret.apply(&document("daily", "{ starts: 1/d }", QUICK)).await;
    send(&leveret, "daily", "today").await;
    leveret.count_becomes(1, "leveret.instances WHERE status = 'completed'").await;
    send(&leveret, "daily", "tomorrow").await;
    leveret.count_becomes(1, "leveret.dead_letters").await;
    let reason = leveret.lines("reason", "leveret.dead_letters").await;
    assert!(reason[0].contains("definition `daily` may start 1 instances"), "{reason:?}");
    leveret.execute("DELETE FROM leveret.dead_letters").await;
    leveret.close().await;
}
