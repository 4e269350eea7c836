//! A worker that is stopped during its work, and one that is frozen for longer than its heartbeat.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::ENDS_WITHIN;
use crate::support::{Fault, Processes, Program, eventually};

/// The broker closes the connection of a client that missed two heartbeats (10 s).
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(35);

/// Publishes orders that are paid already, and as many lines: nothing in them waits, so that no timer outlives them.
async fn ask(processes: &Processes, count: i64) {
    let keys: Vec<String> = (0..count / 2).map(|number| format!("busy-{number}")).collect();
    for key in &keys {
        processes.pay(key).await;
    }
    let kept = async || processes.count("leveret.messages").await == count / 2;
    eventually("every payment is kept", ENDS_WITHIN, kept).await;
    for key in &keys {
        tokio::join!(processes.order(key, "8s"), processes.start("line", key, json!({})));
    }
}

/// Queues from which a process has received redelivered messages, and how many.
async fn redelivered(program: &Program) -> Vec<String> {
    let address = program.address().expect("it has said where it listens");
    let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let counts = text
        .lines()
        .filter(|line| line.starts_with("leveret_deliveries_total") && line.contains("redelivered=\"true\""));
    counts.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_stop_by_sigterm_redelivers_nothing() {
    let mut fault = Fault::new("SIGTERM with steps in flight", "F11", "I1 I2 I3 I4");
    let processes = Processes::new().await;
    let mut first = processes.serve(&[]);
    ask(&processes, 100).await;
    eventually("it works", ENDS_WITHIN, async || processes.count("leveret.instances").await >= 10).await;
    first.stops_in_order().await;
    let alive = 100 - processes.ended().await;
    assert!(alive > 0, "everything had ended before it was asked to stop");
    fault.fired(alive);
    let mut next = processes.serve(&[]);
    processes.all_ended(100, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(100).await;
    let again = redelivered(&next).await;
    assert!(again.is_empty(), "came again: {again:#?}; the first said:\n{}", first.output());
    next.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn a_worker_frozen_past_its_heartbeat_does_nothing_twice() {
    let mut fault = Fault::new("SIGSTOP past the heartbeat, then SIGCONT", "F10", "I1 I2 I3 I4 I10");
    let processes = Processes::new().await;
    let mut frozen = processes.serve(&[]);
    ask(&processes, 100).await;
    eventually("it works", ENDS_WITHIN, async || processes.count("leveret.instances").await >= 10).await;
    frozen.signal(Signal::SIGSTOP);
    let alive = 100 - processes.ended().await;
    assert!(alive > 0, "everything had ended before it was frozen");
    fault.fired(alive);

    let mut other = processes.serve(&[]);
    other.serves().await;
    let taken_over = async || !redelivered(&other).await.is_empty();
    eventually("the broker gives its deliveries to the other", GIVEN_UP_WITHIN, taken_over).await;
    fault.recovered();
    frozen.signal(Signal::SIGCONT);
    processes.all_ended(100, ENDS_WITHIN).await;
    processes.is_at_rest(100).await;
    assert!(frozen.is_running(), "it died of being awake:\n{}", frozen.output());
    for one in [&mut frozen, &mut other] {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}
