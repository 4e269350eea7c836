//! The audit log: every action of an operator, once, in its transaction; and nothing else.

use diesel_async::SimpleAsyncConnection;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::cleaner::retention;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{CommandLine, Fresh, InProcess};

const WAITING: &str = "
name: waiting
activities:
  - { id: only, receive: { name: paid } }
";
const ASKING: &str = "
name: asking
activities:
  - { id: ask, task: { title: Go on?, candidates: { users: [ann, ben] } } }
";

async fn leveret() -> InProcess {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    leveret.apply(ASKING).await;
    leveret
}

async fn entries(leveret: &InProcess, query: &str) -> Vec<Value> {
    let page = leveret.get(&format!("/audit{query}")).await.ok(200);
    page["items"].as_array().unwrap().clone()
}

/// Action, subject, door and outcome of every entry, oldest first.
async fn told(leveret: &InProcess) -> Vec<String> {
    let line = "action || ' ' || subject || ' by ' || door || ': ' || outcome";
    leveret.lines(line, "leveret.audit ORDER BY id").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do_is_noted_once_and_ordinary_work_is_not() {
    let leveret = leveret().await;
    for (definition, key) in [("waiting", "A"), ("waiting", "B"), ("asking", "C")] {
        leveret.start(definition, key).await;
    }
    leveret.reaches("A", "running at only").await;
    leveret.reaches("B", "running at only").await;
    leveret.reaches("C", "running at ask").await;
    leveret.post("/messages", &json!({ "name": "paid", "key": "B" })).await.ok(200);
    leveret.reaches("B", "completed").await;
    let task = leveret.lines("id", "leveret.tasks").await.remove(0);
    leveret.post(&format!("/tasks/{task}/claim"), &json!({ "user": "ann" })).await.ok(200);
    assert_eq!(told(&leveret).await, [""; 0], "starts, messages, steps and the work of people");

    let id = leveret.id("A").await.unwrap();
    let suspend = format!("/instances/{id}/suspend");
    let reason = json!({ "reason": "the bank asked" });
    leveret.post_as("once", &suspend, &reason).await.ok(200);
    leveret.post_as("once", &suspend, &reason).await.ok(200);
    leveret.post(&suspend, &reason).await.problem(409, "refused");
    assert_eq!(told(&leveret).await, ["suspend instance by http: suspended"], "once, and not if it is refused");
    let entry = &entries(&leveret, "").await[0];
    assert_eq!(
        (&entry["actor"], &entry["object"], &entry["reason"]),
        (&json!("leveret.http"), &json!(id), &json!("the bank asked"))
    );

    let named = Client::new().post(leveret.url(&format!("/instances/{id}/resume"))).header("leveret-actor", "ann");
    assert_eq!(named.send().await.unwrap().status(), 200);
    assert_eq!(entries(&leveret, "?actor=ann").await[0]["action"], "resume");
    leveret.post(&format!("/tasks/{task}/reassign"), &json!({ "user": "boss", "to": "ben" })).await.ok(200);
    let reassigned = &entries(&leveret, "?action=task.reassign").await[0];
    assert_eq!((&reassigned["actor"], &reassigned["object"]), (&json!("boss"), &json!(task)));
    leveret
        .sender
        .command("cancel", "c-1", &json!({ "definition": "waiting", "key": "A", "reason": "obsolete" }))
        .await;
    leveret.reaches("A", "cancelled").await;
    assert_eq!(
        told(&leveret).await[1..],
        [
            "resume instance by http: resumed",
            "task.reassign task by http: reassigned",
            "cancel instance by broker: cancelled",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_schedules_and_definitions_are_noted_if_something_changes() {
    let leveret = leveret().await;
    let plan = json!({ "definition": "waiting", "cron": "0 0 1 1 *" }).to_string();
    leveret.send(Method::PUT, "/schedules/yearly", None, plan.clone()).await.ok(201);
    // Nothing has changed.
    leveret.send(Method::PUT, "/schedules/yearly", None, plan).await.ok(200);
    leveret.post("/schedules/yearly/pause", &json!({})).await.ok(200);
    leveret.post("/schedules/yearly/pause", &json!({})).await.ok(200);
    leveret.post("/schedules/yearly/resume", &json!({})).await.ok(200);
    leveret.send(Method::DELETE, "/schedules/yearly", None, String::new()).await.ok(204);
    let document = WAITING.replace("only", "other");
    leveret.send(Method::PUT, "/definitions/waiting", None, document.clone()).await.ok(201);
    leveret.send(Method::PUT, "/definitions/waiting", None, document).await.ok(200);

    assert_eq!(
        told(&leveret).await,
        [
            "schedule.put schedule by http: created",
            "schedule.pause schedule by http: paused",
            "schedule.resume schedule by http: resumed",
            "schedule.delete schedule by http: deleted",
            "definition.apply definition by http: applied",
        ]
    );
    leveret.get("/audit?limit=501").await.problem(400, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_what_was_noted_its_own_actions_too() {
    let leveret = leveret().await;
    leveret.start("asking", "C").await;
    leveret.reaches("C", "running at ask").await;
    leveret.send(Method::PUT, "/definitions/waiting", None, WAITING.replace("only", "other")).await.ok(201);
    let command_line = CommandLine::on(&leveret.fresh);
    command_line.say(&format!("instance cancel {} --reason late", leveret.id("C").await.unwrap())).await.good();
    command_line.say("cleaner").await.good();
    let listed = command_line.json("audit list --limit 3").await;
    let items = listed["items"].as_array().unwrap();
    let actions: Vec<_> = items.iter().map(|item| (item["action"].as_str(), item["outcome"].as_str())).collect();
    assert_eq!(
        actions,
        [
            (Some("cleaner.run"), Some("done")),
            (Some("cleaner.run"), Some("begun")),
            (Some("cancel"), Some("cancelled"))
        ]
    );
    assert_eq!(items[2]["door"], "cli");
    let next = command_line.json(&format!("audit list --limit 1 --cursor {}", listed["next"].as_str().unwrap())).await;
    assert_eq!(next["items"][0]["action"], "definition.apply");
    assert!(command_line.say("audit list --object waiting").await.good().contains("definition.apply"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_noted_is_not_done() {
    let leveret = leveret().await;
    leveret.start("waiting", "A").await;
    leveret.reaches("A", "running at only").await;
    leveret
        .execute("ALTER TABLE leveret.audit ADD CONSTRAINT broken CHECK (action NOT IN ('suspend', 'schedule.put'))")
        .await;
    let id = leveret.id("A").await.unwrap();
    leveret.post(&format!("/instances/{id}/suspend"), &json!({})).await.problem(500, "bug");
    assert_eq!(leveret.position("A").await, "running at only");
    let plan = json!({ "definition": "waiting", "cron": "0 0 1 1 *" }).to_string();
    leveret.send(Method::PUT, "/schedules/yearly", None, plan).await.problem(500, "bug");
    assert_eq!(leveret.count("leveret.schedules").await, 0);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_only_be_appended_until_it_is_no_longer_kept() {
    let fresh = Fresh::new().await;
    let config = InProcess::config(&fresh);
    // Without the role cleaner: the test decides when it runs.
    let leveret = InProcess::on(fresh, config, Handlers::new(), &[Role::Worker, Role::Relay, Role::Api]).await;
    let old = |days: i64| {
        format!(
            "INSERT INTO leveret.audit (at, actor, door, action, subject, object, outcome)
             VALUES (now() - interval '{days} days', 'ann', 'cli', 'cancel', 'instance', 'x', 'cancelled')"
        )
    };
    for days in [800, 731, 700] {
        leveret.execute(&old(days)).await;
    }
    for change in [
        "UPDATE leveret.audit SET actor = 'ben'",
        "DELETE FROM leveret.audit",
        "TRUNCATE leveret.audit",
        // One string is one transaction.
        "SET LOCAL ROLE leveret_retention; UPDATE leveret.audit SET actor = 'ben'",
    ] {
        let refused = leveret.conn().await.batch_execute(change).await;
        assert!(refused.is_err(), "{change}");
    }
    assert_eq!(retention::pass(leveret.app()).await.unwrap().audit, 2);
    assert_eq!(leveret.count("leveret.audit").await, 1);
}
