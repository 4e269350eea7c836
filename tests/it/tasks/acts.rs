//! Task commands, one after the other.

use serde_json::json;

use super::{SOON, id, with_approval};
use crate::support::eventually;

#[tokio::test]
async fn every_refusal_has_its_own_kind_and_changes_nothing() {
    let leveret = with_approval().await;
    let instance = leveret.post_instance("approval", "refusals", json!({})).await;
    let task = leveret.open_task(instance).await;
    assert_eq!((&task["title"], &task["excluded"]), (&json!("Approve what ann wants"), &json!(["ann"])));
    assert_eq!(task["decisions"][0], json!({ "name": "approve", "label": "Let it pass" }));
    let complete = |user: &str| json!({ "user": user, "decision": "approve", "form": { "limit": 1 } });
    let before = leveret.instance(instance).await;

    leveret.act(&task, "complete", complete("eve")).await.problem(403, "task-not-candidate");
    leveret.act(&task, "complete", complete("ann")).await.problem(403, "task-excluded");
    leveret
        .act(&task, "claim", json!({ "user": "eve", "groups": ["clerks"] }))
        .await
        .problem(403, "task-not-candidate");
    let nonsense = json!({ "user": "bob", "decision": "maybe" });
    let why = leveret.act(&task, "complete", nonsense).await.problem(422, "task-decision");
    assert!(why.contains("one of approve, reject, again"), "{why}");
    leveret.act(&task, "complete", json!({ "user": "bob" })).await.problem(422, "task-decision");
    let negative = json!({ "user": "bob", "decision": "approve", "form": { "limit": -1 } });
    let reply = leveret.act(&task, "complete", negative).await;
    assert_eq!(reply.body["errors"][0]["pointer"], "/limit");
    reply.problem(422, "task-form");
    for verb in ["extend", "release", "draft"] {
        leveret.act(&task, verb, json!({ "user": "bob" })).await.problem(409, "task-not-held");
    }
    leveret.act(&task, "complete", json!({ "user": "" })).await.problem(400, "invalid");
    leveret.act(&task, "complete", json!({ "user": "bob", "dicision": "approve" })).await.problem(400, "invalid");
    leveret.act(&task, "reassign", json!({ "user": "boss", "to": "ann" })).await.problem(403, "task-excluded");
    let (status, problem) = leveret.act_if(&task, "claim", 17, json!({ "user": "bob" })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:leveret:task-stale")));
    assert_eq!(leveret.show_task(&task).await, task, "nothing has changed");
    assert_eq!(leveret.instance(instance).await, before);

    leveret.act(&task, "claim", json!({ "user": "mia", "groups": ["managers"] })).await.ok(200);
    let why = leveret.act(&task, "complete", complete("bob")).await.problem(409, "task-claimed");
    assert!(why.contains("`mia`"), "{why}");
    leveret.act(&task, "release", json!({ "user": "bob" })).await.problem(409, "task-claimed");
    leveret.act(&task, "release", json!({ "user": "mia" })).await.ok(200);
    let seen = leveret.show_task(&task).await["revision"].as_i64().unwrap();
    let (status, done) = leveret.act_if(&task, "complete", seen, complete("bob")).await;
    assert_eq!((status, &done["state"], &done["completed_by"]), (200, &json!("completed"), &json!("bob")));
    let why = leveret.act(&task, "complete", complete("carl")).await.problem(409, "task-closed");
    assert_eq!(why, "the task is closed: completed by `bob` with `approve`");
    leveret.act(&task, "claim", json!({ "user": "carl" })).await.problem(409, "task-closed");
    assert_eq!(leveret.ended(instance).await["output"], json!({ "approver": "bob", "limit": 1.0 }));
    assert_eq!(
        leveret.task_history(instance).await,
        ["Opened", "Claimed by mia", "Released by mia", "Completed by bob"]
    );
    leveret.close_tasks().await;
}

#[tokio::test]
async fn a_claim_holds_until_its_lease_expires_by_the_clock_of_the_database() {
    let leveret = with_approval().await;
    let instance = leveret.post_instance("approval", "lease", json!({})).await;
    let task = leveret.open_task(instance).await;
    let claimed = leveret.act(&task, "claim", json!({ "user": "bob", "lease": "1h" })).await.ok(200);
    assert_eq!(claimed["claimed_by"], "bob");
    leveret.act(&task, "claim", json!({ "user": "carl" })).await.problem(409, "task-claimed");
    leveret.act(&task, "draft", json!({ "user": "bob", "form": { "limit": 3 } })).await.ok(200);
    let extended = leveret.act(&task, "extend", json!({ "user": "bob", "lease": "2h" })).await.ok(200);
    assert!(extended["lease_until"].as_str() > claimed["lease_until"].as_str());
    assert_eq!(extended["draft"], json!({ "limit": 3 }));
    let inbox = async |user: &str| {
        let page = leveret.get(&format!("/tasks?user={user}")).await.ok(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!((inbox("bob").await, inbox("carl").await), (1, 0), "a claimed task is not offered to others");

    leveret.execute("UPDATE leveret.tasks SET lease_until = now() - interval '1 second'").await;
    assert_eq!((inbox("bob").await, inbox("carl").await), (1, 1));
    assert_eq!(leveret.show_task(&task).await["claimed_by"], json!(null));
    leveret.act(&task, "extend", json!({ "user": "bob" })).await.problem(409, "task-not-held");
    leveret.act(&task, "claim", json!({ "user": "carl" })).await.ok(200);
    let late = json!({ "user": "bob", "decision": "approve" });
    leveret.act(&task, "complete", late).await.problem(409, "task-claimed");
    leveret.act(&task, "complete", json!({ "user": "carl", "decision": "reject" })).await.ok(200);
    let lapsed =
        "leveret.history WHERE kind = 'TaskClaimed' AND details->>'by' = 'carl' AND details->>'lapsed' = 'bob'";
    assert_eq!(leveret.count(lapsed).await, 1);
    leveret.close_tasks().await;
}

#[tokio::test]
async fn rework_opens_another_task_with_the_comment() {
    let leveret = with_approval().await;
    let instance = leveret.post_instance("approval", "again", json!({})).await;
    let first = leveret.open_task(instance).await;
    let back = json!({ "user": "bob", "decision": "again", "comment": "the sum is missing" });
    let closed = leveret.act(&first, "complete", back).await.ok(200);
    assert_eq!(closed["result"]["comment"], "the sum is missing");
    let rework = leveret.open_task(instance).await;
    assert_eq!((&rework["activity"], &rework["assignee"]), (&json!("rework"), &json!("ann")));
    leveret.act(&rework, "complete", json!({ "user": "bob" })).await.problem(403, "task-not-candidate");
    leveret.act(&rework, "complete", json!({ "user": "ann" })).await.ok(200);
    let second = leveret.open_task(instance).await;
    assert_eq!(second["activity"], "approve");
    assert_ne!(id(&second), id(&first), "another bookmark, another task");
    leveret.act(&first, "complete", json!({ "user": "bob", "decision": "approve" })).await.problem(409, "task-closed");
    leveret.act(&second, "complete", json!({ "user": "carl", "decision": "approve" })).await.ok(200);
    assert_eq!(leveret.ended(instance).await["output"]["approver"], "carl");
    let comment = "leveret.history WHERE kind = 'TaskCompleted' AND details->>'comment' = 'the sum is missing'";
    assert_eq!(leveret.count(comment).await, 1);
    leveret.close_tasks().await;
}

#[tokio::test]
async fn a_task_is_reassigned_and_delegated_and_returns() {
    let leveret = with_approval().await;
    let instance = leveret.post_instance("approval", "handed", json!({})).await;
    let task = leveret.open_task(instance).await;
    let inbox = async |user: &str| leveret.get(&format!("/tasks/count?user={user}")).await.ok(200)["count"].clone();
    leveret.act(&task, "reassign", json!({ "user": "boss", "to": "zoe", "comment": "she knows it" })).await.ok(200);
    assert_eq!((inbox("bob").await, inbox("zoe").await), (json!(0), json!(1)));
    leveret.act(&task, "claim", json!({ "user": "bob" })).await.problem(403, "task-assigned");
    leveret.act(&task, "delegate", json!({ "user": "zoe", "to": "kim" })).await.ok(200);
    assert_eq!((inbox("zoe").await, inbox("kim").await), (json!(0), json!(1)));
    let back = leveret.act(&task, "release", json!({ "user": "kim" })).await.ok(200);
    assert_eq!(back["assignee"], "zoe");
    leveret.act(&task, "reassign", json!({ "user": "boss" })).await.ok(200);
    assert_eq!((inbox("bob").await, inbox("zoe").await), (json!(1), json!(0)));
    leveret.act(&task, "complete", json!({ "user": "bob", "decision": "approve" })).await.ok(200);
    let told = leveret.task_history(instance).await;
    assert_eq!(told[1..5], ["Reassigned by boss", "Delegated by zoe", "Released by kim", "Reassigned by boss"]);
    leveret.close_tasks().await;
}

#[tokio::test]
async fn a_repeated_task_command_gets_the_same_answer() {
    let leveret = with_approval().await;
    for key in ["one", "two"] {
        let instance = leveret.post_instance("approval", key, json!({})).await;
        leveret.open_task(instance).await;
    }
    let next = json!({ "user": "bob" });
    let first = leveret.post_as("next", "/tasks/claim-next", &next).await.ok(200);
    let again = leveret.post_as("next", "/tasks/claim-next", &next).await.ok(200);
    assert_eq!(id(&first), id(&again));
    assert_eq!(first["key"], "one", "the oldest comes first");
    let path = format!("/tasks/{}/complete", id(&first));
    let done = json!({ "user": "bob", "decision": "approve" });
    leveret.post_as("done", &path, &done).await.ok(200);
    assert_eq!(leveret.post_as("done", &path, &done).await.ok(200)["state"], "completed");
    let other = json!({ "user": "bob", "decision": "reject" });
    leveret.post_as("done", &path, &other).await.problem(422, "idempotency-key-reused");
    leveret.post("/tasks/claim-next", &next).await.ok(200);
    assert_eq!(leveret.post("/tasks/claim-next", &next).await.ok(200), json!(null), "nothing is left to do");
    leveret.close_tasks().await;
}

const BOARD: &str = "
name: board
output: '${ actors.vote }'
activities:
  - id: vote
    task:
      candidates: { users: [ann, bob, carl] }
      decisions: [approve, reject]
      vote: [{ decide: approve, when: votes.approve > 1 }, { decide: reject, when: votes.reject > 1 }]
    next: { approve: exit, reject: exit }
";

#[tokio::test]
async fn votes_are_shown_while_the_vote_is_open_and_each_person_has_one() {
    let leveret = with_approval().await;
    leveret.apply(BOARD).await;
    let instance = leveret.post_instance("board", "vote", json!({})).await;
    let task = leveret.open_task(instance).await;
    let vote = |user: &str, decision: &str| json!({ "user": user, "decision": decision, "comment": "because" });
    leveret.act(&task, "complete", vote("ann", "approve")).await.ok(200);
    let open = leveret.show_task(&task).await;
    assert_eq!((&open["state"], &open["votes"]), (&json!("open"), &json!({ "approve": 1, "reject": 0 })));
    assert_eq!((&open["ballots"][0]["user"], &open["ballots"][0]["comment"]), (&json!("ann"), &json!("because")));
    leveret.act(&task, "complete", vote("ann", "reject")).await.problem(409, "task-voted");
    leveret.act(&task, "claim", json!({ "user": "bob" })).await.problem(409, "task-vote");
    assert_eq!(leveret.get("/tasks/count?user=ann").await.ok(200)["count"], 0, "ann has done her part");
    assert_eq!(leveret.get("/tasks/count?user=bob").await.ok(200)["count"], 1);
    let (one, other) = tokio::join!(
        leveret.act(&task, "complete", vote("bob", "reject")),
        leveret.act(&task, "complete", vote("carl", "approve"))
    );
    // The second vote may find it decided; otherwise no vote is lost.
    for reply in [one, other] {
        assert!(reply.status == 200 || reply.body["type"] == "urn:leveret:task-closed", "{}", reply.body);
    }
    assert_eq!(leveret.ended(instance).await["output"], "carl");
    eventually("it is in the history", SOON, async || {
        leveret.task_history(instance).await.contains(&"Completed by carl".to_owned())
    })
    .await;
    leveret.close_tasks().await;
}
