//! Reminders, due dates and escalations, by the clock.

use std::time::Duration;

use serde_json::json;

use super::{Office, SOON};
use crate::support::{Queues, eventually};

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
async fn whoever_lets_a_task_lie_is_reminded_and_then_it_is_offered_to_others() {
    let office = Office::open().await;
    let fresh = &office.leveret.fresh;
    let queues = Queues::connect(&fresh.amqp_url, &fresh.prefix).await;
    office.leveret.apply(SLOW).await;
    let instance = office.start("slow", "k", json!({})).await;
    let task = office.task(instance).await;
    assert_eq!(office.leveret.get("/tasks/count?groups=heads").await.ok(200)["count"], 0);
    let escalated = async || office.told(instance).await.len() == 5;
    eventually("it is escalated", SOON, escalated).await;
    let mut told = office.told(instance).await;
    told.sort();
    assert_eq!(told, ["Escalated", "Opened", "Overdue", "Reminded", "Reminded"]);
    let seen = office.show(&task).await;
    assert_eq!((&seen["priority"], &seen["assignee"], &seen["groups"]), (&json!(7), &json!(null), &json!(["heads"])));
    let inbox = office.leveret.get("/tasks?user=zoe&groups=heads,others").await.ok(200);
    assert_eq!(inbox["items"][0]["title"], "Do it");
    let early = "leveret.history AS h JOIN leveret.bookmarks AS b ON b.instance_id = h.instance_id AND b.kind = 'timer' \
        AND b.consumed_at IS NOT NULL AND b.consumed_at < b.due_at";
    assert_eq!(office.count(early).await, 0, "no timer has fired before its time");
    office.act(&task, "complete", json!({ "user": "zoe", "groups": ["heads"] })).await.ok(200);
    office.ended(instance).await;
    let mut events = Vec::new();
    let all = async || {
        events.extend(queues.take_events().await.into_iter().map(|(_, kind, _)| kind));
        events.iter().any(|kind| kind == "slow.task_completed")
    };
    eventually("the events have come", SOON + Duration::from_secs(5), all).await;
    for kind in ["task_opened", "task_reminded", "task_overdue", "task_escalated"] {
        assert!(events.contains(&format!("slow.{kind}")), "{kind} in {events:?}");
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_work_on_while_the_instance_stands_still_and_what_they_did_counts_afterwards() {
    let office = Office::open().await;
    office.leveret.apply(SLOW).await;
    let instance = office.start("slow", "still", json!({})).await;
    let task = office.task(instance).await;
    let control =
        async |what: &str| office.leveret.post(&format!("/instances/{instance}/{what}"), &json!({})).await.ok(200);
    control("suspend").await;
    let passed = "leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL AND due_at < now() - interval '3 s'";
    // Past what a hint may be late, so that the timers role has looked, and has put the timers off.
    eventually("its timers are due", SOON, async || office.count(passed).await == 3).await;
    assert_eq!(office.told(instance).await, ["Opened"], "nothing fires");
    let resumed = std::time::Instant::now();
    control("resume").await;
    eventually("they fire", SOON, async || office.told(instance).await.len() == 5).await;
    assert!(resumed.elapsed() < Duration::from_secs(5), "{:?}", resumed.elapsed());
    control("suspend").await;
    office.act(&task, "claim", json!({ "user": "zoe", "groups": ["heads"] })).await.ok(200);
    office.act(&task, "complete", json!({ "user": "zoe", "groups": ["heads"] })).await.ok(200);
    let again = json!({ "user": "zoe", "groups": ["heads"] });
    office.act(&task, "complete", again).await.problem(409, "task-closed");
    assert_eq!(office.instance(instance).await["status"], "suspended");
    control("resume").await;
    assert_eq!(office.ended(instance).await["status"], "completed");
    office.close().await;
}
