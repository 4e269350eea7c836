//! Tasks by commands over the broker.

use serde_json::json;
use uuid::Uuid;

use super::{APPROVAL, SOON};
use crate::support::{InProcess, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_claimed_and_completed_by_messages_and_a_refusal_is_a_dead_letter() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(APPROVAL).await;
    leveret.start("approval", "a").await;
    leveret.reaches("a", "running at approve").await;
    let task: Uuid = leveret.lines("id", "leveret.tasks").await[0].parse().unwrap();
    let claim = json!({ "task": task, "user": "mia", "groups": ["managers"], "lease": 600 });
    leveret.sender.command("task.claim", "claim", &claim).await;
    leveret.count_becomes(1, "leveret.tasks WHERE claimed_by = 'mia'").await;
    let complete = |user: &str| json!({ "task": task, "user": user, "decision": "approve", "form": { "limit": 2 } });
    leveret.sender.command("task.complete", "not yours", &complete("bob")).await;
    eventually("it is refused", SOON, async || leveret.dead_letters().await.len() == 1).await;
    assert!(leveret.dead_letters().await[0].contains("claimed by `mia`"), "{:?}", leveret.dead_letters().await);
    leveret.sender.command("task.release", "release", &json!({ "task": task, "user": "mia" })).await;
    leveret.count_becomes(1, "leveret.tasks WHERE claimed_by IS NULL").await;
    for _ in 0..2 {
        leveret.sender.command("task.complete", "done", &complete("bob")).await;
    }
    leveret.reaches("a", "completed").await;
    leveret.sender.command("task.complete", "too late", &complete("carl")).await;
    eventually("the second is refused", SOON, async || leveret.dead_letters().await.len() == 2).await;
    assert!(
        leveret.dead_letters().await[1].contains("completed by `bob` with `approve`"),
        "{:?}",
        leveret.dead_letters().await
    );
    assert_eq!(leveret.count("leveret.history WHERE kind = 'TaskCompleted'").await, 1);
    leveret.close().await;
}
