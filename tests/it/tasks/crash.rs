//! A worker that is killed during a completion: it is applied once, however often the command is delivered.

use std::time::Duration;

use leveret::contract::TaskComplete;
use serde_json::json;

use crate::support::{Processes, eventually};

const SOON: Duration = Duration::from_secs(60);

const CHECK: &str = "
name: check
variables: { by: null }
output: '${ by }'
activities:
  - id: ask
    task: { candidates: { users: [ann, bob] }, decisions: [good, bad], due: 1h, remind: 1h }
    timeout: 2h
    on_timeout: exit
    output: { by: result.actor }
    next: { good: tell, bad: exit }
  - { id: tell, emit: { event: checked, body: { by: '${ by }' } } }
";

/// Kills a worker when it passes this point with a completion; says how often the task was then completed.
async fn killed_at(processes: &Processes, number: i64, point: &str) -> i64 {
    let key = format!("check-{number}");
    let mut first = processes.serve(&[]);
    processes.start("check", &key, json!({})).await;
    let open = async || processes.count("leveret.tasks WHERE open").await == 1;
    eventually("the task is open", SOON, open).await;
    first.stops_in_order().await;

    let task =
        processes.lines("SELECT id::text AS line FROM leveret.tasks WHERE open").await.remove(0).parse().unwrap();
    let decision =
        |user: &str| TaskComplete { task, user: user.into(), decision: Some("good".into()), ..TaskComplete::default() };
    let mut doomed = processes.serve_roles("worker", &[("FAILPOINTS", &format!("{point}=1*return"))]);
    processes.client.complete(&format!("done {key}"), &decision("ann")).await.unwrap();
    doomed.dies_at(point, SOON).await;
    let completed = processes.count("leveret.history WHERE kind = 'TaskCompleted'").await - (number - 1);

    let mut next = processes.serve(&[]);
    processes.all_ended(number, SOON).await;
    // The same command once more, and a command that is too late.
    processes.client.complete(&format!("done {key}"), &decision("ann")).await.unwrap();
    processes.client.complete(&format!("late {key}"), &decision("bob")).await.unwrap();
    let refused = async || processes.count("leveret.dead_letters").await == number;
    eventually("the late command is refused", SOON, refused).await;
    next.stops_in_order().await;
    completed
}

#[tokio::test]
async fn a_completion_is_applied_once_although_its_worker_dies() {
    let processes = Processes::new().await;
    processes.apply(CHECK).await;
    assert_eq!(killed_at(&processes, 1, "step::before_commit").await, 0, "nothing is left of it");
    assert_eq!(killed_at(&processes, 2, "step::after_commit").await, 1, "it is committed, and not yet published");
    assert_eq!(killed_at(&processes, 3, "worker::before_ack").await, 1, "it is done and gone on, and not acknowledged");
    for kind in ["TaskOpened", "TaskCompleted", "ActivityCompleted' AND activity = 'tell"] {
        assert_eq!(processes.count(&format!("leveret.history WHERE kind = '{kind}'")).await, 3, "{kind}");
    }
    assert_eq!(processes.count("leveret.instances WHERE output = '\"ann\"'").await, 3);
    assert_eq!(processes.count("leveret.task_candidates").await, 0);
    assert_eq!(processes.count("leveret.bookmarks WHERE consumed_at IS NULL").await, 0);
}
