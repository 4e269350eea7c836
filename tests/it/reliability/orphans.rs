//! A worker dies at a certain point of one step: another takes the step, soon.

use std::time::Duration;

use serde_json::json;

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::{Fault, Processes, Program};

/// The promise of docs/reliability.md.
const MOVES_WITHIN: Duration = Duration::from_secs(5);
/// Deaths of one run.
const SAMPLES: i64 = 20;
/// Commits of a worker before it dies: from one to this.
const COMMITS_MAX: i64 = 5;

/// One instance, whose worker is killed at a point; another process ends it.
async fn killed_at(mut fault: Fault, point: &str, definition: &str, input: serde_json::Value) {
    let processes = Processes::new().await;
    let mut doomed = processes.serve(&[("FAILPOINTS", &format!("{point}=1*return"))]);
    processes.start(definition, "A", input).await;
    doomed.dies_at(point, DIES_WITHIN).await;
    fault.fired(1);
    let mut next = processes.serve(&[]);
    processes.all_ended(1, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(1).await;
    next.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn killed_with_a_delivery_of_which_nothing_is_begun() {
    let fault = Fault::new("kill -9 after the delivery, before its transaction begins", "F1", "I1 I2 I3 I4");
    killed_at(fault, "worker::executes start", "line", json!({})).await;
}

#[tokio::test]
async fn killed_with_the_lock_of_an_instance_and_nothing_written() {
    let fault = Fault::new("kill -9 with the lock of an instance, before anything is written", "F2", "I1 I2 I3 I4 I7");
    killed_at(fault, "step::locked", "countdown", json!({ "from": 2, "pause": "100ms" })).await;
}

/// The longest time between two commits of an instance, by the database's clock: between the last one of the worker that died and the
/// first one of the other. A count of the crash does not end the pause.
async fn longest_pause(processes: &Processes, key: &str) -> Duration {
    let longest = format!(
        "SELECT extract(epoch FROM max(at - before))::text AS line FROM (SELECT at, lag(at) OVER (ORDER BY number) AS before \
         FROM leveret.history AS h JOIN leveret.instances AS i ON i.id = h.instance_id \
         WHERE i.key = '{key}' AND h.kind <> 'WorkerCrashed') AS pauses"
    );
    let seconds: f64 = processes.lines(&longest).await.remove(0).parse().unwrap();
    Duration::from_secs_f64(seconds)
}

/// Two processes with default settings. Whichever takes a line, the doomed one dies in the middle of its second to sixth step.
#[tokio::test]
async fn an_orphaned_step_moves_again_within_five_seconds_of_its_workers_death() {
    let mut fault = Fault::new(
        "kill -9 of one of two workers with default settings, in the middle of a step",
        "F3",
        "I1 I2 I3 I4 I12",
    );
    let processes = Processes::new().await;
    let mut survivor = Program::start(&processes.fresh, &["serve"], &[]);
    survivor.serves().await;
    let mut lines = 0;
    for sample in 0..SAMPLES {
        let points = format!("step::before_commit={}*off->1*return", 1 + sample % COMMITS_MAX);
        let mut doomed = Program::start(&processes.fresh, &["serve"], &[("FAILPOINTS", &points)]);
        doomed.serves().await;
        let orphan = loop {
            lines += 1;
            let key = format!("line-{lines}");
            processes.start("line", &key, json!({})).await;
            tokio::select! {
                _ = doomed.wait_within(DIES_WITHIN) => break key,
                () = processes.all_ended(lines, ENDS_WITHIN) => {}
            }
        };
        doomed.dies_at("step::before_commit", DIES_WITHIN).await;
        fault.fired_times(1, 1);
        processes.all_ended(lines, ENDS_WITHIN).await;
        let pause = longest_pause(&processes, &orphan).await;
        assert!(pause < MOVES_WITHIN, "{orphan} stood still for {pause:?}");
        fault.recovered_in(pause);
    }
    processes.is_at_rest(lines).await;
    survivor.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}
