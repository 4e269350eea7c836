//! The caller is killed at each of its fail points: the outcome is recorded once, attempts never exceed the policy, and the
//! key never changes. (F25: between mark and request. F26: the response is lost. F27: answered, not recorded. F28: recorded.)

use serde_json::json;

use super::*;
use crate::support::{Fault, Processes, eventually};

/// Roles of the process that dies, and of its successor.
const ROLES: &str = "worker,relay,timers,caller,api";

const SETTINGS: [(&str, &str); 3] = [
    ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.0/8"),
    ("LEVERET_CALLS__SWEEP_EVERY", "200ms"),
    ("LEVERET_RETRY__BASE", "100ms"),
];

fn document(http: &str) -> String {
    asking(&format!("http: {{ {http} }}\n    timeout: 2s\n    on_error: [{{ output: {{ body: error.code }} }}]"))
}

/// Kills the process at a fail point and lets another continue; returns the requests that the target received.
async fn killed_at(fault: &mut Fault, point: &str, http: &str) -> (Processes, Vec<Asked>) {
    let processes = Processes::new().await;
    processes.apply(&document(http)).await;
    let target = Target::playing(|_| Play::ok("\"done\"")).await;
    let points = format!("{point}=1*return");
    let settings: Vec<_> = SETTINGS.iter().copied().chain([("FAILPOINTS", points.as_str())]).collect();
    let mut doomed = processes.serve_roles(ROLES, &settings);
    processes.start("ask", "one", json!({ "url": target.url("/") })).await;
    doomed.dies_at(point, SOON).await;
    fault.fired(1);
    let mut next = processes.serve_roles(ROLES, &SETTINGS);
    // Everything may have ended already, but a process must run before it can be stopped.
    next.serves().await;
    processes.all_ended(1, Duration::from_secs(60)).await;
    fault.recovered();
    next.stops_in_order().await;
    (processes, target.asked())
}

async fn assert_completed_once(processes: &Processes, asked: &[Asked], requests: usize) {
    assert_eq!(asked.len(), requests);
    let id = processes.lines("SELECT id::text AS line FROM leveret.calls").await;
    assert_eq!(id.len(), 1);
    assert!(asked.iter().all(|asked| asked.header("idempotency-key") == Some(id[0].as_str())));
    let completed = "leveret.history WHERE kind = 'ActivityCompleted' AND activity = 'ask'";
    assert_eq!(processes.count(completed).await, 1, "recorded once");
    assert_eq!(processes.count("leveret.calls WHERE state = 'succeeded' AND attempt <= 3").await, 1);
    assert_eq!(processes.count("leveret.instances WHERE output = '\"done\"'").await, 1);
    assert_eq!(processes.count("leveret.bookmarks WHERE consumed_at IS NULL").await, 0);
}

const GET: &str = "url: '${ url }'";
const POST: &str = "method: POST, url: '${ url }', idempotent: true";

#[tokio::test]
async fn an_attempt_that_was_not_marked_is_made_by_another_process() {
    let mut fault = Fault::new("kill -9 between the claim of a call and its mark", "F25", "I1 I9");
    let (processes, asked) = killed_at(&mut fault, "caller::claimed", GET).await;
    assert_completed_once(&processes, &asked, 1).await;
    assert_eq!(processes.count("leveret.history WHERE kind = 'CallUnknown'").await, 0, "certainly nothing was sent");
    fault.held();
}

#[tokio::test]
async fn an_attempt_that_was_marked_and_not_sent_is_unknown() {
    let mut fault = Fault::new("kill -9 between the mark of an attempt and its request", "F25", "I1 I9");
    let (processes, asked) = killed_at(&mut fault, "caller::marked", POST).await;
    assert_completed_once(&processes, &asked, 1).await;
    assert_eq!(processes.count("leveret.history WHERE kind = 'CallUnknown'").await, 1);
    assert_eq!(asked[0].header("leveret-attempt"), Some("2"));
    fault.held();
}

