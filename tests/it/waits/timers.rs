//! Timers: rescheduled, lost, many at once, of every length, and invalid times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lapin::options::QueuePurgeOptions;
use leveret::store::bench::{self, Copies};
use serde_json::{Value, json};

use crate::support::{CommandLine, Fault, InProcess, broker, eventually};

const PAUSE: &str = "
name: pause
input: { type: object, required: [pause], properties: { pause: { type: string } } }
activities:
  - { id: pause, wait: { for: '${ pause }' } }
  - { id: after, run: { handler: book } }
";
const UNTIL: &str = "
name: until
input: { type: object, required: [at], properties: { at: { type: string } } }
activities: [{ id: until, wait: { until: '${ at }' } }]
";
/// What the timers role leaves to wake-ups, and a generous margin.
const SWEPT_WITHIN: Duration = Duration::from_secs(20);
/// Due within one second.
const MANY: i64 = 5_000;
/// On a machine that does other things too.
const ALL_WITHIN: Duration = Duration::from_secs(120);
/// Mixed delays.
const MIXED: i64 = 120;

/// Lateness of everything that fired, in milliseconds, sorted.
async fn lateness(leveret: &InProcess, definition: &str) -> Vec<f64> {
    let mut late = bench::lateness(&mut *leveret.conn().await, definition).await.unwrap();
    late.sort_by(f64::total_cmp);
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_without_wake_ups_fire_by_the_sweep() {
    let mut fault = Fault::new("the wake-ups of timers are purged", "F31", "I1 I2 I3 I4 I7");
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PAUSE).await;
    for key in ["a", "b", "c"] {
        leveret.start_with("pause", key, json!({ "pause": "3s" })).await;
        leveret.reaches(key, "running at pause").await;
    }
    leveret.count_becomes(0, "leveret.outbox WHERE kind = 'fire'").await;
    let fresh = &leveret.fresh;
    let channel = broker::raw(&fresh.amqp_url).await;
    let queues = crate::support::Queues::connect(&fresh.amqp_url, &fresh.prefix).await;
    let mut purged = 0;
    // A wake-up passes one or two delay levels: until all three were purged.
    let all = async || {
        for (queue, _) in queues.not_empty().await.into_iter().filter(|(queue, _)| queue.contains(".delay.")) {
            purged += channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await.unwrap();
        }
        purged >= 3 || leveret.count("leveret.history WHERE kind = 'TimerFired'").await > 0
    };
    eventually("the wake-ups are purged", SWEPT_WITHIN, all).await;
    fault.fired(3);
    assert_eq!(purged, 3, "a fault that was not injected proves nothing");
    leveret.count_becomes(3, "leveret.instances WHERE status = 'completed'").await;
    fault.recovered();
    let late = lateness(&leveret, "pause").await;
    assert!(late[0] >= 1_400.0 && late[2] < 7_000.0, "fired by a wake-up, or late: {late:?}");
    assert_eq!(leveret.count("ledger").await, 3);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn short_timers_do_not_wait_behind_long_ones() {
    let mut fault = Fault::new("delays of every length are mixed", "F38", "I2 I3 I4 I7");
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PAUSE).await;
    for number in 0..MIXED {
        let pause = [5_000, 200, 1_100, 700, 2_300][usize::try_from(number % 5).unwrap()];
        leveret.start_with("pause", &number.to_string(), json!({ "pause": format!("{pause}ms") })).await;
    }
    leveret.count_becomes(MIXED, "leveret.instances WHERE status = 'completed'").await;
    fault.fired_times(MIXED as usize, MIXED);
    let late = lateness(&leveret, "pause").await;
    let (median, worst) = (late[late.len() / 2], late[late.len() - 1]);
    // Behind one another in one queue, most would be late by seconds.
    assert!(late[0] >= 0.0 && median < 700.0 && worst < 3_500.0, "median {median} ms, worst {worst} ms");
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_timers_due_within_a_second_fire_once_and_never_early() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(UNTIL).await;
    leveret.start_with("until", "first", json!({ "at": "2999-01-01T00:00:00Z" })).await;
    leveret.reaches("first", "running at until").await;
    let of = leveret.id("first").await.unwrap();
    let from = leveret.app().clock.now().checked_add(SignedDuration::from_secs(8)).unwrap();
    let copies = Copies { of, count: MANY, from, over: Duration::from_secs(1), with_wake_ups: true };
    bench::copy_waiting(&mut *leveret.conn().await, copies).await.unwrap();
    let ended = "leveret.instances WHERE status = 'completed'";
    eventually("all have fired", ALL_WITHIN, async || leveret.count(ended).await == MANY).await;
    let late = lateness(&leveret, "until").await;
    assert!(late.len() as i64 == MANY && late[0] >= 0.0, "{} fired, the first {} ms late", late.len(), late[0]);
    let twice =
        "(SELECT instance_id FROM leveret.history WHERE kind = 'TimerFired' GROUP BY 1 HAVING count(*) > 1) AS t";
    assert_eq!(leveret.count(twice).await, 0);
    println!("lateness of {MANY}: p50 {} ms, p99 {} ms", late[late.len() / 2], late[late.len() * 99 / 100]);
    leveret.post(&format!("/instances/{of}/cancel"), &json!({})).await.ok(200);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_is_rescheduled_through_every_interface() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PAUSE).await;
    leveret.start_with("pause", "A", json!({ "pause": "2s" })).await;
    leveret.reaches("A", "running at pause").await;
    let id = leveret.id("A").await.unwrap().0;
    let listed = leveret.get(&format!("/timers?instance={id}")).await.ok(200);
    let timer = &listed["items"][0];
    assert_eq!((&timer["what"], &timer["activity"], &timer["key"]), (&json!("wait"), &json!("pause"), &json!("A")));
    let first = timer["bookmark"].as_i64().unwrap();

    // Far beyond what counts milliseconds in 32 bits.
    let far: Timestamp = "2226-01-01T00:00:00Z".parse().unwrap();
    let command = json!({ "instance": id, "bookmark": first, "due_at": far, "reason": "much later" });
    leveret.sender.ask("timer.reschedule", "far", &command).await;
    assert_eq!(leveret.sender.answer().await["outcome"], "rescheduled");
    leveret
        .count_becomes(
            1,
            "leveret.bookmarks WHERE consumed_at IS NULL AND due_at = '2226-01-01' AND next_check_at = due_at",
        )
        .await;
    let path = |bookmark: i64| format!("/timers/{id}/{bookmark}/reschedule");
    leveret.post(&path(first), &json!({ "after": "1h" })).await.problem(409, "refused");
    for wrong in [
        json!({}),
        json!({ "after": "1h", "due_at": far }),
        json!({ "after": "-1h" }),
        json!({ "after": "101000d" }),
        json!({ "due_at": "tomorrow" }),
    ] {
        leveret.post(&path(first + 1), &wrong).await.problem(400, "invalid");
    }
    let moved = leveret.post(&path(first + 1), &json!({ "after": "400d" })).await.ok(200);
    assert_eq!(moved["bookmark"], first + 2);
    // The wake-up of the first time comes and finds nothing.
    let queues = leveret.queues().await;
    eventually("the wake-up was consumed", SWEPT_WITHIN, async || queues.not_empty().await.is_empty()).await;
    assert_eq!(leveret.position("A").await, "running at pause");

    let command_line = CommandLine::on(&leveret.fresh);
    assert!(command_line.say("timer list").await.good().contains("pause"));
    let again = command_line.say(&format!("timer reschedule {id} {} --after 0s --reason now", first + 2)).await.good();
    assert!(again.contains(&format!("timer {} is due", first + 3)), "{again}");
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.count("leveret.history WHERE kind = 'TimerRescheduled'").await, 3);
    assert_eq!(command_line.say("timer list").await.good(), "no open timers\n");
    assert!(command_line.say(&format!("timer reschedule {id} 9 --after 1h")).await.failed().contains("ended"));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_durations_of_every_size_wait_end_or_fail_with_a_reason() {
    let mut fault =
        Fault::new("timers far beyond 49 days, of zero, negative, and impossible times", "F37", "I4 I7 I16");
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PAUSE).await;
    leveret.apply(UNTIL).await;
    let waits = [
        ("pause", "50d"),
        ("pause", "36500d"),
        ("until", "2999-12-31T23:59:59Z"),
        ("until", "2028-02-29T12:00:00+01:00"),
    ];
    let ends =
        [("pause", "0s"), ("pause", "0.0001ms"), ("until", "1969-12-31T23:59:59Z"), ("until", "0001-01-01T00:00:00Z")];
    let wrong = [
        ("pause", "-1s"),
        ("pause", "101y"),
        ("pause", "40000d"),
        ("pause", ""),
        ("until", "2027-02-29T12:00:00Z"),
        ("until", "10000-01-01T00:00:00Z"),
    ];
    let start = async |definition: &str, what: &str, value: &str| {
        let member = if definition == "pause" { "pause" } else { "at" };
        let key = format!("{what} {value}");
        leveret.start_with(definition, &key, json!({ member: value })).await;
        key
    };
    for (definition, value) in waits {
        let key = start(definition, "waits", value).await;
        leveret.reaches(&key, &format!("running at {definition}")).await;
        let due =
            leveret.lines("b.due_at = b.next_check_at AND b.due_at > now() + interval '49 days'", &of(&key)).await;
        assert_eq!(due, ["true"], "{value}");
    }
    for (definition, value) in ends {
        let key = start(definition, "ends", value).await;
        leveret.reaches(&key, "completed").await;
    }
    for (definition, value) in wrong {
        let key = start(definition, "wrong", value).await;
        leveret.reaches(&key, &format!("suspended at {definition}")).await;
        let failure: Value = serde_json::from_str(&leveret.lines("b.details", &of(&key)).await[0]).unwrap();
        assert_eq!(failure["code"], "expression", "{value}: {failure}");
        assert!(failure["message"].as_str().unwrap().contains(if definition == "pause" { "duration" } else { "time" }));
    }
    fault.fired_times(waits.len() + ends.len() + wrong.len(), (waits.len() + wrong.len()) as i64);
    leveret.close().await;
    fault.held();
}

/// The open bookmarks of an instance.
fn of(key: &str) -> String {
    format!(
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE i.key = '{key}' AND b.consumed_at IS NULL"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_are_listed_page_by_page_the_next_one_first() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PAUSE).await;
    for (key, pause) in [("c", "3d"), ("a", "1d"), ("b", "2d")] {
        leveret.start_with("pause", key, json!({ "pause": pause })).await;
        leveret.reaches(key, "running at pause").await;
    }
    let mut seen = Vec::new();
    let mut path = "/timers?limit=1".to_owned();
    for _ in 0..3 {
        let page = leveret.get(&path).await.ok(200);
        seen.push(page["items"][0]["key"].as_str().unwrap().to_owned());
        path = format!("/timers?limit=1&cursor={}", page["next"].as_str().unwrap());
    }
    assert_eq!(seen, ["a", "b", "c"]);
    assert_eq!(leveret.get(&path).await.ok(200), json!({ "items": [] }));
    leveret.get("/timers?cursor=x").await.problem(400, "invalid");
    leveret.get("/timers?limit=501").await.problem(400, "invalid");
    leveret.close().await;
}
