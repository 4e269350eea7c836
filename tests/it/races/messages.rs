//! Messages and their waits: neither misses the other, and one message is for one wait.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::ROUNDS;
use crate::support::{Fault, InProcess, Sender};

/// Waits for a payment for one second.
const HURRY: &str = "
name: hurry
variables: { paid: false }
output: ${ paid }
activities:
  - { id: payment, receive: { name: paid }, timeout: 1s, on_timeout: after, output: { paid: 'true' } }
  - { id: after, run: { handler: book } }
";
/// Takes only what is enough.
const ENOUGH: &str = "
name: enough
variables: { amount: 0 }
output: ${ amount }
activities:
  - { id: payment, receive: { name: paid, when: data.amount >= 10 }, output: { amount: result.data.amount } }
";

/// Outputs of what has completed, by key.
async fn outputs(leveret: &InProcess) -> Vec<(String, Value)> {
    let done = "leveret.instances WHERE status = 'completed' ORDER BY key";
    let lines = leveret.lines("json_build_array(key, output)", done).await;
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn second_sender(leveret: &InProcess) -> Sender {
    Sender::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_before_its_receive_is_kept_and_taken() {
    let mut fault = Fault::new("a message comes before its wait", "F39 F49", "I2 I3 I4 I8");
    let leveret = InProcess::with_ledger().await;
    leveret.pay("first", "early", 1).await;
    leveret.count_becomes(1, "leveret.messages").await;
    leveret.pay("second", "early", 2).await;
    leveret.count_becomes(2, "leveret.messages").await;
    fault.fired_times(2, 0);
    leveret.start("paid", "early").await;
    leveret.reaches("early", "completed").await;
    assert_eq!(outputs(&leveret).await, [("early".into(), json!(1))], "the oldest is taken");
    assert_eq!(leveret.lines("data->'amount'", "leveret.messages").await, ["2"], "the other is kept");
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_after_its_receive_is_delivered_once() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("paid", "late").await;
    leveret.reaches("late", "running at payment").await;
    for _ in 0..3 {
        leveret.pay("the same", "late", 7).await;
    }
    leveret.reaches("late", "completed").await;
    leveret.pay("another", "late", 8).await;
    leveret.count_becomes(1, "leveret.messages").await;
    assert_eq!(outputs(&leveret).await, [("late".into(), json!(7))]);
    assert_eq!(
        leveret.lines("data->'amount'", "leveret.messages").await,
        ["8"],
        "a repetition is not a second message"
    );
    assert_eq!(leveret.booked("late", "after").await, 1);
    leveret.close().await;
}

/// The message comes a little later in each round, so that it meets every moment of the instance's way to its wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_at_the_moment_of_its_receive_is_never_missed() {
    let mut fault = Fault::new("a message comes at the moment of its wait", "F39", "I1 I2 I3 I4 I8");
    let leveret = InProcess::with_ledger().await;
    let other = second_sender(&leveret).await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let body = json!({ "name": "paid", "key": key, "data": { "amount": round } });
        let message_id = format!("paid {key}");
        let delay = Duration::from_micros(round.unsigned_abs() * 1_000);
        tokio::join!(leveret.start("paid", &key), async {
            sleep(delay).await;
            other.command("message", &message_id, &body).await;
        });
    }
    fault.fired_times(ROUNDS as usize, ROUNDS);
    leveret.count_becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    let expected: Vec<(String, Value)> = (0..ROUNDS).map(|round| (format!("{round:02}"), json!(round))).collect();
    assert_eq!(outputs(&leveret).await, expected);
    assert_eq!(leveret.count("leveret.messages").await, 0);
    assert_eq!(leveret.count("ledger").await, 2 * ROUNDS);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_messages_for_one_wait_one_is_delivered_and_the_other_kept() {
    let mut fault = Fault::new("two messages come at once for one wait", "F39", "I1 I2 I3 I4 I8");
    let leveret = InProcess::with_ledger().await;
    let other = second_sender(&leveret).await;
    for round in 0..ROUNDS {
        leveret.start("paid", &format!("{round:02}")).await;
    }
    leveret.count_becomes(ROUNDS, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let body = json!({ "name": "paid", "key": key, "data": { "amount": 2 } });
        let (one, two) = (format!("one {key}"), format!("two {key}"));
        tokio::join!(leveret.pay(&one, &key, 1), other.command("message", &two, &body));
    }
    leveret.count_becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    leveret.count_becomes(ROUNDS, "leveret.messages").await;
    fault.fired_times(ROUNDS as usize, ROUNDS);
    let torn = "leveret.instances AS i WHERE NOT EXISTS (SELECT FROM leveret.messages AS m \
        WHERE m.key = i.key AND (m.data->'amount')::int + (i.output)::int = 3)";
    assert_eq!(leveret.lines("key || ' got ' || output", torn).await, [""; 0], "one of each pair, and the other");
    assert_eq!(leveret.count("ledger WHERE activity = 'after'").await, ROUNDS);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_matches_no_filter_stays_kept() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(ENOUGH).await;
    leveret.start("enough", "key").await;
    leveret.reaches("key", "running at payment").await;
    leveret.pay("too little", "key", 9).await;
    leveret.count_becomes(1, "leveret.messages").await;
    assert_eq!(leveret.position("key").await, "running at payment");
    leveret.pay("enough", "key", 10).await;
    leveret.reaches("key", "completed").await;
    assert_eq!(leveret.lines("data->'amount'", "leveret.messages").await, ["9"]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_the_wait_that_is_open_longest() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(&ENOUGH.replace("name: paid,", "name: paid, key: shared,")).await;
    for key in ["first", "second", "third"] {
        leveret.start("enough", key).await;
        leveret.reaches(key, "running at payment").await;
    }
    for (paid, key) in ["first", "second", "third"].into_iter().enumerate() {
        leveret.pay(&format!("payment {paid}"), "shared", 10 + i64::try_from(paid).unwrap()).await;
        leveret.reaches(key, "completed").await;
        leveret.count_becomes(i64::try_from(paid).unwrap() + 1, "leveret.instances WHERE status = 'completed'").await;
    }
    leveret.close().await;
}

/// Each is paid a little earlier or later than its timeout: in either order, the payment is taken or kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_its_timeout_at_the_same_moment_have_one_winner() {
    let mut fault = Fault::new("a message and the timeout of its wait at the same moment", "F40", "I1 I2 I3 I4 I7 I8");
    let leveret = InProcess::with_ledger().await;
    leveret.apply(HURRY).await;
    for round in 0..ROUNDS {
        leveret.start("hurry", &format!("{round:02}")).await;
    }
    let pays = async |round: i64| {
        let key = format!("{round:02}");
        leveret.reaches(&key, "running at payment").await;
        let due = leveret.lines("extract(epoch FROM b.due_at - clock_timestamp())", &open_timer(&key)).await;
        // From 150 ms before to 150 ms after, densely around the moment itself.
        let offset = f64::from(i32::try_from(round - ROUNDS / 2).unwrap()).powi(3) / 22_500.0;
        let remaining = due.first().map_or(0.0, |due| due.parse::<f64>().unwrap()) + offset;
        sleep(Duration::from_secs_f64(remaining.max(0.0))).await;
        leveret.pay(&format!("paid {key}"), &key, 1).await;
    };
    futures_util::future::join_all((0..ROUNDS).map(pays)).await;
    leveret.count_becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    leveret.count_becomes(ROUNDS, "leveret.inbox WHERE command = 'message'").await;
    fault.fired_times(ROUNDS as usize, ROUNDS);
    let torn = "leveret.instances AS i WHERE (i.output = 'true') = EXISTS (SELECT FROM leveret.messages AS m WHERE m.key = i.key)";
    assert_eq!(leveret.lines("key || ' ended with ' || output", torn).await, [""; 0], "taken or kept, never both");
    assert_eq!(leveret.count("ledger WHERE activity = 'after'").await, ROUNDS);
    let paid = leveret.count("leveret.instances WHERE output = 'true'").await;
    assert!(paid > 0 && paid < ROUNDS, "{paid} of {ROUNDS} were paid in time: there was no race");
    leveret.close().await;
    fault.held();
}

fn open_timer(key: &str) -> String {
    format!(
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE i.key = '{key}' AND b.kind = 'timer' AND b.consumed_at IS NULL"
    )
}
