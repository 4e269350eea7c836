//! A command that ends every worker that executes it is given up after a few, whatever its kind, and takes no other with it.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Processes, Program, Sender, eventually};

/// A process starts, and dies or works everything off, within this.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// More processes than any test needs.
const DEATHS_MAX: usize = 60;

/// Starts a process again and again until this holds, and says how many have died. Those that die do so at a fail point.
pub(super) async fn deaths_until(
    processes: &Processes,
    settings: &[(&str, &str)],
    holds: impl AsyncFn() -> bool,
) -> usize {
    deaths_of(|| processes.serve(settings), holds).await
}

pub(super) async fn deaths_of(start: impl Fn() -> Program, holds: impl AsyncFn() -> bool) -> usize {
    for deaths in 0..DEATHS_MAX {
        let mut doomed = start();
        tokio::select! {
            status = doomed.wait_within(WITHIN) => assert!(died(&doomed), "{status}; it said:\n{}", doomed.output()),
            () = eventually("it is given up", WITHIN, &holds) => {
                doomed.terminate();
                let status = doomed.wait_within(WITHIN).await;
                // The role timers may have written the wake-up once more before it was given up: that one kills as well.
                assert!(status.success() || died(&doomed), "{status}; it said:\n{}", doomed.output());
                return deaths;
            }
        }
    }
    panic!("{DEATHS_MAX} processes have died");
}

/// Whether it has ended at a fail point.
fn died(program: &Program) -> bool {
    program.output().contains("killed at a fail point")
}

/// Every command from outside, and a body. None of them gets as far as being executed.
fn poisons() -> Vec<(&'static str, Value)> {
    let nobody = Uuid::now_v7();
    let (target, task, call) = (
        json!({ "instance": nobody }),
        json!({ "task": nobody, "user": "mia" }),
        json!({ "call": nobody, "token": "1-2" }),
    );
    vec![
        ("start", json!({ "definition": "line", "key": "poison" })),
        ("message", json!({ "name": "paid", "key": "nobody" })),
        ("cancel", target.clone()),
        ("retry", target.clone()),
        ("suspend", target.clone()),
        ("resume", target.clone()),
        ("terminate", target.clone()),
        ("skip", target),
        ("jump", json!({ "instance": nobody, "activity": "a" })),
        ("rerun", json!({ "instance": nobody, "activity": "a" })),
        ("variables.set", json!({ "instance": nobody, "variables": { "a": 1 } })),
        ("queue.set", json!({ "instance": nobody, "queue": "slow" })),
        ("incident.resolve", json!({ "instance": nobody, "action": "retry" })),
        ("priority.set", json!({ "instance": nobody, "priority": 5 })),
        ("timer.reschedule", json!({ "instance": nobody, "bookmark": 1, "after": "1h" })),
        ("task.complete", task.clone()),
        ("task.claim", task.clone()),
        ("task.release", task),
        ("call.complete", call.clone()),
        ("call.heartbeat", call.clone()),
        ("call.progress", call),
    ]
}

#[tokio::test]
async fn every_kind_of_command_that_kills_its_workers_is_a_dead_letter_after_a_few_and_others_are_not() {
    let processes = Processes::new().await;
    let sender = Sender::connect(&processes.fresh.amqp_url, &processes.fresh.prefix).await;
    let poisons = poisons();
    let count = i64::try_from(poisons.len()).unwrap();
    let mut fail_points = Vec::new();
    for (number, (kind, body)) in poisons.iter().enumerate() {
        let (key, id) = (format!("{kind}.poison"), format!("poison {kind}"));
        sender.send("commands", &key, Sender::properties(kind, &id), body.to_string().as_bytes()).await;
        processes.start("line", &format!("beside {number}"), json!({})).await;
        fail_points.push(format!("worker::executes {key}=return"));
    }
    // All are suspect from the beginning: none ends the worker uncounted while another is given up.
    sender.give_back("commands", 2 * poisons.len()).await;
    let fail_points = fail_points.join(";");
    let settings = [
        ("FAILPOINTS", fail_points.as_str()),
        // So the last crash of each happens while nothing else runs: no other is blamed for it.
        ("LEVERET_WORKER__CRASH_MAX", "2"),
    ];
    let done = async || processes.count("leveret.dead_letters").await == count && processes.ended().await == count;
    let deaths = deaths_until(&processes, &settings, done).await;
    // Each kills twice, and is given up when it is begun for the third time.
    assert_eq!(deaths, 2 * poisons.len());
    let letters = processes.lines("SELECT kind || ': ' || reason AS line FROM leveret.dead_letters ORDER BY id").await;
    for (kind, _) in &poisons {
        let says = format!("{kind}: 3 workers ended while they executed the command `{kind}` from `commands`");
        assert!(letters.iter().any(|letter| letter.starts_with(&says)), "{kind}: {letters:#?}");
    }
    assert_eq!(processes.count("leveret.instances WHERE status = 'completed'").await, count);
    assert_eq!(processes.count("leveret.suspects").await, 0);
    processes.queues_are_empty().await;
}

