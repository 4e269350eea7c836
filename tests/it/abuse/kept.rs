//! What is kept for waits that do not exist yet is bounded: in time, for each name and key, and for each sender.

use serde_json::{Value, json};

use crate::support::{Fresh, InProcess, Sender};

fn message(key: &str) -> Value {
    json!({ "name": "paid", "key": key, "data": { "amount": 1 } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_kept_for_the_longest_ttl_and_no_longer() {
    let leveret = InProcess::with_ledger().await;
    let day = 24 * 3_600;
    let with = |ttl: u64| json!({ "name": "paid", "key": "A", "data": { "amount": 1 }, "ttl": ttl });
    leveret.post("/messages", &with(90 * day)).await.ok(202);
    let why = leveret.post("/messages", &with(90 * day + 1)).await.problem(422, "input");
    assert!(why.contains("`ttl` is 7776001 seconds; at most 7776000 are allowed (`messages.ttl_max`)"), "{why}");
    leveret.sender.ask("message", "too long", &with(u64::from(u32::MAX))).await;
    let answer = leveret.sender.answer().await;
    assert!(answer["reason"].as_str().unwrap().contains("`messages.ttl_max`"), "{answer}");
    leveret.count_becomes(1, "leveret.dead_letters").await;
    assert_eq!(leveret.count("leveret.messages").await, 1);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_kept_for_one_key_and_for_one_sender_are_counted() {
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| {
        config.messages.per_key_max = 2;
        config.messages.per_sender_max = 5;
    })
    .await;
    for number in 0..2 {
        leveret.post("/messages", &message("full")).await.ok(202);
        leveret.sender.command("message", &format!("other {number}"), &message("other")).await;
    }
    leveret.count_becomes(4, "leveret.messages").await;
    let why = leveret.post("/messages", &message("full")).await.problem(409, "refused");
    assert!(why.contains("2 messages `paid` with the key `full` are kept"), "{why}");
    assert!(why.contains("`messages.per_key_max`"), "{why}");
    for key in ["a", "b", "c"] {
        leveret.post("/messages", &message(key)).await.ok(202);
    }
    let why = leveret.post("/messages", &message("d")).await.problem(409, "refused");
    assert!(
        why.contains("5 messages of `leveret.http` are kept") && why.contains("`messages.per_sender_max`"),
        "{why}"
    );
    // Another sender has room, and one that has none can still deliver to an open wait, which makes room for the next.
    leveret.sender.command("message", "e", &message("e")).await;
    leveret.count_becomes(8, "leveret.messages").await;
    leveret.start("paid", "full").await;
    leveret.reaches("full", "completed").await;
    leveret.start("paid", "waiting").await;
    leveret.reaches("waiting", "running at payment").await;
    leveret.post("/messages", &message("waiting")).await.ok(200);
    leveret.reaches("waiting", "completed").await;
    leveret.post("/messages", &message("d")).await.ok(202);
    // Over AMQP it is a dead letter, which can be redriven later.
    let properties = Sender::properties("message", "one too many");
    let asking = leveret.sender.asking(properties, "it");
    leveret.sender.send("commands", "message.paid", asking, message("other").to_string().as_bytes()).await;
    let answer = leveret.sender.answer().await;
    assert!(answer["reason"].as_str().unwrap().contains("with the key `other` are kept"), "{answer}");
    leveret.count_becomes(1, "leveret.dead_letters").await;
    leveret.close().await;
}
