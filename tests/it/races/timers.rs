//! Timers and their wake-ups: early, late, twice, forged, or for an instance that has ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Fault, Fresh, InProcess, SOON, eventually};

/// Long enough for a test to do something meanwhile.
const NAP: &str = "
name: nap
input: { type: object, properties: { pause: { type: string, default: 2s } } }
activities:
  - { id: nap, wait: { for: '${ pause }' } }
  - { id: after, run: { handler: book } }
";
const COUNT: i64 = 20;

async fn asleep() -> InProcess {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(NAP).await;
    leveret
}

/// The wake-up for the open timer of this key, with another time.
async fn wake_up(leveret: &InProcess, key: &str, due_at: &str) -> Value {
    let timer = format!(
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE i.key = '{key}' AND b.kind = 'timer'"
    );
    let [bookmark] = &leveret.lines("b.number", &timer).await[..] else { panic!("`{key}` has no timer") };
    json!({ "instance": leveret.id(key).await.unwrap().0, "bookmark": bookmark.parse::<i64>().unwrap(), "due_at": due_at })
}

/// Nothing has fired before its moment by the database's clock, and everything has fired once.
async fn fired_once_and_never_early(leveret: &InProcess, count: i64) {
    let early = "leveret.history AS h JOIN leveret.bookmarks AS b ON b.instance_id = h.instance_id AND b.kind = 'timer' \
        WHERE h.kind = 'TimerFired' AND h.at < b.due_at";
    assert_eq!(leveret.lines("b.due_at - h.at", early).await, [""; 0], "fired too early");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'TimerFired'").await, count);
    assert_eq!(leveret.count("ledger WHERE activity = 'after'").await, count);
}

/// The wake-ups have a wrong time: the first one in the past, the second one far in the future.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_wake_up_fires_nothing() {
    let mut fault = Fault::new("wake-ups come early, with wrong times", "F32", "I1 I2 I4 I7");
    let leveret = asleep().await;
    leveret.start("nap", "sleeper").await;
    leveret.reaches("sleeper", "running at nap").await;
    for due_at in ["2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        for _ in 0..3 {
            leveret.sender.step("fire", &wake_up(&leveret, "sleeper", due_at).await).await;
        }
    }
    fault.fired_times(6, 1);
    leveret.reaches("sleeper", "completed").await;
    fired_once_and_never_early(&leveret, 1).await;
    // The queues are not checked: early wake-ups are still in the delay queues, and come back when their level ends.
    crate::support::assert_at_rest(&mut *leveret.conn().await).await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_wake_up_fires_nothing_twice() {
    let mut fault = Fault::new("wake-ups come four times", "F32", "I1 I2 I3 I4 I7");
    let leveret = asleep().await;
    for number in 0..COUNT {
        let key = number.to_string();
        leveret.start_with("nap", &key, json!({ "pause": "1s" })).await;
    }
    leveret.count_becomes(COUNT, "leveret.bookmarks WHERE kind = 'timer'").await;
    for number in 0..COUNT {
        let wake_up = wake_up(&leveret, &number.to_string(), "2026-01-01T00:00:00Z").await;
        for _ in 0..3 {
            leveret.sender.step("fire", &wake_up).await;
        }
    }
    leveret.count_becomes(COUNT, "leveret.instances WHERE status = 'completed'").await;
    for number in 0..COUNT {
        let wake_up = wake_up(&leveret, &number.to_string(), "2026-01-01T00:00:00Z").await;
        leveret.sender.step("fire", &wake_up).await;
    }
    fault.fired_times(4 * COUNT as usize, COUNT);
    quiet(&leveret).await;
    fired_once_and_never_early(&leveret, COUNT).await;
    leveret.close().await;
    fault.held();
}

/// The sweep runs at the moment at which the wake-up comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_and_a_sweep_at_the_same_moment_fire_once() {
    let mut fault = Fault::new("wake-up and sweep at the same moment", "F33", "I1 I2 I3 I4 I7");
    let leveret =
        InProcess::with_ledger_on(Fresh::new().await, |config| config.timers.sweep_every = Duration::from_millis(50))
            .await;
    leveret.apply(NAP).await;
    for number in 0..COUNT {
        leveret.start("nap", &number.to_string()).await;
    }
    leveret.count_becomes(COUNT, "leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL").await;
    // By default it leaves the wake-up 1.5 s.
    leveret.execute("UPDATE leveret.bookmarks SET next_check_at = due_at WHERE consumed_at IS NULL").await;
    leveret.count_becomes(COUNT, "leveret.instances WHERE status = 'completed'").await;
    fault.fired_times(COUNT as usize, COUNT);
    quiet(&leveret).await;
    fired_once_and_never_early(&leveret, COUNT).await;
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_after_the_cancellation_has_no_effect() {
    let mut fault = Fault::new("wake-ups come after the cancellation", "F32", "I3 I4 I5 I7");
    let leveret = asleep().await;
    for number in 0..COUNT {
        let key = number.to_string();
        leveret.start_with("nap", &key, json!({ "pause": "1s" })).await;
        leveret.reaches(&key, "running at nap").await;
        let wake_up = wake_up(&leveret, &key, "2026-01-01T00:00:00Z").await;
        leveret.sender.command("cancel", &format!("cancel {key}"), &json!({ "definition": "nap", "key": key })).await;
        leveret.sender.step("fire", &wake_up).await;
    }
    leveret.count_becomes(COUNT, "leveret.instances WHERE status = 'cancelled'").await;
    // Its own wake-up comes after one second, and finds it cancelled.
    fault.fired_times(2 * COUNT as usize, COUNT);
    quiet(&leveret).await;
    assert_eq!(leveret.count("leveret.instances WHERE status = 'cancelled'").await, COUNT);
    assert_eq!(leveret.count("leveret.history WHERE kind = 'TimerFired'").await, 0);
    assert_eq!((leveret.count("ledger").await, leveret.dead_letters().await.len()), (0, 0));
    leveret.close().await;
    fault.held();
}

/// Waits until no wake-up is queued.
async fn quiet(leveret: &InProcess) {
    let queues = leveret.queues().await;
    let within = SOON + Duration::from_secs(5);
    eventually("all queues are empty", within, async || queues.not_empty().await.is_empty()).await;
}
