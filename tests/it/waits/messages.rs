//! Messages: alternatives, filters beyond the first hundred, broadcasts, and what is kept and listed.

use serde_json::{Value, json};

use crate::support::{CommandLine, InProcess};

const CHOICE: &str = "
name: choice
variables: { taken: null }
output: ${ taken }
activities:
  - id: ask
    receive: [{ name: approved }, { name: rejected }, { name: withdrawn }]
    timeout: 1d
    output: { taken: result.name }
    next: { approved: exit, rejected: exit, withdrawn: exit }
";
/// Waits like all others, for a message to itself or to all.
const MINE: &str = "
name: mine
variables: { got: null }
output: ${ got }
activities:
  - id: wait
    receive: { name: news, key: shared, when: 'data.to == instance.key || data.to == \"all\"' }
    output: { got: result.data.text }
";
/// More than one page.
const MANY: i64 = 130;

async fn send(leveret: &InProcess, id: &str, name: &str, key: &str, data: Value) -> Value {
    leveret.sender.ask("message", id, &json!({ "name": name, "key": key, "data": data })).await;
    leveret.sender.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_closes_the_alternative_waits() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(CHOICE).await;
    leveret.start("choice", "A").await;
    leveret.reaches("A", "running at ask").await;
    assert_eq!(send(&leveret, "1", "rejected", "A", json!(null)).await["outcome"], "delivered");
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances WHERE key = 'A'").await, ["\"rejected\""]);
    assert_eq!(leveret.count("leveret.bookmarks WHERE consumed_at IS NULL").await, 0);
    assert_eq!(send(&leveret, "2", "approved", "A", json!(null)).await["outcome"], "kept");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_evaluated_for_more_than_a_hundred_waits() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(MINE).await;
    for number in 0..MANY {
        leveret.start("mine", &format!("{number:03}")).await;
    }
    leveret.count_becomes(MANY, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    let newest = leveret.lines("i.key", &format!("{WAITING} ORDER BY b.opened_at DESC, i.id DESC LIMIT 1")).await;
    let answer = send(&leveret, "1", "news", "shared", json!({ "to": newest[0], "text": "for the last" })).await;
    assert_eq!(answer["outcome"], "delivered");
    leveret.reaches(&newest[0], "completed").await;
    assert_eq!(leveret.count("leveret.messages").await, 0);
    leveret.close().await;
}

