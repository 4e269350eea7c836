//! The user who acts is the one that was authenticated, in commands, tasks, the history and the audit log.

use leveret::command::api_key::Others;
use leveret::contract::scope::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Guarded, Holder};
use crate::support::{SOON, eventually};

const WAITING: &str = "
name: waiting
activities:
  - { id: payment, receive: { name: paid } }
";
const ASKING: &str = "
name: asking
activities:
  - id: ask
    task: { title: Approve, candidates: { groups: [sales] }, exclude: ['${ instance.started_by }'], decisions: { approve: Approve } }
";

async fn task_of(guarded: &Guarded, key: &str) -> String {
    let from = format!(
        "leveret.tasks AS t JOIN leveret.instances AS i ON i.id = t.instance_id WHERE i.key = '{key}' AND t.open"
    );
    eventually("the task is open", SOON, async || guarded.leveret.count(&from).await == 1).await;
    guarded.leveret.lines("t.id", &from).await.remove(0)
}

async fn started(shop: &Holder<'_>, body: Value) -> String {
    shop.post("/api/v1/instances", &body).await.ok(201)["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_instance_is_started_and_controlled_by_who_was_authenticated() {
    let guarded = Guarded::new().await;
    guarded.leveret.apply(WAITING).await;
    let shop = guarded.key("web-shop", &[Scope::Start, Scope::Read]).await;
    let olga = guarded.key("olga", &[Scope::Operate]).await;
    let id = started(&shop, json!({ "definition": "waiting", "key": "A" })).await;
    let shown = shop.get(&format!("/api/v1/instances/{id}")).await.ok(200);
    assert_eq!(shown["started_by"], "web-shop");
    let other = json!({ "definition": "waiting", "key": "B", "user": "eve" });
    let said = shop.post("/api/v1/instances", &other).await.problem(403, "other-user");
    assert!(said.contains("`user`") && said.contains("web-shop") && said.contains("acts for others"), "{said}");
    assert_eq!(guarded.leveret.count("leveret.instances").await, 1, "nothing was started");

    let suspend = format!("/api/v1/instances/{id}/suspend");
    olga.post(&suspend, &json!({ "actor": "eve" })).await.problem(403, "other-user");
    let named = olga.send(Method::POST, &suspend, &[("leveret-actor", "eve")], Some("{}")).await;
    assert!(named.problem(403, "other-user").contains("`Leveret-Actor`"));
    olga.post(&suspend, &json!({ "actor": "olga", "reason": "the bank asked" })).await.ok(200);
    olga.post(&format!("/api/v1/instances/{id}/resume"), &json!({})).await.ok(200);
    let history = shop.get(&format!("/api/v1/instances/{id}/history")).await.ok(200);
    let by: Vec<_> = history["items"].as_array().unwrap().iter().map(|row| row["details"]["by"].clone()).collect();
    assert!(by.iter().filter(|by| **by == "olga").count() >= 2 && by[0] == "web-shop", "{history}");
    let noted = shop.get("/api/v1/audit?subject=instance").await.ok(200);
    for entry in noted["items"].as_array().unwrap() {
        assert_eq!(
            (&entry["actor"], &entry["door"], &entry["details"]),
            (&json!("olga"), &json!("http"), &Value::Null)
        );
    }
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn callers_do_not_share_idempotency_keys() {
    let guarded = Guarded::new().await;
    guarded.leveret.apply(WAITING).await;
    let (one, other) = (guarded.key("one", &[Scope::Start]).await, guarded.key("other", &[Scope::Start]).await);
    let start = async |holder: &Holder<'_>, key: &str| {
        let body = json!({ "definition": "waiting", "key": key }).to_string();
        holder.send(Method::POST, "/api/v1/instances", &[("idempotency-key", "order-1")], Some(&body)).await.ok(201)
    };
    let first = start(&one, "A").await;
    assert_eq!(start(&one, "A").await, first, "a repetition");
    assert_ne!(start(&other, "B").await, first, "the message of somebody else");
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn a_clerk_works_on_tasks_as_itself_and_in_its_own_groups() {
    let guarded = Guarded::new().await;
    guarded.leveret.apply(ASKING).await;
    let shop = guarded.key("web-shop", &[Scope::Start]).await;
    let ann = guarded.key_with("ann", &[Scope::Task], |key| key.groups = vec!["sales".into()]).await;
    let tom = guarded.key("tom", &[Scope::Task]).await;
    started(&shop, json!({ "definition": "asking", "key": "A" })).await;
    let task = task_of(&guarded, "A").await;
    let act = |verb: &str| format!("/api/v1/tasks/{task}/{verb}");

    ann.post(&act("claim"), &json!({ "user": "bob" })).await.problem(403, "other-user");
    let said = ann.post(&act("claim"), &json!({ "groups": ["sales", "board"] })).await.problem(403, "other-user");
    assert!(said.contains("`board`"), "{said}");
    tom.post(&act("claim"), &json!({ "groups": ["sales"] })).await.problem(403, "other-user");
    tom.post(&act("claim"), &json!({})).await.problem(403, "task-not-candidate");
    let claimed = ann.post(&act("claim"), &json!({})).await.ok(200);
    assert_eq!(claimed["claimed_by"], "ann");
    ann.post(&act("release"), &json!({ "user": "ann" })).await.ok(200);
    let next = ann.post("/api/v1/tasks/claim-next", &json!({})).await.ok(200);
    assert_eq!((&next["id"], &next["claimed_by"]), (&json!(task), &json!("ann")));
    let done = ann.post(&act("complete"), &json!({ "decision": "approve" })).await.ok(200);
    assert_eq!(done["completed_by"], "ann");
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn who_started_it_is_excluded_although_it_does_not_say_who_it_is() {
    let guarded = Guarded::new().await;
    guarded.leveret.apply(ASKING).await;
    let sales = |key: &mut leveret::command::api_key::KeyRequest| key.groups = vec!["sales".into()];
    let ann = guarded.key_with("ann", &[Scope::Task, Scope::Start], sales).await;
    started(&ann, json!({ "definition": "asking", "key": "A" })).await;
    let task = task_of(&guarded, "A").await;
    ann.post(&format!("/api/v1/tasks/{task}/claim"), &json!({})).await.problem(403, "task-excluded");
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn a_service_acts_for_the_people_it_names_and_is_noted() {
    let guarded = Guarded::new().await;
    guarded.leveret.apply(ASKING).await;
    guarded.leveret.apply(WAITING).await;
    let others = |key: &mut leveret::command::api_key::KeyRequest| key.others = Others::Allowed;
    let desk = guarded.key_with("desk", &[Scope::Task, Scope::Operate, Scope::Start, Scope::Read], others).await;
    started(&desk, json!({ "definition": "asking", "key": "A", "user": "carl" })).await;
    let task = task_of(&guarded, "A").await;
    let claim = format!("/api/v1/tasks/{task}/claim");
    let claimed = desk.post(&claim, &json!({ "user": "bob", "groups": ["sales"] })).await.ok(200);
    assert_eq!(claimed["claimed_by"], "bob");
    desk.post(&format!("/api/v1/tasks/{task}/reassign"), &json!({ "user": "bob", "to": "ben" })).await.ok(200);
    let noted = desk.get("/api/v1/audit?action=task.reassign").await.ok(200);
    let entry = &noted["items"][0];
    assert_eq!((&entry["actor"], &entry["details"]), (&json!("bob"), &json!({ "via": "desk" })));

    let id = started(&desk, json!({ "definition": "waiting", "key": "B", "user": "carl" })).await;
    assert_eq!(desk.get(&format!("/api/v1/instances/{id}")).await.ok(200)["started_by"], "carl");
    let cancel = format!("/api/v1/instances/{id}/cancel");
    // The header decides for the whole request.
    let for_carl = [("leveret-actor", "carl")];
    let both = desk.send(Method::POST, &cancel, &for_carl, Some(r#"{ "actor": "eve" }"#)).await;
    both.problem(403, "other-user");
    desk.send(Method::POST, &cancel, &for_carl, Some("{}")).await.ok(200);
    let noted = desk.get("/api/v1/audit?action=cancel").await.ok(200);
    let entry = &noted["items"][0];
    assert_eq!((&entry["actor"], &entry["details"]), (&json!("carl"), &json!({ "via": "desk" })));
    desk.send(Method::GET, "/api/v1/targets", &[("leveret-actor", "")], None).await.problem(400, "invalid");
    guarded.leveret.stop().await;
}
