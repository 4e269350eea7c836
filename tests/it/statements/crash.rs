//! Processes that die around the commit of a statement: its row is written once.

use std::time::Duration;

use serde_json::json;

use crate::support::{Fault, Processes, eventually};

const DIES_WITHIN: Duration = Duration::from_secs(20);
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Each of the two activities writes one row. Nothing forbids a second one.
const NOTES: &str = "
name: notes
activities:
  - { id: one, run: { sql: note, params: { key: \"${ instance.key }\", what: one } } }
  - { id: other, run: { sql: note, params: { key: \"${ instance.key }\", what: other } } }
";
const REGISTERED: [(&str, &str); 3] = [
    ("LEVERET_STATEMENTS__NOTE__SQL", "INSERT INTO notes (key, what) VALUES (:key, :what) RETURNING what"),
    ("LEVERET_STATEMENTS__NOTE__PARAMS__KEY", "text"),
    ("LEVERET_STATEMENTS__NOTE__PARAMS__WHAT", "text"),
];

/// Dies at the n-th time the point is passed, for each n; then there is this number of rows, and another process continues.
async fn killed_at_each(point: &str, left: &[i64]) {
    let processes = Processes::new().await;
    processes.lines("CREATE TABLE public.notes (key text NOT NULL, what text NOT NULL)").await;
    processes.apply(NOTES).await;
    for (passed, rows) in left.iter().enumerate() {
        let key = format!("key-{passed}");
        let failing = format!("{point}={passed}*off->1*return");
        let settings: Vec<_> = REGISTERED.iter().copied().chain([("FAILPOINTS", failing.as_str())]).collect();
        let mut doomed = processes.serve(&settings);
        processes.start("notes", &key, json!({})).await;
        doomed.dies_at(point, DIES_WITHIN).await;
        let written = format!("public.notes WHERE key = '{key}'");
        assert_eq!(processes.count(&written).await, *rows, "after {passed} passes of {point}");
        let mut next = processes.serve(&REGISTERED);
        processes.all_ended(i64::try_from(passed).unwrap() + 1, ENDS_WITHIN).await;
        let found = format!("SELECT what AS line FROM public.notes WHERE key = '{key}' ORDER BY what");
        assert_eq!(processes.lines(&found).await, ["one", "other"], "killed after {passed} passes of {point}");
        if passed + 1 == left.len() {
            processes.is_at_rest(i64::try_from(left.len()).unwrap()).await;
        }
        next.stops_in_order().await;
    }
    processes.queues_are_empty().await;
}

#[tokio::test]
async fn killed_after_a_statement_and_before_its_commit() {
    killed_at_each("step::handler_done", &[0, 1]).await;
}

#[tokio::test]
async fn killed_before_any_commit_around_statements() {
    killed_at_each("step::before_commit", &[0, 0, 1]).await;
}

#[tokio::test]
async fn killed_after_any_commit_around_statements() {
    killed_at_each("step::after_commit", &[0, 1, 2]).await;
}

#[tokio::test]
async fn killed_before_the_acknowledgement_of_several_statement_steps() {
    killed_at_each("worker::before_ack", &[2]).await;
}

#[tokio::test]
async fn many_instances_over_processes_that_die_write_each_row_once() {
    let mut fault = Fault::new("kill -9 of one of two workers when a registered statement has run", "F3", "I1 I2 I12");
    let processes = Processes::new().await;
    processes.lines("CREATE TABLE public.notes (key text NOT NULL, what text NOT NULL)").await;
    processes.apply(NOTES).await;
    let settings: Vec<_> =
        REGISTERED.iter().copied().chain([("FAILPOINTS", "step::handler_done=25*off->1*return")]).collect();
    let (mut doomed, mut survivor) = (processes.serve(&settings), processes.serve(&REGISTERED));
    for number in 0..60 {
        processes.start("notes", &format!("key-{number}"), json!({})).await;
    }
    doomed.dies_at("step::handler_done", DIES_WITHIN).await;
    fault.fired(processes.under_way().await);
    processes.all_ended(60, ENDS_WITHIN).await;
    fault.recovered();
    assert_eq!(processes.count("public.notes").await, 120);
    assert_eq!(processes.count("(SELECT DISTINCT key, what FROM public.notes) AS once").await, 120);
    eventually("it is at rest", ENDS_WITHIN, async || processes.count("leveret.outbox").await == 0).await;
    survivor.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}
