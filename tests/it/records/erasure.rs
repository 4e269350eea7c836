//! A person's data is erased everywhere, and the chain stays whole.

use leveret::engine::InstanceId;
use leveret::store::history;
use serde_json::json;

use crate::support::{CommandLine, InProcess};

const KEY: &str = "ann@example.org";
/// Holds the person's data in input, variables, history, a task and its output.
const ORDER: &str = "
name: order
input: { type: object, properties: { name: { type: string } } }
variables: { name: null, said: null }
output: ${ name }
activities:
  - { id: note, set: { name: input.name } }
  - { id: ask, task: { title: 'Call ${ name }', data: { who: name }, candidates: { users: [clerk] } } }
  - { id: wait, receive: { name: said }, output: { said: result.data } }
";
const LIVING: &str = "
name: living
activities:
  - { id: only, receive: { name: never } }
";
/// Every table that may hold it.
const TABLES: [&str; 9] =
    ["instances", "bookmarks", "history", "tasks", "task_candidates", "calls", "messages", "dead_letters", "outbox"];

async fn leveret() -> InProcess {
    let leveret = InProcess::new().await;
    leveret.apply(ORDER).await;
    leveret.apply(LIVING).await;
    for key in [KEY, "other"] {
        leveret.start_with("order", key, json!({ "name": "Ann Smith" })).await;
        leveret.reaches(key, "running at ask").await;
    }
    for task in leveret.lines("id", "leveret.tasks").await {
        leveret.post(&format!("/tasks/{task}/claim"), &json!({ "user": "clerk" })).await.ok(200);
        leveret.post(&format!("/tasks/{task}/complete"), &json!({ "user": "clerk" })).await.ok(200);
    }
    for key in [KEY, "other"] {
        leveret.reaches(key, "running at wait").await;
    }
    leveret.post("/messages", &json!({ "name": "said", "key": KEY, "data": "I am Ann Smith" })).await.ok(200);
    leveret.reaches(KEY, "completed").await;
    leveret.post("/messages", &json!({ "name": "never-taken", "key": KEY, "data": "Ann Smith" })).await.ok(202);
    // A dead letter of the person, and one that only mentions the key.
    for (id, key) in [("d-1", KEY), ("d-2", "somebody")] {
        leveret.sender.command("cancel", id, &json!({ "definition": "order", "key": key, "reason": KEY })).await;
        leveret.count_becomes(1, &format!("leveret.dead_letters WHERE message_id = '{id}'")).await;
    }
    leveret
}

async fn mentions(leveret: &InProcess, of: &str, text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for table in TABLES {
        let row = if table == "dead_letters" { "t::text || convert_from(body, 'UTF8')" } else { "t::text" };
        if leveret.count(&format!("leveret.{table} AS t WHERE {of} AND {row} LIKE '%{text}%'")).await > 0 {
            found.push(table);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_a_key_is_erased_everywhere_and_the_chain_stays_whole() {
    let leveret = leveret().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let id: InstanceId = leveret.id(KEY).await.unwrap();
    assert!(mentions(&leveret, "true", "Ann Smith").await.len() >= 4);
    let before = leveret.count(&format!("leveret.history WHERE instance_id = '{id}'")).await;

    let previewed = command_line.json(&format!("instance erase --key {KEY} --dry-run")).await;
    assert_eq!(
        (&previewed["instances"], &previewed["history"], &previewed["tasks"], &previewed["messages"]),
        (&json!(1), &json!(before), &json!(1), &json!(1)),
        "{previewed}"
    );
    assert_eq!(previewed["dead_letters"], 1, "{previewed}");
    assert_eq!(leveret.count("leveret.tasks").await, 2, "a preview erases nothing");

    let erased = command_line.json(&format!("instance erase --key {KEY} --reason request-17")).await;
    assert_eq!(erased["dry_run"], false);
    for part in ["instances", "history", "tasks", "messages", "dead_letters"] {
        assert_eq!(erased[part], previewed[part], "{part}");
    }
    let other = leveret.id("other").await.unwrap();
    for (table, column) in [("instances", "id"), ("history", "instance_id"), ("tasks", "instance_id")] {
        let rest = format!("leveret.{table} AS t WHERE {column} <> '{other}' AND t::text LIKE '%Ann Smith%'");
        assert_eq!(leveret.count(&rest).await, 0, "{table}");
    }
    let with_key: Vec<_> = mentions(&leveret, "true", KEY).await;
    assert_eq!(with_key, ["dead_letters"], "the letter that only mentions it in its reason");
    // As many rows, each in its place, and the hash is the one before.
    assert_eq!(leveret.count(&format!("leveret.history WHERE instance_id = '{id}'")).await, before);
    history::verify(&mut *leveret.conn().await, id).await.unwrap();
    command_line.say("history verify --all").await.good();
    let shown = command_line.json(&format!("instance show {id}")).await;
    assert_eq!((&shown["status"], &shown["input"], &shown["variables"]), (&json!("completed"), &json!({}), &json!({})));
    command_line.say(&format!("instance history {id}")).await.good();
    // The other instance is as it was.
    assert_eq!(leveret.position("other").await, "running at wait");
    assert_eq!(mentions(&leveret, "true", "Ann Smith").await, ["instances", "history", "tasks"]);

    let noted =
        leveret.lines("object || ' ' || reason", "leveret.audit WHERE action = 'erase' AND subject = 'instance'").await;
    assert_eq!(noted, [format!("{id} request-17")]);
    assert_eq!(leveret.count(&format!("leveret.audit AS t WHERE t::text LIKE '%{KEY}%'")).await, 0);
    // Again: there is nothing left.
    let again = command_line.json(&format!("instance erase --key {KEY}")).await;
    assert_eq!((&again["instances"], &again["messages"], &again["dead_letters"]), (&json!(0), &json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_keeps_its_data_and_is_named() {
    let leveret = InProcess::new().await;
    leveret.apply(LIVING).await;
    leveret.start("living", "L").await;
    leveret.reaches("L", "running at only").await;
    let id = leveret.id("L").await.unwrap();
    let command_line = CommandLine::on(&leveret.fresh);
    let said = command_line.say("instance erase --key L").await.failed();
    assert!(said.contains("1 instances live") && said.contains(&id.to_string()), "{said}");
    assert_eq!(leveret.count("leveret.history WHERE salt IS NULL").await, 0);
    command_line.say(&format!("instance cancel {id}")).await.good();
    command_line.say(&format!("instance erase --instance {id}")).await.good();
    assert_eq!(leveret.count("leveret.history WHERE salt IS NOT NULL").await, 0);
    let said = command_line.say(&format!("instance erase --instance {}", uuid::Uuid::nil())).await.failed();
    assert!(said.contains("there is no instance"), "{said}");
    assert_eq!(command_line.say("instance erase").await.code, 2);
    leveret.close().await;
}
