//! Two people, one task, the same moment: exactly one wins, and the others get a reason.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{SOON, id, with_approval};
use crate::support::{Fault, Reply, eventually};

const TURNS: usize = 15;

fn won(reply: &Reply) -> bool {
    reply.status.is_success()
}

fn lost_by(reply: &Reply, kinds: &[&str]) {
    let kind = reply.body["type"].as_str().unwrap_or_default().trim_start_matches("urn:leveret:");
    assert!(kinds.contains(&kind), "{} {}", reply.status, reply.body);
}

fn approve(user: &str) -> Value {
    json!({ "user": user, "decision": "approve" })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_simultaneous_claims_wins() {
    let leveret = with_approval().await;
    for turn in 0..TURNS {
        let instance = leveret.post_instance("approval", &format!("claim-{turn}"), json!({})).await;
        let task = leveret.open_task(instance).await;
        let (bob, carl) = tokio::join!(
            leveret.act(&task, "claim", json!({ "user": "bob" })),
            leveret.act(&task, "claim", json!({ "user": "carl" }))
        );
        let (winner, loser) = if won(&bob) { ("bob", &carl) } else { ("carl", &bob) };
        lost_by(loser, &["task-claimed"]);
        let both = tokio::join!(
            leveret.act(&task, "complete", approve("bob")),
            leveret.act(&task, "complete", approve("carl"))
        );
        let (done, refused) = if winner == "bob" { both } else { (both.1, both.0) };
        assert_eq!(done.ok(200)["completed_by"], winner);
        lost_by(&refused, &["task-claimed", "task-closed"]);
        assert_eq!(leveret.ended(instance).await["output"]["approver"], winner);
    }
    leveret.close_tasks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_simultaneous_completions_wins() {
    let mut fault = Fault::new("two people complete a task at the same moment", "F40", "I2 I3 I4 I5 I8");
    let leveret = with_approval().await;
    for turn in 0..TURNS {
        let instance = leveret.post_instance("approval", &format!("complete-{turn}"), json!({})).await;
        let task = leveret.open_task(instance).await;
        let (bob, carl) = tokio::join!(
            leveret.act(&task, "complete", approve("bob")),
            leveret.act(&task, "complete", approve("carl"))
        );
        assert!(won(&bob) != won(&carl), "{} {}", bob.body, carl.body);
        let (winner, loser) = if won(&bob) { ("bob", &carl) } else { ("carl", &bob) };
        lost_by(loser, &["task-closed"]);
        assert_eq!(leveret.ended(instance).await["output"]["approver"], winner);
        let completed = format!("leveret.history WHERE instance_id = '{instance}' AND kind = 'TaskCompleted'");
        assert_eq!(leveret.count(&completed).await, 1);
    }
    fault.fired_times(TURNS, TURNS as i64);
    leveret.close_tasks().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_and_the_timeout_at_the_same_moment_leave_one_of_them() {
    let mut fault = Fault::new("a completion and the timeout of its task at the same moment", "F40", "I2 I3 I4 I7 I8");
    let leveret = with_approval().await;
    let mut started = Vec::new();
    for turn in 0..TURNS {
        let instance =
            leveret.post_instance("approval", &format!("late-{turn}"), json!({ "patience": "2500ms" })).await;
        started.push((instance, leveret.open_task(instance).await));
    }
    let due = leveret
        .lines("extract(epoch FROM min(due_at) - clock_timestamp())", "leveret.bookmarks WHERE kind = 'timer'")
        .await;
    let due = Duration::from_secs_f64(due[0].parse::<f64>().unwrap().max(0.0));
    let replies = join_all(started.iter().enumerate().map(|(turn, (_, task))| {
        let leveret = &leveret;
        async move {
            // Around the moment the first timers are due.
            tokio::time::sleep(
                (due + Duration::from_millis(8 * turn as u64)).saturating_sub(Duration::from_millis(40)),
            )
            .await;
            leveret.act(task, "complete", approve("bob")).await
        }
    }))
    .await;
    for ((instance, _), reply) in started.iter().zip(&replies) {
        let output = leveret.ended(*instance).await["output"].clone();
        if won(reply) {
            assert_eq!(output["approver"], "bob");
        } else {
            lost_by(reply, &["task-closed"]);
            assert_eq!(output, "late");
        }
        let outcomes =
            format!("leveret.history WHERE instance_id = '{instance}' AND kind IN ('TaskCompleted', 'WaitTimedOut')");
        assert_eq!(leveret.count(&outcomes).await, 1);
    }
    fault.fired_times(TURNS, TURNS as i64);
    leveret.close_tasks().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_and_a_cancel_at_the_same_moment_leave_one_of_them() {
    let mut fault = Fault::new("a completion and a cancel at the same moment", "F40", "I2 I3 I4 I5 I8");
    let leveret = with_approval().await;
    for turn in 0..TURNS {
        let instance = leveret.post_instance("approval", &format!("cancel-{turn}"), json!({})).await;
        let task = leveret.open_task(instance).await;
        let (path, nothing) = (format!("/instances/{instance}/cancel"), json!({}));
        let (done, cancelled) =
            tokio::join!(leveret.act(&task, "complete", approve("bob")), leveret.post(&path, &nothing));
        let view = leveret.ended(instance).await;
        match view["status"].as_str().unwrap() {
            "completed" => assert!(won(&done) && !won(&cancelled), "{}", cancelled.body),
            // Completed first and cancelled before the next step is legal; then the task stays completed.
            "cancelled" if won(&done) => assert_eq!(leveret.show_task(&task).await["state"], "completed"),
            "cancelled" => {
                lost_by(&done, &["task-closed"]);
                assert_eq!(leveret.show_task(&task).await["state"], "cancelled");
            }
            other => panic!("it ended as {other}"),
        }
    }
    fault.fired_times(TURNS, TURNS as i64);
    leveret.close_tasks().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_and_a_reassignment_at_the_same_moment_agree_on_an_order() {
    let leveret = with_approval().await;
    for turn in 0..TURNS {
        let instance = leveret.post_instance("approval", &format!("reassign-{turn}"), json!({})).await;
        let task = leveret.open_task(instance).await;
        let (done, moved) = tokio::join!(
            leveret.act(&task, "complete", approve("bob")),
            leveret.act(&task, "reassign", json!({ "user": "boss", "to": "carl" }))
        );
        assert!(won(&done) != won(&moved), "{} {}", done.body, moved.body);
        if won(&done) {
            lost_by(&moved, &["task-closed"]);
        } else {
            lost_by(&done, &["task-assigned"]);
            leveret.act(&task, "complete", approve("carl")).await.ok(200);
        }
        leveret.ended(instance).await;
    }
    leveret.close_tasks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_of_the_next_task_never_get_the_same_task() {
    const TASKS: usize = 24;
    const PEOPLE: usize = 40;
    let leveret = with_approval().await;
    for number in 0..TASKS {
        leveret.post_instance("approval", &format!("next-{number}"), json!({})).await;
    }
    eventually("all tasks are open", SOON, async || leveret.count("leveret.tasks").await == TASKS as i64).await;
    let ask = |number: usize| {
        let leveret = &leveret;
        async move {
            let body = json!({ "user": format!("m{number}"), "groups": ["managers"] });
            // 503 asks for a retry.
            loop {
                let reply = leveret.post("/tasks/claim-next", &body).await;
                if reply.status != 503 {
                    return reply.ok(200);
                }
            }
        }
    };
    let given = join_all((0..PEOPLE).map(ask)).await;
    let tasks: Vec<&str> = given.iter().filter(|task| !task.is_null()).map(id).collect();
    let distinct: BTreeSet<&str> = tasks.iter().copied().collect();
    assert_eq!((tasks.len(), distinct.len()), (TASKS, TASKS), "each once, and none is left");
    for (number, task) in given.iter().enumerate().filter(|(_, task)| !task.is_null()) {
        assert_eq!(task["claimed_by"], format!("m{number}"));
        let done = json!({ "user": format!("m{number}"), "groups": ["managers"], "decision": "approve" });
        leveret.act(task, "complete", done).await.ok(200);
    }
    leveret.close_tasks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_next_and_a_completion_of_the_same_task_do_not_deadlock() {
    let leveret = with_approval().await;
    for turn in 0..TURNS {
        let instance = leveret.post_instance("approval", &format!("both-{turn}"), json!({})).await;
        let task = leveret.open_task(instance).await;
        let next = json!({ "user": "carl" });
        let (done, next) =
            tokio::join!(leveret.act(&task, "complete", approve("bob")), leveret.post("/tasks/claim-next", &next));
        match (won(&done), next.status.as_u16()) {
            (true, 200) => assert!(next.body.is_null() || next.body["state"] == "completed", "{}", next.body),
            (true, 503) => {}
            (false, 200) => {
                lost_by(&done, &["task-claimed"]);
                leveret.act(&task, "complete", approve("carl")).await.ok(200);
            }
            (done, status) => panic!("{done} {status} {}", next.body),
        }
        leveret.ended(instance).await;
    }
    leveret.close_tasks().await;
}
