//! What `doctor` and `/readyz` say of sessions, kept messages, a read-only database and queues.

use leveret::handlers::Handlers;
use leveret::roles::Role;
use serde_json::{Value, json};

use super::{MEETS, alter, insist, serve, set_default, set_default_of_role};
use crate::support::{CommandLine, Fault, Fresh, InProcess, SOON, eventually};

fn finding(findings: &str, what: &str) -> (bool, String) {
    let all: Value = serde_json::from_str(findings).unwrap();
    let found = all.as_array().unwrap().iter().find(|one| one["what"] == what);
    let found = found.unwrap_or_else(|| panic!("nothing of {what}: {all}"));
    (found["good"] == true, found["says"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_doctor_finds_a_message_that_a_wait_has_overlooked_and_its_remedy_works() {
    let leveret = InProcess::new().await;
    leveret.apply(MEETS).await;
    leveret
        .apply("name: picky\nactivities: [{ id: wait, receive: { name: hello, key: picky, when: data.good } }]")
        .await;
    leveret.start_with("meets", "A", json!({ "k": "a" })).await;
    leveret.start("picky", "B").await;
    leveret.reaches("A", "running at wait").await;
    leveret.reaches("B", "running at wait").await;
    // Refused by the filter of the wait: nothing is overlooked.
    leveret.post("/messages", &json!({ "name": "hello", "key": "picky", "data": { "good": false } })).await.ok(202);
    let doctor = CommandLine::on(&leveret.fresh);
    let (good, said) = finding(&doctor.say("doctor -o json").await.good(), "messages");
    assert!(good, "{said}");
    leveret
        .execute("INSERT INTO leveret.messages (name, key, data, expires_at) VALUES ('hello', 'a', 'null', now() + interval '1 day')")
        .await;
    let id = leveret.id("A").await.unwrap();
    let (good, said) = finding(&doctor.say("doctor -o json").await.failed(), "messages");
    assert!(!good, "{said}");
    for part in [&id.to_string(), "`wait`", "`hello`", "the key `a`"] {
        assert!(said.contains(part), "{said}");
    }
    for words in said.split('`').filter(|words| words.starts_with("leveret instance")) {
        doctor.say(words.trim_start_matches("leveret ")).await.good();
    }
    leveret.reaches("A", "completed").await;
    assert!(finding(&doctor.say("doctor -o json").await.good(), "messages").0);
    leveret.stop().await;
}

#[tokio::test]
async fn the_doctor_says_which_defaults_are_not_used() {
    let fresh = Fresh::new().await;
    set_default(&fresh, "default_transaction_isolation = 'repeatable read'").await;
    set_default_of_role(&fresh, "synchronous_commit = off").await;
    let leveret = serve(fresh, |_| {}).await;
    let doctor = CommandLine::on(&leveret.fresh);
    let (good, said) = finding(&doctor.say("doctor -o json").await.good(), "session");
    assert!(good && said.contains("default_transaction_isolation = repeatable read"), "{said}");
    assert!(said.contains("synchronous_commit = on") && said.contains("synchronous_commit = off"), "{said}");
    // Not on a terminal, a long finding must not widen the lines of all others.
    let table = doctor.say("doctor").await.good();
    let longest = table.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    assert!(longest <= 120, "{longest}: {table}");
    leveret.close().await;
}

#[tokio::test]
async fn a_read_only_database_is_neither_ready_nor_healthy() {
    let mut fault = Fault::new("the database becomes read-only, and writable again", "F55", "I2 I3 I4 I12 I16");
    let leveret = InProcess::new().await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let name = leveret.fresh.prefix.clone();
    leveret.apply("name: kept\nvariables: { x: 0 }\nactivities: [{ id: only, set: { x: 1 } }]").await;
    alter(&leveret.fresh, &format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on")).await;
    alter(&leveret.fresh, others).await;
    let mut body = Value::Null;
    let not_ready = async || {
        let reply = leveret.get("/readyz").await;
        body = reply.body.clone();
        reply.status.as_u16() == 503 && body["database"] == "read-only"
    };
    eventually("it is not ready", SOON, not_ready).await;
    let said = CommandLine::on(&leveret.fresh).say("doctor -o json").await.failed();
    let (good, says) = finding(&said, "database");
    assert!(!good && says.contains("read-only"), "{says}");
    fault.fired(0);
    alter(&leveret.fresh, &format!("ALTER DATABASE \"{name}\" RESET default_transaction_read_only")).await;
    eventually("it is ready", SOON, async || leveret.get("/readyz").await.status.is_success()).await;
    fault.recovered();
    // A session that began while it was read-only is replaced when it meets that.
    insist(&leveret, "/instances", &json!({ "definition": "kept" })).await;
    leveret.count_becomes(1, "leveret.instances WHERE status = 'completed'").await;
    leveret.close().await;
    fault.held();
}

#[tokio::test]
async fn before_anything_runs_the_doctor_finds_no_fault() {
    let fresh = Fresh::database().await;
    let (good, said) = finding(&CommandLine::on(&fresh).say("doctor -o json").await.good(), "queues");
    assert!(good && said.contains("none is declared yet"), "{said}");
    let config = InProcess::config(&fresh);
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    let (good, said) = finding(&CommandLine::on(&leveret.fresh).say("doctor -o json").await.good(), "queues");
    assert!(good && said == "match their declaration", "{said}");
    leveret.close().await;
}
