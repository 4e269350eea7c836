//! The same over the broker.

use serde_json::json;
use uuid::Uuid;

use super::{APPROVAL, SOON};
use crate::support::{House, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_claimed_and_completed_by_messages_and_a_refusal_is_a_dead_letter() {
    let house = House::open().await;
    house.apply(APPROVAL).await;
    house.start("approval", "a").await;
    house.stands("a", "running at approve").await;
    let task: Uuid = house.lines("id", "leveret.tasks").await[0].parse().unwrap();
    let claim = json!({ "task": task, "user": "mia", "groups": ["managers"], "lease": 600 });
    house.sender.command("task.claim", "claim", &claim).await;
    house.becomes(1, "leveret.tasks WHERE claimed_by = 'mia'").await;
    let complete = |user: &str| json!({ "task": task, "user": user, "decision": "approve", "form": { "limit": 2 } });
    house.sender.command("task.complete", "not yours", &complete("bob")).await;
    eventually("it is refused", SOON, async || house.letters().await.len() == 1).await;
    assert!(house.letters().await[0].contains("claimed by `mia`"), "{:?}", house.letters().await);
    house.sender.command("task.release", "release", &json!({ "task": task, "user": "mia" })).await;
    house.becomes(1, "leveret.tasks WHERE claimed_by IS NULL").await;
    for _ in 0..2 {
        house.sender.command("task.complete", "done", &complete("bob")).await;
    }
    house.stands("a", "completed").await;
    house.sender.command("task.complete", "too late", &complete("carl")).await;
    eventually("the second is refused", SOON, async || house.letters().await.len() == 2).await;
    assert!(house.letters().await[1].contains("completed by `bob` with `approve`"), "{:?}", house.letters().await);
    assert_eq!(house.count("leveret.history WHERE kind = 'TaskCompleted'").await, 1);
    house.close().await;
}
