//! What was closed inside of instances that live goes by its age; what is open stays.

use std::time::Duration;

use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::cleaner::retention;
use leveret::time::retention::Retention;
use serde_json::json;

use crate::support::{Fresh, InProcess};

const LONG: &str = "
name: long
activities:
  - { id: wait, receive: { name: go } }
  - { id: ask, task: { title: Go on?, candidates: { users: [ann] } } }
  - { id: again, receive: { name: go } }
";
/// Without the role cleaner: the test decides when it runs.
const ROLES: [Role; 6] = [Role::Worker, Role::Relay, Role::Timers, Role::Caller, Role::DeadLetters, Role::Api];

#[tokio::test(flavor = "multi_thread")]
async fn consumed_bookmarks_and_closed_tasks_go_and_the_instance_lives_on() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.retention.closed = Retention::For(Duration::from_millis(1));
    let leveret = InProcess::on(fresh, config, Handlers::new(), &ROLES).await;
    leveret.apply(LONG).await;
    leveret.start("long", "A").await;
    leveret.reaches("A", "running at wait").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(retention::pass(leveret.app()).await.unwrap().closed, 0, "everything is open");
    leveret.post("/messages", &json!({ "name": "go", "key": "A" })).await.ok(200);
    leveret.reaches("A", "running at ask").await;
    let task = leveret.lines("id", "leveret.tasks").await.remove(0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(retention::pass(leveret.app()).await.unwrap().closed, 1, "the wait for a message");
    assert_eq!(leveret.lines("activity", "leveret.bookmarks").await, ["ask"]);
    leveret.post(&format!("/tasks/{task}/claim"), &json!({ "user": "ann" })).await.ok(200);
    leveret.post(&format!("/tasks/{task}/complete"), &json!({ "user": "ann" })).await.ok(200);
    leveret.reaches("A", "running at again").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(retention::pass(leveret.app()).await.unwrap().closed, 2, "the task and its bookmark");
    assert_eq!(leveret.count("leveret.tasks").await, 0);
    leveret.post("/messages", &json!({ "name": "go", "key": "A" })).await.ok(200);
    leveret.reaches("A", "completed").await;
    // An ended instance keeps what it has until it goes itself.
    assert_eq!(retention::pass(leveret.app()).await.unwrap().closed, 0);
    assert_eq!(leveret.lines("activity", "leveret.bookmarks").await, ["again"]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_more_than_a_batch_is_looked_at_again() {
    let fresh = Fresh::new().await;
    let config = InProcess::config(&fresh);
    let leveret = InProcess::on(fresh, config, Handlers::new(), &ROLES).await;
    leveret.apply(LONG).await;
    leveret.start("long", "A").await;
    leveret.reaches("A", "running at wait").await;
    let id = leveret.id("A").await.unwrap();
    leveret
        .execute(&format!(
            "INSERT INTO leveret.bookmarks (instance_id, number, kind, opened_at, consumed_at)
             SELECT leveret.uuid_at(now() - interval '100 days'), n, 'intervention', now(), now() - interval '91 days'
               FROM generate_series(1, 10) AS n;
             INSERT INTO leveret.bookmarks (instance_id, number, kind, opened_at, consumed_at)
             SELECT '{id}', 1000 + n, 'intervention', now(), now() - interval '91 days' FROM generate_series(1, 10) AS n"
        ))
        .await;
    assert_eq!(retention::pass(leveret.app()).await.unwrap().closed, 0, "the instance is younger than 90 days");
    let mut conn = leveret.conn().await;
    let now = leveret.app().clock.now();
    let page = leveret::store::retention::delete_closed(&mut conn, now, None, 4).await.unwrap();
    assert_eq!((page.seen, page.deleted), (1, 4), "at most as many as asked for");
    assert_eq!(leveret.count(&format!("leveret.bookmarks WHERE instance_id = '{id}'")).await, 7);
}
