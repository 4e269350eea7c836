//! Messages and their waits: neither misses the other, and one message is for one wait.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::ROUNDS;
use crate::support::{House, Sender};

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
async fn outputs(house: &House) -> Vec<(String, Value)> {
    let done = "leveret.instances WHERE status = 'completed' ORDER BY key";
    let lines = house.lines("json_build_array(key, output)", done).await;
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn second_sender(house: &House) -> Sender {
    Sender::connect(&house.process.fresh.amqp_url, &house.process.fresh.prefix).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_before_its_receive_is_kept_and_taken() {
    let house = House::open().await;
    house.pay("first", "early", 1).await;
    house.becomes(1, "leveret.messages").await;
    house.pay("second", "early", 2).await;
    house.becomes(2, "leveret.messages").await;
    house.start("paid", "early").await;
    house.stands("early", "completed").await;
    assert_eq!(outputs(&house).await, [("early".into(), json!(1))], "the oldest is taken");
    assert_eq!(house.lines("data->'amount'", "leveret.messages").await, ["2"], "the other is kept");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_after_its_receive_is_delivered_once() {
    let house = House::open().await;
    house.start("paid", "late").await;
    house.stands("late", "running at payment").await;
    for _ in 0..3 {
        house.pay("the same", "late", 7).await;
    }
    house.stands("late", "completed").await;
    house.pay("another", "late", 8).await;
    house.becomes(1, "leveret.messages").await;
    assert_eq!(outputs(&house).await, [("late".into(), json!(7))]);
    assert_eq!(house.lines("data->'amount'", "leveret.messages").await, ["8"], "a repetition is no second message");
    assert_eq!(house.booked("late", "after").await, 1);
    house.close().await;
}

/// The message comes a little later in each round, so that it meets every moment of the instance's way to its wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_at_the_moment_of_its_receive_is_never_missed() {
    let house = House::open().await;
    let other = second_sender(&house).await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let body = json!({ "name": "paid", "key": key, "data": { "amount": round } });
        let message_id = format!("paid {key}");
        let delay = Duration::from_micros(round.unsigned_abs() * 1_000);
        tokio::join!(house.start("paid", &key), async {
            sleep(delay).await;
            other.command("message", &message_id, &body).await;
        });
    }
    house.becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    let expected: Vec<(String, Value)> = (0..ROUNDS).map(|round| (format!("{round:02}"), json!(round))).collect();
    assert_eq!(outputs(&house).await, expected);
    assert_eq!(house.count("leveret.messages").await, 0);
    assert_eq!(house.count("ledger").await, 2 * ROUNDS);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_messages_for_one_wait_one_is_delivered_and_the_other_kept() {
    let house = House::open().await;
    let other = second_sender(&house).await;
    for round in 0..ROUNDS {
        house.start("paid", &format!("{round:02}")).await;
    }
    house.becomes(ROUNDS, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let body = json!({ "name": "paid", "key": key, "data": { "amount": 2 } });
        let (one, two) = (format!("one {key}"), format!("two {key}"));
        tokio::join!(house.pay(&one, &key, 1), other.command("message", &two, &body));
    }
    house.becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    house.becomes(ROUNDS, "leveret.messages").await;
    let torn = "leveret.instances AS i WHERE NOT EXISTS (SELECT FROM leveret.messages AS m \
        WHERE m.key = i.key AND (m.data->'amount')::int + (i.output)::int = 3)";
    assert_eq!(house.lines("key || ' got ' || output", torn).await, [""; 0], "one of each pair, and the other");
    assert_eq!(house.count("ledger WHERE activity = 'after'").await, ROUNDS);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_filter_lets_in_stays_kept() {
    let house = House::open().await;
    house.apply(ENOUGH).await;
    house.start("enough", "key").await;
    house.stands("key", "running at payment").await;
    house.pay("too little", "key", 9).await;
    house.becomes(1, "leveret.messages").await;
    assert_eq!(house.standing("key").await, "running at payment");
    house.pay("enough", "key", 10).await;
    house.stands("key", "completed").await;
    assert_eq!(house.lines("data->'amount'", "leveret.messages").await, ["9"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_the_wait_that_is_open_longest() {
    let house = House::open().await;
    house.apply(&ENOUGH.replace("name: paid,", "name: paid, key: shared,")).await;
    for key in ["first", "second", "third"] {
        house.start("enough", key).await;
        house.stands(key, "running at payment").await;
    }
    for (paid, key) in ["first", "second", "third"].into_iter().enumerate() {
        house.pay(&format!("payment {paid}"), "shared", 10 + i64::try_from(paid).unwrap()).await;
        house.stands(key, "completed").await;
        house.becomes(i64::try_from(paid).unwrap() + 1, "leveret.instances WHERE status = 'completed'").await;
    }
    house.close().await;
}

/// Each is paid a little earlier or later than its timeout: whoever wins, the payment is either taken or kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_its_timeout_at_the_same_moment_have_one_winner() {
    let house = House::open().await;
    house.apply(HURRY).await;
    for round in 0..ROUNDS {
        house.start("hurry", &format!("{round:02}")).await;
    }
    let pays = async |round: i64| {
        let key = format!("{round:02}");
        house.stands(&key, "running at payment").await;
        let due = house.lines("extract(epoch FROM b.due_at - clock_timestamp())", &open_timer(&key)).await;
        // From 150 ms before to 150 ms after, densely around the moment itself.
        let offset = f64::from(i32::try_from(round - ROUNDS / 2).unwrap()).powi(3) / 22_500.0;
        let remaining = due.first().map_or(0.0, |due| due.parse::<f64>().unwrap()) + offset;
        sleep(Duration::from_secs_f64(remaining.max(0.0))).await;
        house.pay(&format!("paid {key}"), &key, 1).await;
    };
    futures_util::future::join_all((0..ROUNDS).map(pays)).await;
    house.becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    house.becomes(ROUNDS, "leveret.inbox WHERE command = 'message'").await;
    let torn = "leveret.instances AS i WHERE (i.output = 'true') = EXISTS (SELECT FROM leveret.messages AS m WHERE m.key = i.key)";
    assert_eq!(house.lines("key || ' ended with ' || output", torn).await, [""; 0], "taken or kept, never both");
    assert_eq!(house.count("ledger WHERE activity = 'after'").await, ROUNDS);
    let paid = house.count("leveret.instances WHERE output = 'true'").await;
    assert!(paid > 0 && paid < ROUNDS, "{paid} of {ROUNDS} were paid in time: there was no race");
    house.close().await;
}

fn open_timer(key: &str) -> String {
    format!(
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE i.key = '{key}' AND b.kind = 'timer' AND b.consumed_at IS NULL"
    )
}
