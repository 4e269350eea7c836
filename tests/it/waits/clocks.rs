//! A worker whose clock is wrong by an hour, either way: only the database's clock counts.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leveret::time::clock::Clock;
use serde_json::json;

use crate::support::{Processes, Program};

/// Makes a process believe another time; Debian's package of the same name.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Later than this, a timer was fired by a sweep, not by its wake-up; a busy machine needs some of it too.
const PUNCTUAL_MS: i64 = 4_000;

async fn with_a_clock_wrong_by(offset: &str) {
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
}

#[tokio::test]
async fn a_clock_one_hour_ahead_changes_nothing() {
    with_a_clock_wrong_by("+3600s").await;
}

#[tokio::test]
async fn a_clock_one_hour_behind_changes_nothing() {
    with_a_clock_wrong_by("-3600s").await;
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
