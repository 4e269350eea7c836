//! Dead letters and dead rows: listed page by page, linked to their instance, and redriven after their cause was removed.

use leveret::contract::Exchange;
use leveret::contract::Start;
use leveret::store::outbox::{self, OutboxRow};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fresh, InProcess};

const LATER: &str = "
name: later
activities:
  - { id: only, run: { handler: book } }
";

async fn numbers(leveret: &InProcess, query: &str) -> (Vec<i64>, Value) {
    let page = leveret.get(&format!("/dead-letters{query}")).await.ok(200);
    let ids = page["items"].as_array().unwrap().iter().map(|letter| letter["id"].as_i64().unwrap()).collect();
    (ids, page["next"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_page_by_page_with_their_instance() {
    let leveret = InProcess::with_ledger().await;
    for name in ["a", "b", "c"] {
        leveret.sender.command("cancel", name, &json!({ "definition": "step", "key": name })).await;
        leveret.count_becomes(1, &format!("leveret.dead_letters WHERE message_id = '{name}'")).await;
    }
    let (first, next) = numbers(&leveret, "?limit=2").await;
    let (second, none) = numbers(&leveret, &format!("?limit=2&cursor={}", next.as_str().unwrap())).await;
    assert_eq!((first.len(), second.len(), none), (2, 1, Value::Null));
    let (all, _) = numbers(&leveret, "").await;
    assert_eq!([first, second].concat(), all);
    let nobody = Uuid::now_v7();
    leveret.sender.command("cancel", "d", &json!({ "instance": nobody })).await;
    leveret.count_becomes(1, "leveret.dead_letters WHERE message_id = 'd'").await;
    let (newest, _) = numbers(&leveret, "?limit=1").await;
    let letter = leveret.get(&format!("/dead-letters/{}", newest[0])).await.ok(200);
    assert_eq!((&letter["instance"], &letter["redriven_at"]), (&json!(nobody), &Value::Null));
    assert!(letter["body"].as_str().unwrap().contains(&nobody.to_string()), "{letter}");
    leveret.get("/dead-letters/999999").await.problem(404, "not-found");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_dead_letter_is_applied() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("later", "A").await;
    leveret.count_becomes(1, "leveret.dead_letters").await;
    let (ids, _) = numbers(&leveret, "").await;
    let redrive = format!("/dead-letters/{}/redrive", ids[0]);
    leveret.apply(LATER).await;
    let sent = leveret.post(&redrive, &json!({})).await.ok(200);
    leveret.reaches("A", "completed").await;
    let message_id = sent["message_id"].as_str().unwrap();
    assert_eq!(leveret.lines("message_id", "leveret.inbox WHERE outcome = 'accepted'").await, [message_id]);
    assert_eq!(leveret.count("leveret.dead_letters WHERE redriven_at IS NOT NULL").await, 1);
    let why = leveret.post(&redrive, &json!({})).await.problem(409, "refused");
    assert!(why.contains("was redriven"), "{why}");
    leveret.post("/dead-letters/999999/redrive", &json!({})).await.problem(404, "not-found");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_dead_letter_is_not_redriven() {
    let leveret = InProcess::with_ledger().await;
    let start = Start { definition: "x".repeat(2 << 20), ..Start::default() };
    leveret.sender.command("start", "large", &json!(start)).await;
    leveret.count_becomes(1, "leveret.dead_letters WHERE octet_length(body) = 1 << 20 AND body_bytes > 2 << 20").await;
    let (ids, _) = numbers(&leveret, "").await;
    let why = leveret.post(&format!("/dead-letters/{}/redrive", ids[0]), &json!({})).await.problem(409, "refused");
    assert!(why.contains("only 1048576 were kept"), "{why}");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_outbox_rows_are_published_after_a_redrive() {
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| config.outbox.attempts_max = 1).await;
    let row = OutboxRow::new(Uuid::now_v7(), Exchange::Calls, "nobody", "make", b"{}".to_vec());
    outbox::push(&mut *leveret.conn().await, std::slice::from_ref(&row)).await.unwrap();
    leveret.count_becomes(1, "leveret.outbox WHERE dead_at IS NOT NULL").await;
    leveret.execute("UPDATE leveret.outbox SET exchange = 'events'").await;
    let revive = async |id| outbox::revive(&mut *leveret.conn().await, id, 10).await.unwrap();
    assert_eq!(revive(Some(Uuid::nil())).await, 0);
    assert_eq!(revive(Some(row.id)).await, 1);
    leveret.count_becomes(0, "leveret.outbox").await;
    assert_eq!(revive(None).await, 0);
    leveret.close().await;
}
