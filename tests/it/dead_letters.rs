//! Dead letters and dead rows: leafed through, about an instance, and sent once more after their cause is gone.

use leveret::contract::Start;
use leveret::store::outbox::{self, Claimable, OutboxRow};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fresh, House};

const LATER: &str = "
name: later
activities:
  - { id: only, run: { handler: book } }
";

async fn numbers(house: &House, query: &str) -> (Vec<i64>, Value) {
    let page = house.process.get(&format!("/dead-letters{query}")).await.ok(200);
    let ids = page["items"].as_array().unwrap().iter().map(|letter| letter["id"].as_i64().unwrap()).collect();
    (ids, page["next"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_leafed_through_and_name_the_instance_they_are_about() {
    let house = House::open().await;
    for name in ["a", "b", "c"] {
        house.sender.command("cancel", name, &json!({ "definition": "step", "key": name })).await;
        house.becomes(1, &format!("leveret.dead_letters WHERE message_id = '{name}'")).await;
    }
    let (first, next) = numbers(&house, "?limit=2").await;
    let (second, none) = numbers(&house, &format!("?limit=2&cursor={}", next.as_str().unwrap())).await;
    assert_eq!((first.len(), second.len(), none), (2, 1, Value::Null));
    let (all, _) = numbers(&house, "").await;
    assert_eq!([first, second].concat(), all);
    let nobody = Uuid::now_v7();
    house.sender.command("cancel", "d", &json!({ "instance": nobody })).await;
    house.becomes(1, "leveret.dead_letters WHERE message_id = 'd'").await;
    let (newest, _) = numbers(&house, "?limit=1").await;
    let letter = house.process.get(&format!("/dead-letters/{}", newest[0])).await.ok(200);
    assert_eq!((&letter["instance"], &letter["redriven_at"]), (&json!(nobody), &Value::Null));
    assert!(letter["body"].as_str().unwrap().contains(&nobody.to_string()), "{letter}");
    house.process.get("/dead-letters/999999").await.problem(404, "not-found");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_sent_once_more_and_does_what_was_meant() {
    let house = House::open().await;
    house.start("later", "A").await;
    house.becomes(1, "leveret.dead_letters").await;
    let (ids, _) = numbers(&house, "").await;
    let redrive = format!("/dead-letters/{}/redrive", ids[0]);
    house.apply(LATER).await;
    let sent = house.process.post(&redrive, &json!({})).await.ok(200);
    house.stands("A", "completed").await;
    let message_id = sent["message_id"].as_str().unwrap();
    assert_eq!(house.lines("message_id", "leveret.inbox WHERE outcome = 'accepted'").await, [message_id]);
    assert_eq!(house.count("leveret.dead_letters WHERE redriven_at IS NOT NULL").await, 1);
    let why = house.process.post(&redrive, &json!({})).await.problem(409, "refused");
    assert!(why.contains("was redriven"), "{why}");
    house.process.post("/dead-letters/999999/redrive", &json!({})).await.problem(404, "not-found");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_which_only_the_beginning_is_kept_is_not_sent_again() {
    let house = House::open().await;
    let start = Start { definition: "x".repeat(2 << 20), ..Start::default() };
    house.sender.command("start", "large", &json!(start)).await;
    house.becomes(1, "leveret.dead_letters WHERE octet_length(body) = 1 << 20 AND body_bytes > 2 << 20").await;
    let (ids, _) = numbers(&house, "").await;
    let why =
        house.process.post(&format!("/dead-letters/{}/redrive", ids[0]), &json!({})).await.problem(409, "refused");
    assert!(why.contains("only 1048576 were kept"), "{why}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_given_up_are_published_once_they_are_revived() {
    let house = House::on(Fresh::new().await, |config| config.outbox.attempts_max = 1).await;
    let row = OutboxRow {
        id: Uuid::now_v7(),
        exchange: "calls".into(),
        routing_key: "nobody".into(),
        kind: "make".into(),
        app_id: None,
        message_id: None,
        headers: Default::default(),
        body: b"{}".to_vec(),
        due_at: None,
        instance_id: None,
        claimable: Claimable::Now,
    };
    outbox::push(&mut *house.conn().await, std::slice::from_ref(&row)).await.unwrap();
    house.becomes(1, "leveret.outbox WHERE dead_at IS NOT NULL").await;
    house.execute("UPDATE leveret.outbox SET exchange = 'events'").await;
    let revive = async |id| outbox::revive(&mut *house.conn().await, id, 10).await.unwrap();
    assert_eq!(revive(Some(Uuid::nil())).await, 0);
    assert_eq!(revive(Some(row.id)).await, 1);
    house.becomes(0, "leveret.outbox").await;
    assert_eq!(revive(None).await, 0);
    house.close().await;
}
