//! Reminders, due dates and escalations, by the clock.

use std::time::Duration;

use serde_json::json;

use super::{SOON, with_approval};
use crate::support::eventually;

const SLOW: &str = "
name: slow
activities:
  - id: do
    task:
      title: Do it
      assignee: ann
      due: 400ms
      remind: { every: 200ms, times: 2 }
      escalate: [{ after: 600ms, candidates: { groups: [heads] }, priority: 7 }]
    timeout: 1h
    on_timeout: exit
";

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_task_is_reminded_of_and_then_escalated() {
    let leveret = with_approval().await;
    let queues = leveret.queues().await;
    leveret.apply(SLOW).await;
    let instance = leveret.post_instance("slow", "k", json!({})).await;
    let task = leveret.open_task(instance).await;
    assert_eq!(leveret.get("/tasks/count?groups=heads").await.ok(200)["count"], 0);
    let escalated = async || leveret.task_history(instance).await.len() == 5;
    eventually("it is escalated", SOON, escalated).await;
    let mut told = leveret.task_history(instance).await;
    told.sort();
    assert_eq!(told, ["Escalated", "Opened", "Overdue", "Reminded", "Reminded"]);
    let seen = leveret.show_task(&task).await;
    assert_eq!((&seen["priority"], &seen["assignee"], &seen["groups"]), (&json!(7), &json!(null), &json!(["heads"])));
    let inbox = leveret.get("/tasks?user=zoe&groups=heads,others").await.ok(200);
    assert_eq!(inbox["items"][0]["title"], "Do it");
    let early = "leveret.history AS h JOIN leveret.bookmarks AS b ON b.instance_id = h.instance_id AND b.kind = 'timer' \
        AND b.consumed_at IS NOT NULL AND b.consumed_at < b.due_at";
    assert_eq!(leveret.count(early).await, 0, "no timer has fired before its time");
    leveret.act(&task, "complete", json!({ "user": "zoe", "groups": ["heads"] })).await.ok(200);
    leveret.ended(instance).await;
    let mut events = Vec::new();
    let all = async || {
        events.extend(queues.take_events().await.into_iter().map(|(_, kind, _)| kind));
        events.iter().any(|kind| kind == "slow.task_completed")
    };
    eventually("the events have come", SOON + Duration::from_secs(5), all).await;
    for kind in ["task_opened", "task_reminded", "task_overdue", "task_escalated"] {
        assert!(events.contains(&format!("slow.{kind}")), "{kind} in {events:?}");
    }
    leveret.close_tasks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_completed_while_their_instance_is_suspended_and_count_after_the_resume() {
    let leveret = with_approval().await;
    leveret.apply(SLOW).await;
    let instance = leveret.post_instance("slow", "still", json!({})).await;
    let task = leveret.open_task(instance).await;
    let control = async |what: &str| leveret.post(&format!("/instances/{instance}/{what}"), &json!({})).await.ok(200);
    control("suspend").await;
    let passed = "leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL AND due_at < now() - interval '3 s'";
    // Later than a wake-up may be, so that the timers role has read the timers and put them off.
    eventually("its timers are due", SOON, async || leveret.count(passed).await == 3).await;
    assert_eq!(leveret.task_history(instance).await, ["Opened"], "nothing fires");
    let resumed = std::time::Instant::now();
    control("resume").await;
    eventually("they fire", SOON, async || leveret.task_history(instance).await.len() == 5).await;
    assert!(resumed.elapsed() < Duration::from_secs(5), "{:?}", resumed.elapsed());
    control("suspend").await;
    leveret.act(&task, "claim", json!({ "user": "zoe", "groups": ["heads"] })).await.ok(200);
    leveret.act(&task, "complete", json!({ "user": "zoe", "groups": ["heads"] })).await.ok(200);
    let again = json!({ "user": "zoe", "groups": ["heads"] });
    leveret.act(&task, "complete", again).await.problem(409, "task-closed");
    assert_eq!(leveret.instance(instance).await["status"], "suspended");
    control("resume").await;
    assert_eq!(leveret.ended(instance).await["status"], "completed");
    leveret.close_tasks().await;
}
