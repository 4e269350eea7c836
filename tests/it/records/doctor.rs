//! `leveret doctor` finds what falls behind, and `--mend` adds what is missing.

use diesel_async::AsyncConnection as _;
use serde_json::{Value, json};

use crate::support::{CommandLine, CommandOutput, Fresh, InProcess, lines};

fn finding(ran: &CommandOutput, what: &str) -> Value {
    let all: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let found = all.as_array().unwrap().iter().find(|one| one["what"] == what);
    found.unwrap_or_else(|| panic!("no `{what}` in {all}")).clone()
}

fn says(ran: &CommandOutput, what: &str) -> String {
    finding(ran, what)["says"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_behind_is_found_with_its_remedy() {
    let leveret = InProcess::new().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let ran = command_line.say("doctor -o json").await;
    assert_eq!(ran.code, 0, "{}", ran.out);
    for what in ["timers", "dead letters", "partitions", "rights", "tables", "exports"] {
        assert_eq!(finding(&ran, what)["good"], true, "{what}");
    }
    leveret
        .execute(
            "INSERT INTO leveret.dead_letters (reason, source, exchange, routing_key, body, body_bytes, failures)
             VALUES ('a test', 'q', 'e', 'k', '', 0, 2), ('a test', 'q', 'e', 'k', '', 0, 1)",
        )
        .await;
    leveret.execute("INSERT INTO leveret.exports (id, claimed_until, instances) VALUES (gen_random_uuid(), now() - interval '2 hours', 1)").await;
    let ran = command_line.say("doctor -o json").await;
    assert_eq!(ran.code, 1);
    assert!(says(&ran, "dead letters").starts_with("2 wait for a person, 1 of them after being redriven"));
    assert!(says(&ran, "exports").contains("1 were not finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_added_and_noted() {
    let leveret = InProcess::new().await;
    let command_line = CommandLine::on(&leveret.fresh);
    // The newest month, which nothing uses yet.
    let newest =
        leveret.lines("max(c.relname)", "pg_class AS c WHERE c.relname ~ '^history_[0-9]{6}$'").await.remove(0);
    leveret.execute(&format!("DROP TABLE leveret.{newest}")).await;
    leveret.execute("REVOKE DELETE ON leveret.audit FROM leveret_retention").await;
    let ran = command_line.say("doctor -o json").await;
    assert_eq!(ran.code, 1);
    assert!(says(&ran, "partitions").contains(&newest), "{}", says(&ran, "partitions"));
    assert!(says(&ran, "rights").contains("GRANT SELECT, DELETE ON leveret.audit TO leveret_retention"));
    let ran = command_line.say("doctor --mend -o json").await;
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert_eq!(finding(&ran, "mended")["good"], true);
    assert_eq!(finding(&ran, "partitions")["good"], true);
    assert_eq!(finding(&ran, "rights")["good"], true);
    let noted =
        leveret.lines("object || ' ' || outcome", "leveret.audit WHERE action = 'doctor.mend' ORDER BY id").await;
    assert_eq!(noted, ["partitions created", "rights granted"]);
    // Nothing is missing, so nothing is done.
    let again: Value = serde_json::from_str(&command_line.say("doctor --mend -o json").await.good()).unwrap();
    assert!(again.as_array().unwrap().iter().all(|one| one["what"] != json!("mended")), "{again}");
    assert_eq!(leveret.count("leveret.audit").await, 2);
    leveret.close().await;
}

/// Each exchange and queue that was not there is in the audit log, and those that are there are not.
#[tokio::test(flavor = "multi_thread")]
async fn queues_that_are_declared_by_hand_are_noted() {
    let fresh = Fresh::database().await;
    let command_line = CommandLine::on(&fresh);
    let mut conn = leveret::store::Connection::establish(&fresh.database_url).await.unwrap();
    for _ in 0..2 {
        let ran = command_line.say("doctor --mend -o json").await;
        assert_eq!(ran.code, 0, "{}", ran.out);
        let noted = lines(&mut conn, "object || ' ' || outcome", "leveret.audit WHERE action = 'doctor.mend'").await;
        assert_eq!(noted, ["queues declared"]);
    }
    let missing = lines(&mut conn, "details->>'missing'", "leveret.audit").await;
    assert!(missing[0].contains(&format!("{}.commands", fresh.prefix)), "{missing:?}");
}
