//! Timers and their hints: early, late, twice, forged, or for something that is no more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ENDS_WITHIN, Fresh, House, Queues, eventually};

/// Long enough for a test to do something meanwhile.
const NAP: &str = "
name: nap
input: { type: object, properties: { pause: { type: string, default: 2s } } }
activities:
  - { id: nap, wait: { for: '${ pause }' } }
  - { id: after, run: { handler: book } }
";
const COUNT: i64 = 20;

async fn asleep() -> House {
    let house = House::open().await;
    house.apply(NAP).await;
    house
}

/// What a hint for the open timer of this key says, but for the moment.
async fn hint(house: &House, key: &str, due_at: &str) -> Value {
    let timer = format!(
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE i.key = '{key}' AND b.kind = 'timer'"
    );
    let [bookmark] = &house.lines("b.number", &timer).await[..] else { panic!("`{key}` has no timer") };
    json!({ "instance": house.id(key).await.unwrap().0, "bookmark": bookmark.parse::<i64>().unwrap(), "due_at": due_at })
}

/// Nothing has fired before its moment by the database's clock, and everything has fired once.
async fn fired_once_and_never_early(house: &House, count: i64) {
    let early = "leveret.history AS h JOIN leveret.bookmarks AS b ON b.instance_id = h.instance_id AND b.kind = 'timer' \
        WHERE h.kind = 'TimerFired' AND h.at < b.due_at";
    assert_eq!(house.lines("b.due_at - h.at", early).await, [""; 0], "fired too early");
    assert_eq!(house.count("leveret.history WHERE kind = 'TimerFired'").await, count);
    assert_eq!(house.count("ledger WHERE activity = 'after'").await, count);
}

/// The hints lie about the moment: the first says it has come, the second that it never will.
#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_is_early_does_not_wake_anybody() {
    let house = asleep().await;
    house.start("nap", "sleeper").await;
    house.stands("sleeper", "running at nap").await;
    for due_at in ["2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        for _ in 0..3 {
            house.sender.step("fire", &hint(&house, "sleeper", due_at).await).await;
        }
    }
    house.stands("sleeper", "completed").await;
    fired_once_and_never_early(&house, 1).await;
    // The queues are not looked at: hints that were early are still on the ladder, and come back whenever their rung ends.
    crate::support::assert_at_rest(&mut *house.conn().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_comes_again_fires_nothing_twice() {
    let house = asleep().await;
    for number in 0..COUNT {
        let key = number.to_string();
        house.start_with("nap", &key, json!({ "pause": "1s" })).await;
    }
    house.becomes(COUNT, "leveret.bookmarks WHERE kind = 'timer'").await;
    for number in 0..COUNT {
        let hint = hint(&house, &number.to_string(), "2026-01-01T00:00:00Z").await;
        for _ in 0..3 {
            house.sender.step("fire", &hint).await;
        }
    }
    house.becomes(COUNT, "leveret.instances WHERE status = 'completed'").await;
    for number in 0..COUNT {
        let hint = hint(&house, &number.to_string(), "2026-01-01T00:00:00Z").await;
        house.sender.step("fire", &hint).await;
    }
    quiet(&house).await;
    fired_once_and_never_early(&house, COUNT).await;
    house.close().await;
}

/// The sweep looks at the very moment at which the hint comes.
#[tokio::test(flavor = "multi_thread")]
async fn hint_and_sweep_at_the_same_moment_fire_once() {
    let house = House::on(Fresh::new().await, |config| config.timers.sweep_every = Duration::from_millis(50)).await;
    house.apply(NAP).await;
    for number in 0..COUNT {
        house.start("nap", &number.to_string()).await;
    }
    house.becomes(COUNT, "leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL").await;
    // Else it would leave the hint five seconds.
    house.execute("UPDATE leveret.bookmarks SET next_check_at = due_at WHERE consumed_at IS NULL").await;
    house.becomes(COUNT, "leveret.instances WHERE status = 'completed'").await;
    quiet(&house).await;
    fired_once_and_never_early(&house, COUNT).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_after_the_cancellation_moves_nothing() {
    let house = asleep().await;
    for number in 0..COUNT {
        let key = number.to_string();
        house.start_with("nap", &key, json!({ "pause": "1s" })).await;
        house.stands(&key, "running at nap").await;
        let hint = hint(&house, &key, "2026-01-01T00:00:00Z").await;
        house.sender.command("cancel", &format!("cancel {key}"), &json!({ "definition": "nap", "key": key })).await;
        house.sender.step("fire", &hint).await;
    }
    house.becomes(COUNT, "leveret.instances WHERE status = 'cancelled'").await;
    // Its own hint comes after one second, and finds it cancelled.
    quiet(&house).await;
    assert_eq!(house.count("leveret.instances WHERE status = 'cancelled'").await, COUNT);
    assert_eq!(house.count("leveret.history WHERE kind = 'TimerFired'").await, 0);
    assert_eq!((house.count("ledger").await, house.letters().await.len()), (0, 0));
    house.close().await;
}

/// Waits until no hint is on its way any more.
async fn quiet(house: &House) {
    let fresh = &house.process.fresh;
    let queues = Queues::connect(&fresh.amqp_url, &fresh.prefix).await;
    let within = ENDS_WITHIN + Duration::from_secs(5);
    eventually("queues and ladder are empty", within, async || queues.not_empty().await.is_empty()).await;
}