#[tokio::test]
async fn a_start_that_kills_its_workers_is_answered_after_six_and_a_repetition_kills_none() {
    let processes = Processes::new().await;
    let sender = Sender::connect(&processes.fresh.amqp_url, &processes.fresh.prefix).await;
    let send = async || {
        let asking = sender.asking(Sender::properties("start", "poison"), "poison");
        sender.send("commands", "start.poison", asking, json!({ "definition": "line" }).to_string().as_bytes()).await;
    };
    send().await;
    let settings = [("FAILPOINTS", "worker::executes start.poison=return")];
    let done = async || processes.count("leveret.dead_letters").await == 1;
    assert_eq!(deaths_until(&processes, &settings, done).await, 6);
    send().await;
    let mut last = processes.serve(&[]);
    let answers = sender.answers(2).await;
    for (_, answer) in &answers {
        assert_eq!(answer["outcome"], "refused", "{answers:?}");
        assert!(answer["reason"].as_str().unwrap().starts_with("6 workers ended"), "{answers:?}");
    }
    assert_eq!(processes.count("leveret.instances").await, 0);
    assert_eq!(processes.count("leveret.dead_letters").await, 1);
    last.stops_in_order().await;
    processes.queues_are_empty().await;
}

#[tokio::test]
async fn a_wake_up_that_kills_its_workers_opens_an_incident_at_the_activity_that_waits() {
    let processes = Processes::new().await;
    processes.apply("name: naps\nactivities: [{ id: nap, wait: { for: 300ms } }]").await;
    processes.start("naps", "A", json!({})).await;
    let settings = [("FAILPOINTS", "worker::executes fire=return"), ("LEVERET_WORKER__CRASH_MAX", "1")];
    let suspended = async || processes.count("leveret.instances WHERE status = 'suspended'").await == 1;
    let deaths = deaths_until(&processes, &settings, suspended).await;
    assert!((2..=4).contains(&deaths), "{deaths} deaths");
    let incident = "SELECT (details->>'code') || ' at ' || activity AS line FROM leveret.bookmarks \
                    WHERE kind = 'intervention' AND consumed_at IS NULL";
    assert_eq!(processes.lines(incident).await, ["worker.gave_up at nap"]);
    let mut last = processes.serve(&[]);
    let target = serde_json::from_value(json!({ "definition": "naps", "key": "A" })).unwrap();
    processes.client.retry("again", &target).await.unwrap();
    processes.all_ended(1, WITHIN).await;
    last.stops_in_order().await;
}

#[tokio::test]
async fn a_tick_that_kills_its_process_is_given_up_and_the_next_one_is_tried() {
    let processes = Processes::new().await;
    let mut api = processes.serve_roles("api", &[]);
    let address = api.serves().await.unwrap();
    let schedule = json!({ "definition": "line", "cron": "0 * * * *", "overlap": "allow", "catch_up": "3h" });
    let put = reqwest::Client::new()
        .put(format!("http://{address}/api/v1/schedules/nightly"))
        .header("content-type", "application/json")
        .body(schedule.to_string());
    let status = put.send().await.unwrap().status();
    assert!(status.is_success(), "{status}");
    api.stops_in_order().await;
    // The tick of this hour, whatever claim a dead process has left.
    let due = "UPDATE leveret.schedules SET next_at = date_trunc('hour', now()), wake_at = now()";
    let settings = [("FAILPOINTS", "step::before_commit=return"), ("LEVERET_WORKER__CRASH_MAX", "1")];
    let failed = async || processes.count("leveret.schedules WHERE last_error IS NOT NULL").await == 1;
    for death in 0.. {
        processes.lines(&format!("WITH due AS ({due} RETURNING name) SELECT name AS line FROM due")).await;
        let mut doomed = processes.serve_roles("timers", &settings);
        tokio::select! {
            _ = doomed.wait_within(WITHIN) => assert!(death < 3, "it was not given up"),
            () = eventually("it is given up", WITHIN, &failed) => {
                doomed.stops_in_order().await;
                assert_eq!(death, 2);
                break;
            }
        }
    }
    let why = processes.lines("SELECT last_error AS line FROM leveret.schedules").await;
    assert!(why[0].contains("2 workers ended while they executed this tick of the schedule `nightly`"), "{why:?}");
    assert_eq!(processes.count("leveret.suspects").await, 0);
}
