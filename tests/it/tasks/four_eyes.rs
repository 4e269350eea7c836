//! The documented examples of four eyes exclude the person who started the instance, through whichever door.

use serde_json::{Value, json};

use crate::support::{CommandLine, InProcess, SOON, eventually};

/// The example below a heading of a document, as a whole definition.
fn documented(name: &str, page: &str, heading: &str) -> String {
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("no section `{heading}`"));
    let example = section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let other = if example.contains("other") { "- { id: other, end: {} }\n" } else { "" };
    format!(
        "name: {name}\ninput: {{ type: object, properties: {{ order_id: {{ type: string, default: A-1 }} }} }}\n\
         variables: {{ outcome: null }}\nactivities:\n{example}- {{ id: later, end: {{}} }}\n{other}"
    )
}

fn asked() -> String {
    documented("asked", include_str!("../../../docs/language.md"), "### task: wait for a person")
}

fn four_eyes() -> String {
    documented("four-eyes", include_str!("../../../docs/waiting.md"), "### Four eyes")
}

/// Starts an instance for Ann through each door, with the door as its key.
async fn start_for_ann(leveret: &InProcess, definition: &str) -> [&'static str; 4] {
    let body = |key: &str| json!({ "definition": definition, "key": key, "user": "ann" });
    leveret.post("/instances", &body("http")).await.ok(201);
    let line = CommandLine::on(&leveret.fresh);
    line.say(&format!("instance start {definition} --key line --as ann")).await.good();
    leveret.sender.command("start", &format!("amqp {definition}"), &body("amqp")).await;
    leveret.execute(&format!("SELECT leveret.start('{definition}', key => 'sql', started_by => 'ann')")).await;
    ["http", "line", "amqp", "sql"]
}

async fn task_of(leveret: &InProcess, definition: &str, key: &str, activity: &str) -> Value {
    let from = format!(
        "leveret.tasks AS t JOIN leveret.instances AS i ON i.id = t.instance_id \
         WHERE i.definition = '{definition}' AND i.key = '{key}' AND t.activity = '{activity}' AND t.open"
    );
    eventually("the task is open", SOON, async || leveret.count(&from).await == 1).await;
    json!({ "id": leveret.lines("t.id", &from).await[0] })
}

fn person(user: &str, group: &str, decision: Option<&str>) -> Value {
    json!({ "user": user, "groups": [group], "decision": decision })
}

#[tokio::test]
async fn who_started_it_cannot_approve_it_through_any_door() {
    let leveret = InProcess::new().await;
    leveret.apply(&asked()).await;
    for door in start_for_ann(&leveret, "asked").await {
        let task = task_of(&leveret, "asked", door, "approve").await;
        let own = leveret.act(&task, "complete", person("ann", "managers", Some("approve"))).await;
        own.problem(403, "task-excluded");
        leveret.act(&task, "complete", person("mia", "managers", Some("approve"))).await.ok(200);
        leveret.reaches(door, "completed").await;
    }
    leveret.stop().await;
}

#[tokio::test]
async fn who_made_or_started_it_cannot_check_it_through_any_door() {
    let leveret = InProcess::new().await;
    leveret.apply(&four_eyes()).await;
    for door in start_for_ann(&leveret, "four-eyes").await {
        let made = task_of(&leveret, "four-eyes", door, "make").await;
        leveret.act(&made, "complete", person("bob", "clerks", None)).await.ok(200);
        let check = task_of(&leveret, "four-eyes", door, "check").await;
        for excluded in ["ann", "bob"] {
            let own = leveret.act(&check, "complete", person(excluded, "clerks", Some("good"))).await;
            own.problem(403, "task-excluded");
        }
        leveret.act(&check, "complete", person("carl", "clerks", Some("good"))).await.ok(200);
        leveret.reaches(door, "completed").await;
    }
    leveret.stop().await;
}

#[tokio::test]
async fn a_start_without_a_user_names_its_sender_and_on_the_command_line_the_account() {
    let leveret = InProcess::new().await;
    leveret.apply("name: kept\nvariables: { x: 0 }\nactivities: [{ id: only, set: { x: 1 } }]").await;
    leveret.post("/instances", &json!({ "definition": "kept", "key": "http" })).await.ok(201);
    CommandLine::on(&leveret.fresh).say("instance start kept --key line").await.good();
    leveret.start("kept", "amqp").await;
    leveret.execute("SELECT leveret.start('kept', key => 'sql')").await;
    leveret.count_becomes(4, "leveret.instances WHERE status = 'completed'").await;
    let account = std::process::Command::new("id").arg("-un").output().unwrap();
    let account = String::from_utf8(account.stdout).unwrap();
    let found = leveret.lines("key || ' ' || started_by", "leveret.instances ORDER BY key").await;
    let sql = format!("sql leveret.sql/{}", leveret.fresh.role());
    assert_eq!(found, ["amqp upstream", "http leveret.http", &format!("line {}", account.trim()), &sql]);
    // A user of no or too many letters is refused at each door.
    for user in ["", "a\u{0}b", &"x".repeat(256)] {
        let body = json!({ "definition": "kept", "user": user });
        leveret.post("/instances", &body).await.problem(400, "invalid");
    }
    leveret.close().await;
}
