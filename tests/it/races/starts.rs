//! Starts: the same one twice, others with its key, and inside a caller's transaction.

use diesel_async::SimpleAsyncConnection;
use serde_json::{Value, json};

use super::ROUNDS;
use crate::support::{Fault, InProcess, Sender};

async fn second_sender(leveret: &InProcess) -> Sender {
    Sender::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix).await
}

fn with_key(key: &str, on_conflict: &str) -> Value {
    json!({ "definition": "paid", "key": key, "on_conflict": on_conflict })
}

fn outcomes(answers: &[(String, Value)]) -> Vec<&str> {
    answers.iter().map(|(_, answer)| answer["outcome"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_from_two_clients_at_once_starts_one_instance() {
    let mut fault = Fault::new("the same start comes from two clients at once", "F12", "I1 I2 I3 I4 I17");
    let leveret = InProcess::with_ledger().await;
    let other = second_sender(&leveret).await;
    for round in 0..ROUNDS {
        let (message_id, body) = (format!("start {round}"), json!({ "definition": "step" }));
        tokio::join!(leveret.sender.ask("start", &message_id, &body), other.ask("start", &message_id, &body));
    }
    fault.fired_times(ROUNDS as usize, ROUNDS);
    let count = usize::try_from(ROUNDS).unwrap();
    let (mine, theirs) = (leveret.sender.answers(count).await, other.answers(count).await);
    assert_eq!(mine, theirs, "both get the same answer");
    assert!(outcomes(&mine).iter().all(|outcome| *outcome == "started"));
    leveret.count_becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!((leveret.count("leveret.instances").await, leveret.count("ledger").await), (ROUNDS, ROUNDS));
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_id_with_another_body_is_refused() {
    let leveret = InProcess::with_ledger().await;
    leveret.sender.ask("start", "one", &json!({ "definition": "step", "key": "first" })).await;
    leveret.reaches("first", "completed").await;
    leveret.sender.ask("start", "one", &json!({ "definition": "step", "key": "second" })).await;
    let answers = leveret.sender.answers(2).await;
    let (started, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer["outcome"] == "started");
    assert_eq!((started.len(), refused.len()), (1, 1), "{answers:?}");
    assert!(refused[0].1["reason"].as_str().unwrap().contains("another body"), "{answers:?}");
    let letters = leveret.dead_letters().await;
    assert!(letters.len() == 1 && letters[0].contains("`one`") && letters[0].contains("another body"), "{letters:?}");
    assert_eq!(leveret.count("leveret.instances").await, 1);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_key_is_refused_returned_or_replaced_as_the_sender_says() {
    let leveret = InProcess::with_ledger().await;
    leveret.sender.ask("start", "a first", &with_key("K", "reject")).await;
    leveret.reaches("K", "running at payment").await;
    let first = leveret.id("K").await.unwrap().0;
    leveret.sender.ask("start", "b reject", &with_key("K", "reject")).await;
    leveret.sender.ask("start", "c return", &with_key("K", "return")).await;
    let answers = leveret.sender.answers(3).await;
    assert_eq!(outcomes(&answers), ["started", "refused", "existing"]);
    assert_eq!((&answers[0].1["instance"], &answers[2].1["instance"]), (&json!(first), &json!(first)));
    assert!(answers[1].1["reason"].as_str().unwrap().contains("has the key `K`"), "{answers:?}");

    leveret.sender.ask("start", "d replace", &with_key("K", "replace")).await;
    leveret.count_becomes(1, "leveret.instances WHERE status = 'cancelled'").await;
    leveret.reaches("K", "running at payment").await;
    let second = leveret.id("K").await.unwrap().0;
    assert_ne!(first, second);
    let answers = leveret.sender.answers(1).await;
    assert_eq!((outcomes(&answers), &answers[0].1["instance"]), (vec!["started"], &json!(second)));
    leveret.pay("paid", "K", 1).await;
    leveret.reaches("K", "completed").await;
    leveret.sender.ask("start", "e again", &with_key("K", "reject")).await;
    assert_eq!(outcomes(&leveret.sender.answers(1).await), ["started"], "the key is free once its owner has ended");
    leveret.reaches("K", "running at payment").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_starts_with_one_key_at_once_start_one_instance() {
    let leveret = InProcess::with_ledger().await;
    let count = usize::try_from(ROUNDS).unwrap();
    for on_conflict in ["reject", "return", "replace"] {
        let body = with_key(on_conflict, on_conflict);
        let ids: Vec<String> = (0..ROUNDS).map(|round| format!("{on_conflict} {round}")).collect();
        futures_util::future::join_all(ids.iter().map(|id| leveret.sender.ask("start", id, &body))).await;
        let answers = leveret.sender.answers(count).await;
        let told = |outcome: &str| outcomes(&answers).iter().filter(|told| **told == outcome).count();
        let (started, others) = match on_conflict {
            "reject" => (told("started"), told("refused")),
            "return" => (told("started"), told("existing")),
            _ => (told("started"), 0),
        };
        let expected = if on_conflict == "replace" { (count, 0) } else { (1, count - 1) };
        assert_eq!((started, others), expected, "{on_conflict}: {answers:?}");
        leveret.reaches(on_conflict, "running at payment").await;
        let live = format!("leveret.instances WHERE key = '{on_conflict}' AND ended_at IS NULL");
        assert_eq!(leveret.count(&live).await, 1, "{on_conflict}");
    }
    assert_eq!(leveret.count("leveret.instances WHERE status = 'cancelled'").await, ROUNDS - 1);
    leveret.close().await;
}

/// The shop's own row and the start are one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_the_callers_transaction_happens_if_that_commits() {
    let leveret = InProcess::with_ledger().await;
    let order = "INSERT INTO ledger VALUES ('the shop', 'ordered', 1)";
    let mut conn = leveret.conn().await;
    let undone = format!("BEGIN; {order}; SELECT leveret.start('step', key => 'undone'); ROLLBACK");
    conn.batch_execute(&undone).await.unwrap();
    let failed = format!("BEGIN; {order}; SELECT leveret.start('step', key => 'failed'); SELECT 1/0; COMMIT");
    assert!(conn.batch_execute(&failed).await.is_err());
    conn.batch_execute("ROLLBACK").await.unwrap();
    let done = format!(
        "BEGIN; {order}; SELECT leveret.start('paid', '{{}}', key => 'done', message_id => 'order 1'); \
         SELECT leveret.message('paid', 'done', '{{\"amount\": 3}}'); COMMIT"
    );
    conn.batch_execute(&done).await.unwrap();
    leveret.reaches("done", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["3"]);

    // The same once more: the same order, so no second instance.
    let again = "SELECT leveret.start('paid', '{}', key => 'done', message_id => 'order 1')";
    conn.batch_execute(&format!("{again}; {again}")).await.unwrap();
    let other = "SELECT leveret.start('paid', '{}', key => 'other', message_id => 'order 1')";
    conn.batch_execute(other).await.unwrap();
    leveret.count_becomes(1, "leveret.dead_letters").await;
    leveret.count_becomes(0, "leveret.outbox").await;
    assert_eq!(leveret.count("leveret.instances").await, 1);
    assert_eq!(leveret.count("ledger WHERE activity = 'ordered'").await, 1);
    assert!(leveret.dead_letters().await[0].contains("another body"));
    drop(conn);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_with_reply_to_is_answered() {
    let leveret = InProcess::with_ledger().await;
    leveret.sender.ask("message", "1", &json!({ "name": "paid", "key": "K", "data": { "amount": 1 } })).await;
    assert_eq!(outcomes(&leveret.sender.answers(1).await), ["kept"]);
    leveret.sender.ask("start", "2", &with_key("K", "reject")).await;
    assert_eq!(outcomes(&leveret.sender.answers(1).await), ["started"]);
    leveret.reaches("K", "completed").await;
    leveret.sender.ask("start", "3", &with_key("L", "reject")).await;
    leveret.reaches("L", "running at payment").await;
    leveret.sender.ask("message", "4", &json!({ "name": "paid", "key": "L", "data": { "amount": 1 } })).await;
    leveret.sender.ask("start", "5", &json!({ "definition": "nothing" })).await;
    leveret.sender.ask("cancel", "6", &json!({ "definition": "paid", "key": "nobody" })).await;
    leveret.sender.ask("message", "4", &json!({ "name": "paid", "key": "L", "data": { "amount": 1 } })).await;
    let answers = leveret.sender.answers(5).await;
    assert_eq!(outcomes(&answers), ["started", "delivered", "delivered", "refused", "refused"]);
    let started = leveret.id("L").await.unwrap().0;
    assert!(answers[..3].iter().all(|(_, answer)| answer["instance"] == json!(started)), "{answers:?}");
    assert!(answers[3..].iter().all(|(_, answer)| answer["reason"].as_str().is_some_and(|why| !why.is_empty())));
    leveret.close().await;
}
