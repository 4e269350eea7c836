//! Dead letters after their cause was removed: shown, counted, redriven and dropped by what they have in common.

use serde_json::{Value, json};

use crate::support::{CommandLine, InProcess, Sender};

const LATER: &str = "
name: later
activities:
  - { id: only, run: { handler: book } }
";

/// Three starts of a definition that does not exist, and a command to nobody.
async fn leveret() -> InProcess {
    let leveret = InProcess::with_ledger().await;
    for key in ["A", "B", "C"] {
        // With the routing key that senders use, which names the definition.
        let body = json!({ "definition": "later", "key": key }).to_string();
        leveret.sender.send("commands", "start.later", Sender::properties("start", key), body.as_bytes()).await;
    }
    leveret.sender.command("cancel", "nobody", &json!({ "definition": "step", "key": "nobody" })).await;
    leveret.count_becomes(4, "leveret.dead_letters").await;
    leveret
}

async fn failures(leveret: &InProcess) -> Vec<String> {
    let line = "failures || ' ' || redriven || ' ' || (redriven_at IS NULL)";
    leveret.lines(line, "leveret.dead_letters WHERE kind = 'start' ORDER BY id").await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_redriven_after_a_preview_and_one_that_fails_again_counts() {
    let leveret = leveret().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let previewed = command_line.json("dead-letter redrive --definition later --dry-run").await;
    assert_eq!((&previewed["count"], &previewed["items"][0]["count"]), (&json!(3), &json!(3)), "{previewed}");
    assert!(previewed["items"][0]["reason"].as_str().unwrap().contains("later"), "{previewed}");
    assert_eq!(failures(&leveret).await, ["1 0 true"; 3]);

    // The cause is still there.
    let done = command_line.json("dead-letter redrive --definition later --reason hope").await;
    assert_eq!((&done["done"], &done["refused"]), (&json!(3), &json!(0)));
    leveret.count_becomes(3, "leveret.dead_letters WHERE failures = 2").await;
    assert_eq!(failures(&leveret).await, ["2 1 true"; 3], "they are the same dead letters");
    assert_eq!(leveret.count("leveret.dead_letters").await, 4);

    leveret.apply(LATER).await;
    let body = json!({ "why": "later", "kind": "start", "queue": "commands", "limit": 2 });
    let first = leveret.post("/dead-letters/redrive", &body).await.ok(200);
    assert_eq!((&first["done"], first["next"].is_i64()), (&json!(2), true), "{first}");
    let mut second = body.clone();
    second["after"] = first["next"].clone();
    second["upto"] = first["upto"].clone();
    let second = leveret.post("/dead-letters/redrive", &second).await.ok(200);
    assert_eq!((&second["done"], &second["next"]), (&json!(1), &Value::Null), "{second}");
    for key in ["A", "B", "C"] {
        leveret.reaches(key, "completed").await;
    }
    assert_eq!(failures(&leveret).await, ["2 2 false"; 3]);
    // What was redriven does not wait for it any more.
    assert_eq!(command_line.json("dead-letter redrive --definition later").await["done"], 0);
    assert_eq!(leveret.count("leveret.audit WHERE action = 'dead_letter.redrive'").await, 6);
    assert_eq!(leveret.count("leveret.audit WHERE reason = 'hope'").await, 3);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_or_many_are_dropped_with_a_reason() {
    let leveret = leveret().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let said = command_line.say("dead-letter drop").await.failed();
    assert!(said.contains("say which"), "{said}");
    leveret.post("/dead-letters/drop", &json!({})).await.problem(400, "invalid");
    assert_eq!(command_line.say("dead-letter drop --all --kind start").await.code, 2);
    let dropped = command_line.say("dead-letter drop --kind cancel --reason done").await.good();
    assert_eq!(dropped.trim(), "1 dropped, 0 refused");
    let id = leveret.lines("id", "leveret.dead_letters ORDER BY id").await.remove(0);
    leveret.post(&format!("/dead-letters/{id}/drop"), &json!({ "reason": "a test" })).await.ok(200);
    leveret.post(&format!("/dead-letters/{id}/drop"), &json!({})).await.problem(404, "not-found");
    let previewed = leveret.post("/dead-letters/drop", &json!({ "all": true, "dry_run": true })).await.ok(200);
    assert_eq!(previewed["count"], 2);
    assert_eq!(leveret.count("leveret.dead_letters").await, 2);
    let noted = leveret.lines("reason", "leveret.audit WHERE action = 'dead_letter.drop' ORDER BY id").await;
    assert_eq!(noted, ["done", "a test"]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_shows_where_it_belongs_its_headers_and_its_bytes() {
    let leveret = leveret().await;
    leveret
        .execute(
            "INSERT INTO leveret.dead_letters (reason, source, exchange, routing_key, headers, body, body_bytes)
             VALUES ('a test', 'q', 'e', 'k', '{\"traceparent\": \"00\"}', '\\xff00', 2)",
        )
        .await;
    let id = leveret.lines("max(id)", "leveret.dead_letters").await.remove(0);
    let shown = leveret.get(&format!("/dead-letters/{id}")).await.ok(200);
    assert_eq!((&shown["body_hex"], &shown["body"]), (&json!("ff00"), &Value::Null));
    assert_eq!((&shown["exchange"], &shown["routing_key"], &shown["source"]), (&json!("e"), &json!("k"), &json!("q")));
    assert_eq!((&shown["headers"], &shown["failures"]), (&json!({ "traceparent": "00" }), &json!(1)));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_into_a_letter_by_its_message_id() {
    let leveret = leveret().await;
    let id = leveret.lines("id", "leveret.dead_letters WHERE kind = 'start' ORDER BY id").await.remove(0);
    // Redriven, and failed again with another body: somebody has guessed the id.
    leveret
        .execute(&format!(
            "UPDATE leveret.dead_letters SET redriven = 1, redriven_at = now(),
                    redriven_as = '0197aaaa-0000-7000-8000-000000000001' WHERE id = {id}"
        ))
        .await;
    let forged = "0197aaaa-0000-7000-8000-000000000001";
    leveret.sender.command("cancel", forged, &json!({ "definition": "step", "key": "forged" })).await;
    leveret.count_becomes(5, "leveret.dead_letters").await;
    assert_eq!(failures(&leveret).await, ["1 1 false", "1 0 true", "1 0 true"]);
    leveret.close().await;
}
