//! Cancel and retry against everything else, and twice.

use serde_json::json;

use super::ROUNDS;
use crate::support::{Fault, InProcess, Sender};

/// Fails until the table `gate` has a row.
const VISIT: &str = "
name: visit
activities:
  - { id: gate, run: { handler: wait_for_gate }, retry: none }
  - { id: inside, run: { handler: book } }
";

fn target(definition: &str, key: &str) -> serde_json::Value {
    json!({ "definition": definition, "key": key, "reason": "the test" })
}

/// Either the message comes first and what it moved is called off or has ended, or the cancel does and the message is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_message_at_the_same_moment_have_one_winner() {
    let mut fault = Fault::new("a cancel and a message at the same moment", "F40", "I1 I2 I3 I4 I5 I8");
    let leveret = InProcess::with_ledger().await;
    let other = Sender::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix).await;
    for round in 0..ROUNDS {
        leveret.start("paid", &format!("{round:02}")).await;
    }
    leveret.count_becomes(ROUNDS, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let (payment, cancel, body) = (format!("paid {key}"), format!("cancel {key}"), target("paid", &key));
        let (pays, cancels) = (leveret.pay(&payment, &key, 1), other.command("cancel", &cancel, &body));
        // The first future writes first.
        if round % 2 == 0 {
            tokio::join!(pays, cancels)
        } else {
            tokio::join!(cancels, pays)
        };
    }
    leveret.count_becomes(ROUNDS, "leveret.instances WHERE ended_at IS NOT NULL").await;
    leveret.count_becomes(2 * ROUNDS, "leveret.inbox WHERE command IN ('cancel', 'message')").await;
    fault.fired_times(ROUNDS as usize, ROUNDS);
    let torn = "(SELECT i.key, i.status, \
            EXISTS (SELECT FROM leveret.history AS h WHERE h.instance_id = i.id AND h.kind = 'MessageReceived') AS received, \
            EXISTS (SELECT FROM leveret.messages AS m WHERE m.key = i.key) AS kept, \
            EXISTS (SELECT FROM leveret.dead_letters AS d WHERE d.message_id = 'cancel ' || i.key) AS refused, \
            (SELECT count(*) FROM ledger AS l WHERE l.instance = i.id::text AND l.activity = 'after') AS booked \
            FROM leveret.instances AS i) AS ended \
        WHERE received = kept OR (status = 'completed') <> refused OR (status = 'completed' AND (booked <> 1 OR kept)) \
            OR booked > 1 OR (kept AND booked > 0)";
    assert_eq!(leveret.lines("row_to_json(ended)", torn).await, [""; 0]);
    for letter in leveret.dead_letters().await {
        // It ended before the cancel found it by its key, or after.
        assert!(letter.contains("already ended as completed") || letter.contains("no live instance"), "{letter}");
    }
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_cancelled_once_however_often_it_is_requested() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("paid", "key").await;
    leveret.reaches("key", "running at payment").await;
    let target = json!({ "instance": leveret.id("key").await.unwrap().0 });
    for message_id in ["one", "one", "two"] {
        leveret.sender.ask("cancel", message_id, &target).await;
        leveret.reaches("key", "cancelled").await;
    }
    let outcomes = leveret.sender.answers(3).await;
    let outcomes: Vec<_> = outcomes.iter().map(|(about, answer)| (about.as_str(), &answer["outcome"])).collect();
    let (done, refused) = (json!("cancelled"), json!("refused"));
    assert_eq!(outcomes, [("about one", &done), ("about one", &done), ("about two", &refused)]);
    assert_eq!(leveret.dead_letters().await, ["the instance has already ended as cancelled"]);
    assert_eq!(leveret.count("leveret.history WHERE kind = 'InstanceCancelled'").await, 1);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_retries_at_the_same_moment_retry_an_incident_once() {
    let mut fault = Fault::new("two retries of one incident at the same moment", "F40", "I1 I3 I4 I5");
    let leveret = InProcess::with_ledger().await;
    let other = Sender::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix).await;
    leveret.apply(VISIT).await;
    leveret.start("visit", "visitor").await;
    leveret.reaches("visitor", "suspended at gate").await;
    leveret.sender.command("retry", "too early", &target("visit", "visitor")).await;
    leveret.count_becomes(2, "leveret.history WHERE kind = 'IncidentOpened'").await;

    leveret.execute("INSERT INTO gate DEFAULT VALUES").await;
    let body = target("visit", "visitor");
    tokio::join!(leveret.sender.ask("retry", "one", &body), other.ask("retry", "two", &body));
    leveret.reaches("visitor", "completed").await;
    let (mine, theirs) = (leveret.sender.answers(1).await, other.answers(1).await);
    let mut outcomes = [&mine[0].1["outcome"], &theirs[0].1["outcome"]].map(|outcome| outcome.as_str().unwrap());
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["refused", "retried"]);
    fault.fired_times(1, 1);
    assert_eq!(leveret.dead_letters().await.len(), 1);
    assert_eq!(leveret.count("leveret.history WHERE kind = 'IncidentRetried'").await, 2);
    assert_eq!((leveret.booked("visitor", "gate").await, leveret.booked("visitor", "inside").await), (1, 1));
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_retry_is_applied_once() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(VISIT).await;
    leveret.start("visit", "visitor").await;
    leveret.reaches("visitor", "suspended at gate").await;
    leveret.sender.ask("retry", "the same", &target("visit", "visitor")).await;
    leveret.count_becomes(2, "leveret.history WHERE kind = 'IncidentOpened'").await;
    leveret.reaches("visitor", "suspended at gate").await;
    leveret.sender.ask("retry", "the same", &target("visit", "visitor")).await;
    for (_, answer) in leveret.sender.answers(2).await {
        assert_eq!(answer["outcome"], "retried");
    }
    assert_eq!(
        leveret.count("leveret.history WHERE kind = 'IncidentOpened'").await,
        2,
        "the repetition retried nothing"
    );
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}