#[tokio::test]
async fn an_outcome_that_was_not_recorded_is_retried_with_the_same_key() {
    let mut fault = Fault::new("kill -9 between response and record", "F27", "I1 I9");
    let (processes, asked) = killed_at(&mut fault, "caller::answered", POST).await;
    assert_completed_once(&processes, &asked, 2).await;
    fault.held();
}

#[tokio::test]
async fn a_recorded_outcome_is_not_requested_again() {
    let mut fault = Fault::new("kill -9 after the record of an outcome", "F28", "I1 I9");
    let (processes, asked) = killed_at(&mut fault, "caller::recorded", POST).await;
    assert_completed_once(&processes, &asked, 1).await;
    fault.held();
}

#[tokio::test]
async fn attempts_of_killed_callers_count_and_never_exceed_the_policy() {
    let mut fault = Fault::new("kill -9 of every caller that has a response", "F27", "I9");
    let processes = Processes::new().await;
    processes.apply(&document(POST)).await;
    let target = Target::playing(|_| Play::ok("1")).await;
    processes.start("ask", "one", json!({ "url": target.url("/") })).await;
    for _ in 0..3 {
        let points = [("FAILPOINTS", "caller::answered=1*return")];
        let settings: Vec<_> = SETTINGS.iter().copied().chain(points).collect();
        let mut doomed = processes.serve_roles(ROLES, &settings);
        doomed.dies_at("caller::answered", SOON).await;
        fault.fired_times(1, 1);
    }
    let mut last = processes.serve_roles(ROLES, &SETTINGS);
    processes.all_ended(1, Duration::from_secs(60)).await;
    last.stops_in_order().await;
    assert_eq!(target.asked().len(), 3);
    assert_eq!(processes.lines("SELECT output::text AS line FROM leveret.instances").await, ["\"timeout\""]);
    fault.held();
}

#[tokio::test]
async fn a_lost_response_to_a_non_idempotent_request_suspends_after_a_crash_too() {
    let processes = Processes::new().await;
    processes.apply(&document("method: POST, url: '${ url }'")).await;
    let target = Target::playing(|_| Play::ok("1")).await;
    processes.start("ask", "one", json!({ "url": target.url("/") })).await;
    let settings: Vec<_> = SETTINGS.iter().copied().chain([("FAILPOINTS", "caller::answered=1*return")]).collect();
    let mut doomed = processes.serve_roles(ROLES, &settings);
    doomed.dies_at("caller::answered", SOON).await;
    let mut next = processes.serve_roles(ROLES, &SETTINGS);
    let suspended = async || processes.count("leveret.instances WHERE status = 'suspended'").await == 1;
    eventually("it waits for a person", Duration::from_secs(60), suspended).await;
    next.stops_in_order().await;
    assert_eq!(target.asked().len(), 1, "not sent again");
    assert_eq!(processes.count("leveret.calls WHERE state = 'unknown'").await, 1);
}

#[tokio::test]
async fn a_request_that_announces_a_callback_expires_long_before_the_callback() {
    let processes = Processes::new().await;
    let http = "method: POST, url: '${ url }', await: callback, on_unknown: fail";
    processes.apply(&document(http).replace("timeout: 2s", "timeout: 2d")).await;
    let target = Target::playing(|_| Play::status(202)).await;
    processes.start("ask", "one", json!({ "url": target.url("/") })).await;
    let limits = SETTINGS.iter().copied().chain([("LEVERET_TIMEOUTS__HTTP", "1s")]);
    let settings: Vec<_> = limits.clone().chain([("FAILPOINTS", "caller::marked=1*return")]).collect();
    let mut doomed = processes.serve_roles(ROLES, &settings);
    doomed.dies_at("caller::marked", SOON).await;
    let settings: Vec<_> = limits.collect();
    let mut next = processes.serve_roles(ROLES, &settings);
    next.serves().await;
    processes.all_ended(1, Duration::from_secs(60)).await;
    next.stops_in_order().await;
    assert_eq!(processes.lines("SELECT output::text AS line FROM leveret.instances").await, ["\"timeout\""]);
    assert!(target.asked().is_empty());
}
