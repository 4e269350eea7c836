//! A worker whose clock is wrong by an hour, either way: only the database's clock counts.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leveret::time::clock::Clock;
use serde_json::json;

use crate::support::target::tempfile;
use crate::support::{Fault, Processes, Program, eventually};

/// Makes a process believe another time; Debian's package of the same name.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Later than this, a timer was fired by a sweep, not by its wake-up; a busy machine needs some of it too.
const PUNCTUAL_MS: i64 = 4_000;

async fn with_a_clock_wrong_by(mut fault: Fault, offset: &str) {
    assert!(Path::new(LIBRARY).exists(), "libfaketime is missing: apt-get install libfaketime");
    let processes = Processes::new().await;
    // Durations are measured by a clock that cannot be set: it is not changed.
    let wrong =
        [("LD_PRELOAD", LIBRARY), ("FAKETIME", offset), ("DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_DONT_RESET", "1")];
    let mut program = processes.serve(&wrong);
    believes(&program, offset).await;
    let began = Instant::now();
    for number in 0..10 {
        let key = format!("{number}");
        processes.start("countdown", &key, json!({ "from": 3, "pause": "400ms" })).await;
        processes.order(&key, "2s").await;
    }
    fault.fired_times(1, 20);
    processes.all_ended(20, ENDS_WITHIN).await;
    assert!(began.elapsed() >= Duration::from_millis(1_200), "three pauses of 400 ms cannot have passed");
    let early = "leveret.bookmarks WHERE kind = 'timer' AND consumed_at < due_at AND due_at < now()";
    let fired = "leveret.history WHERE kind IN ('TimerFired', 'WaitTimedOut')";
    assert_eq!((processes.count(early).await, processes.count(fired).await), (0, 40));
    let late = format!(
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE b.kind = 'timer' AND b.consumed_at > b.due_at + {PUNCTUAL_MS} * interval '1 millisecond'"
    );
    assert_eq!(processes.count(&late).await, 0, "fired by the sweep, or late");
    let recorded = "leveret.history WHERE abs(extract(epoch FROM at - now())) > 600";
    assert_eq!(processes.count(recorded).await, 0, "history by a clock that is wrong");
    processes.is_at_rest(20).await;
    program.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn a_clock_one_hour_ahead_changes_nothing() {
    let fault = Fault::new("the clock of a worker is one hour ahead", "F36", "I1 I2 I3 I4 I7");
    with_a_clock_wrong_by(fault, "+3600s").await;
}

#[tokio::test]
async fn a_clock_one_hour_behind_changes_nothing() {
    let fault = Fault::new("the clock of a worker is one hour behind", "F36", "I1 I2 I3 I4 I7");
    with_a_clock_wrong_by(fault, "-3600s").await;
}

/// The program stamps its log with the time it believes in: a fault that was not injected proves nothing.
async fn believes(program: &Program, offset: &str) {
    program.serves().await;
    let said = program.output();
    let stamp = said.split_whitespace().find_map(|word| word.parse::<Timestamp>().ok()).expect("a time in the log");
    let off = stamp.duration_since(Clock::default().now()).as_secs();
    let wanted: i64 = offset.trim_end_matches('s').parse().unwrap();
    assert!((off - wanted).abs() < 60, "its clock is wrong by {off} s");
}

/// The worker believes in an hour ago, and from its next look on in an hour from now.
#[tokio::test]
async fn a_clock_that_is_set_forward_by_two_hours_changes_nothing() {
    let mut fault = Fault::new("the clock of a worker is set forward by two hours", "F36", "I1 I2 I3 I4 I7");
    let processes = Processes::new().await;
    let file = tempfile::File::with("-3600s");
    let path = file.path();
    let set = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", path.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_RESET", "1"),
    ];
    let mut program = processes.serve(&set);
    believes(&program, "-3600s").await;
    for number in 0..10 {
        processes.start("countdown", &format!("{number}"), json!({ "from": 3, "pause": "400ms" })).await;
    }
    let waiting = async || processes.count("leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL").await > 0;
    eventually("a timer is open", ENDS_WITHIN, waiting).await;
    std::fs::write(&path, "+3600s").unwrap();
    fault.fired_times(1, processes.under_way().await);
    processes.all_ended(10, ENDS_WITHIN).await;
    let early = "leveret.bookmarks WHERE kind = 'timer' AND consumed_at < due_at AND due_at < now()";
    assert_eq!(
        (processes.count(early).await, processes.count("leveret.history WHERE kind = 'TimerFired'").await),
        (0, 30)
    );
    assert_eq!(processes.count("leveret.history WHERE abs(extract(epoch FROM at - now())) > 600").await, 0);
    processes.is_at_rest(10).await;
    program.stops_in_order().await;
    // What it says at its end has the later time: the clock was set.
    let said = program.output();
    let last = said.split_whitespace().filter_map(|word| word.parse::<Timestamp>().ok()).max().unwrap();
    assert!(last.duration_since(Clock::default().now()).as_secs() > 3_000, "its clock was not set: {last}");
    processes.queues_are_empty().await;
    fault.held();
}