const WAITING: &str = "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
    WHERE b.kind = 'message' AND b.consumed_at IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_reads_more_than_a_hundred_kept_messages() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(MINE).await;
    for number in 0..MANY {
        let body = json!({ "name": "news", "key": "shared", "data": { "to": format!("other {number}") } });
        leveret.sender.command("message", &format!("other {number}"), &body).await;
    }
    leveret.count_becomes(MANY, "leveret.messages").await;
    let answer = send(&leveret, "mine", "news", "shared", json!({ "to": "late", "text": "at last" })).await;
    assert_eq!(answer["outcome"], "kept");
    leveret.start("mine", "late").await;
    leveret.reaches("late", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["\"at last\""]);
    assert_eq!(leveret.count("leveret.messages").await, MANY);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_every_open_wait_and_no_later_one() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(MINE).await;
    for key in ["a", "b", "c", "deaf"] {
        leveret.start("mine", key).await;
        leveret.reaches(key, "running at wait").await;
    }
    let suspended = json!({ "definition": "mine", "key": "deaf", "note": "the test" });
    leveret.sender.ask("suspend", "suspend", &suspended).await;
    assert_eq!(leveret.sender.answer().await["outcome"], "suspended");
    let body = json!({ "name": "news", "key": "shared", "broadcast": true, "data": { "to": "all", "text": "hear" } });
    for _ in 0..2 {
        leveret.sender.ask("message", "hear", &body).await;
        assert_eq!(leveret.sender.answer().await, json!({ "outcome": "broadcast", "receivers": 4 }));
    }
    leveret.count_becomes(3, "leveret.instances WHERE status = 'completed' AND output = '\"hear\"'").await;
    // The suspended one keeps its own copy.
    leveret.count_becomes(1, "leveret.messages WHERE instance_id IS NOT NULL").await;
    leveret.start("mine", "later").await;
    leveret.reaches("later", "running at wait").await;
    leveret.sender.ask("resume", "resume", &suspended).await;
    assert_eq!(leveret.sender.answer().await["outcome"], "resumed");
    leveret.reaches("deaf", "completed").await;
    assert_eq!(
        (leveret.count("leveret.messages").await, leveret.position("later").await),
        (0, "running at wait".into())
    );
    let nobody = json!({ "name": "other", "key": "x", "broadcast": true });
    leveret.sender.ask("message", "nobody", &nobody).await;
    assert_eq!(leveret.sender.answer().await, json!({ "outcome": "broadcast", "receivers": 0 }));
    assert_eq!(leveret.count("leveret.messages").await, 0, "never kept");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_from_sql_http_and_the_command_line_is_the_same() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(MINE).await;
    let command_line = CommandLine::on(&leveret.fresh);
    for (turn, key) in ["sql", "http", "cli"].into_iter().enumerate() {
        leveret.start("mine", key).await;
        leveret.reaches(key, "running at wait").await;
        match turn {
            0 => leveret.execute(r#"SELECT leveret.broadcast('news', 'shared', '{"to": "all", "text": 1}')"#).await,
            1 => {
                let body =
                    json!({ "name": "news", "key": "shared", "data": { "to": "all", "text": 2 }, "broadcast": true });
                let said = leveret.post("/messages", &body).await.ok(202);
                assert_eq!(said, json!({ "outcome": "broadcast", "receivers": 1 }));
            }
            _ => {
                let data = r#"{"to":"all","text":3}"#;
                let words = ["message", "send", "news", "shared", "--broadcast", "--data", data];
                assert_eq!(command_line.run(words).await.good(), "broadcast to 1 wait\n");
            }
        }
        leveret.reaches(key, "completed").await;
    }
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_wait_is_deleted_after_its_time_to_live() {
    let leveret = InProcess::with_ledger().await;
    let body = json!({ "name": "paid", "key": "late", "data": { "amount": 1 }, "ttl": 3600 });
    leveret.sender.ask("message", "paid", &body).await;
    assert_eq!(leveret.sender.answer().await["outcome"], "kept");
    assert_eq!(leveret.count("leveret.messages WHERE expires_at = received_at + interval '1 hour'").await, 1);
    leveret.pay("paid by default", "late", 1).await;
    leveret.count_becomes(1, "leveret.messages WHERE expires_at = received_at + interval '1 day'").await;
    leveret.execute("UPDATE leveret.messages SET expires_at = now() - interval '1 second'").await;
    leveret.start("paid", "late").await;
    leveret.reaches("late", "running at payment").await;
    leveret::roles::cleaner::run_once(leveret.app()).await.unwrap();
    assert_eq!(leveret.count("leveret.messages").await, 0);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_message_does_not_expire_while_its_receiver_is_suspended() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("paid", "A").await;
    leveret.reaches("A", "running at payment").await;
    let target = json!({ "definition": "paid", "key": "A" });
    leveret.sender.ask("suspend", "suspend", &target).await;
    assert_eq!(leveret.sender.answer().await["outcome"], "suspended");
    assert_eq!(send(&leveret, "paid", "paid", "A", json!({ "amount": 7 })).await["outcome"], "kept");
    // Expired now, but not when it was suspended.
    leveret
        .execute("UPDATE leveret.messages SET expires_at = now() - interval '1 millisecond', received_at = now()")
        .await;
    leveret
        .execute("UPDATE leveret.bookmarks SET opened_at = now() - interval '1 hour' WHERE kind = 'intervention'")
        .await;
    leveret::roles::cleaner::run_once(leveret.app()).await.unwrap();
    assert_eq!(leveret.count("leveret.messages").await, 1);
    leveret.sender.ask("resume", "resume", &target).await;
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["7"]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_messages_are_listed_page_by_page() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("paid", "ended").await;
    leveret.reaches("ended", "running at payment").await;
    for (id, name, key) in [("1", "paid", "ended"), ("2", "paid", "ended"), ("3", "paid", "x"), ("4", "other", "x")] {
        send(&leveret, id, name, key, json!({ "amount": 1 })).await;
    }
    leveret.reaches("ended", "completed").await;
    let all = leveret.get("/messages").await.ok(200);
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["message_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&all), ["4", "3", "2"]);
    let first = leveret.get("/messages?limit=2").await.ok(200);
    let next = leveret.get(&format!("/messages?limit=2&cursor={}", first["next"].as_str().unwrap())).await.ok(200);
    assert_eq!((ids(&first), ids(&next)), (vec!["4".to_owned(), "3".to_owned()], vec!["2".to_owned()]));
    assert_eq!(ids(&leveret.get("/messages?name=paid&key=x").await.ok(200)), ["3"]);
    leveret.get("/messages?limit=0").await.problem(400, "invalid");
    let command_line = CommandLine::on(&leveret.fresh);
    assert_eq!(ids(&command_line.json("message list --name paid").await), ["3", "2"]);
    assert!(command_line.say("message list").await.good().contains("ended"));
    assert_eq!(command_line.say("message list --key none").await.good(), "no kept messages\n");
    leveret.close().await;
}
