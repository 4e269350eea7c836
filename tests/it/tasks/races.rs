//! Two people, one task, the same moment: exactly one wins, and the others are told.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Office, SOON, id};
use crate::support::{Reply, eventually};

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
async fn of_two_who_claim_at_the_same_instant_one_has_it() {
    let office = Office::open().await;
    for turn in 0..TURNS {
        let instance = office.start("approval", &format!("claim-{turn}"), json!({})).await;
        let task = office.task(instance).await;
        let (bob, carl) = tokio::join!(
            office.act(&task, "claim", json!({ "user": "bob" })),
            office.act(&task, "claim", json!({ "user": "carl" }))
        );
        let (winner, loser) = if won(&bob) { ("bob", &carl) } else { ("carl", &bob) };
        lost_by(loser, &["task-claimed"]);
        let both =
            tokio::join!(office.act(&task, "complete", approve("bob")), office.act(&task, "complete", approve("carl")));
        let (done, refused) = if winner == "bob" { both } else { (both.1, both.0) };
        assert_eq!(done.ok(200)["completed_by"], winner);
        lost_by(&refused, &["task-claimed", "task-closed"]);
        assert_eq!(office.ended(instance).await["output"]["approver"], winner);
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_complete_at_the_same_instant_one_does() {
    let office = Office::open().await;
    for turn in 0..TURNS {
        let instance = office.start("approval", &format!("complete-{turn}"), json!({})).await;
        let task = office.task(instance).await;
        let (bob, carl) =
            tokio::join!(office.act(&task, "complete", approve("bob")), office.act(&task, "complete", approve("carl")));
        assert!(won(&bob) != won(&carl), "{} {}", bob.body, carl.body);
        let (winner, loser) = if won(&bob) { ("bob", &carl) } else { ("carl", &bob) };
        lost_by(loser, &["task-closed"]);
        assert_eq!(office.ended(instance).await["output"]["approver"], winner);
        let completed = format!("leveret.history WHERE instance_id = '{instance}' AND kind = 'TaskCompleted'");
        assert_eq!(office.count(&completed).await, 1);
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_and_the_timeout_at_the_same_moment_leave_one_of_them() {
    let office = Office::open().await;
    let mut started = Vec::new();
    for turn in 0..TURNS {
        let instance = office.start("approval", &format!("late-{turn}"), json!({ "patience": "2500ms" })).await;
        started.push((instance, office.task(instance).await));
    }
    let due = office
        .lines("extract(epoch FROM min(due_at) - clock_timestamp())", "leveret.bookmarks WHERE kind = 'timer'")
        .await;
    let due = Duration::from_secs_f64(due[0].parse::<f64>().unwrap().max(0.0));
    let replies = join_all(started.iter().enumerate().map(|(turn, (_, task))| {
        let office = &office;
        async move {
            // Around the moment the first timers are due.
            tokio::time::sleep(
                (due + Duration::from_millis(8 * turn as u64)).saturating_sub(Duration::from_millis(40)),
            )
            .await;
            office.act(task, "complete", approve("bob")).await
        }
    }))
    .await;
    for ((instance, _), reply) in started.iter().zip(&replies) {
        let output = office.ended(*instance).await["output"].clone();
        if won(reply) {
            assert_eq!(output["approver"], "bob");
        } else {
            lost_by(reply, &["task-closed"]);
            assert_eq!(output, "late");
        }
        let outcomes =
            format!("leveret.history WHERE instance_id = '{instance}' AND kind IN ('TaskCompleted', 'WaitTimedOut')");
        assert_eq!(office.count(&outcomes).await, 1);
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_and_a_cancel_at_the_same_moment_leave_one_of_them() {
    let office = Office::open().await;
    for turn in 0..TURNS {
        let instance = office.start("approval", &format!("cancel-{turn}"), json!({})).await;
        let task = office.task(instance).await;
        let (path, nothing) = (format!("/instances/{instance}/cancel"), json!({}));
        let (done, cancelled) =
            tokio::join!(office.act(&task, "complete", approve("bob")), office.leveret.post(&path, &nothing));
        let view = office.ended(instance).await;
        match view["status"].as_str().unwrap() {
            "completed" => assert!(won(&done) && !won(&cancelled), "{}", cancelled.body),
            // Done first, and called off before the next step, is legal; then the task is done all the same.
            "cancelled" if won(&done) => assert_eq!(office.show(&task).await["state"], "completed"),
            "cancelled" => {
                lost_by(&done, &["task-closed"]);
                assert_eq!(office.show(&task).await["state"], "cancelled");
            }
            other => panic!("it ended as {other}"),
        }
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_and_a_reassignment_at_the_same_moment_agree_on_an_order() {
    let office = Office::open().await;
    for turn in 0..TURNS {
        let instance = office.start("approval", &format!("reassign-{turn}"), json!({})).await;
        let task = office.task(instance).await;
        let (done, moved) = tokio::join!(
            office.act(&task, "complete", approve("bob")),
            office.act(&task, "reassign", json!({ "user": "boss", "to": "carl" }))
        );
        assert!(won(&done) != won(&moved), "{} {}", done.body, moved.body);
        if won(&done) {
            lost_by(&moved, &["task-closed"]);
        } else {
            lost_by(&done, &["task-assigned"]);
            office.act(&task, "complete", approve("carl")).await.ok(200);
        }
        office.ended(instance).await;
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_the_next_task_never_get_the_same_one() {
    const TASKS: usize = 24;
    const PEOPLE: usize = 40;
    let office = Office::open().await;
    for number in 0..TASKS {
        office.start("approval", &format!("next-{number}"), json!({})).await;
    }
    eventually("all tasks are open", SOON, async || office.count("leveret.tasks").await == TASKS as i64).await;
    let ask = |number: usize| {
        let office = &office;
        async move {
            let body = json!({ "user": format!("m{number}"), "groups": ["managers"] });
            // Told to come again in a moment, one does.
            loop {
                let reply = office.leveret.post("/tasks/claim-next", &body).await;
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
        office.act(task, "complete", done).await.ok(200);
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_task_and_a_completion_of_the_same_one_do_not_hold_each_other_up() {
    let office = Office::open().await;
    for turn in 0..TURNS {
        let instance = office.start("approval", &format!("both-{turn}"), json!({})).await;
        let task = office.task(instance).await;
        let next = json!({ "user": "carl" });
        let (done, next) = tokio::join!(
            office.act(&task, "complete", approve("bob")),
            office.leveret.post("/tasks/claim-next", &next)
        );
        match (won(&done), next.status.as_u16()) {
            (true, 200) => assert!(next.body.is_null() || next.body["state"] == "completed", "{}", next.body),
            (true, 503) => {}
            (false, 200) => {
                lost_by(&done, &["task-claimed"]);
                office.act(&task, "complete", approve("carl")).await.ok(200);
            }
            (done, status) => panic!("{done} {status} {}", next.body),
        }
        office.ended(instance).await;
    }
    office.close().await;
}
