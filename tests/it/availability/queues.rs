//! A queue that does not answer is that queue's trouble: nothing else is held up, and it is told by name.

use std::time::Duration;

use leveret::broker::delay;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Deaf, Fault, Fresh, InProcess, SOON, broker, eventually};

/// `queue.declare` and `basic.publish`: class and method.
const DECLARE: [u8; 4] = [0, 50, 0, 10];
const PUBLISH: [u8; 4] = [0, 60, 0, 40];
/// What is not held up is done within this, on a busy machine.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);
/// Longer than that: what waits for this confirm is held up.
const CONFIRM_FOR: Duration = Duration::from_secs(12);

const PAUSE: &str = "
name: pause
activities:
  - { id: rest, wait: { for: 2500ms } }
";
/// Its steps have a queue of their own.
const SLOW: &str = "
name: slow
queue: slow
activities:
  - { id: only, set: {} }
";

/// A process whose broker is behind a proxy, before anything is swallowed.
async fn behind(fresh: Fresh, deaf: impl AsyncFnOnce(&Deaf, &str)) -> (InProcess, Deaf) {
    let (proxy, through) = Deaf::before(&fresh.amqp_url).await;
    deaf(&proxy, &fresh.prefix).await;
    let leveret = InProcess::with_ledger_on(fresh, |config| {
        config.broker.url = through;
        config.broker.confirm_timeout = CONFIRM_FOR;
    })
    .await;
    (leveret, proxy)
}

/// Over HTTP the step command goes through the outbox and the broker.
async fn others_go_on(leveret: &InProcess, round: &str) {
    for number in 0..6 {
        let key = format!("{round} {number}");
        let begun = Instant::now();
        leveret.post("/instances", &json!({ "definition": "step", "key": key })).await.ok(201);
        leveret.reaches(&key, "completed").await;
        assert!(begun.elapsed() < GOES_ON_WITHIN, "{key} took {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delay_queues_that_are_not_declared_do_not_stop_a_process_and_are_named() {
    let mut fault = Fault::new("the delay queues cannot be declared", "F45", "I13 I16");
    let swallow = async |proxy: &Deaf, prefix: &str| {
        for level in delay::levels() {
            proxy.swallow(DECLARE, &level.name(prefix));
        }
    };
    let (leveret, proxy) = behind(Fresh::new().await, swallow).await;
    assert!(proxy.count() > 0, "nothing was swallowed");
    fault.fired_times(proxy.count(), 0);
    others_go_on(&leveret, "at once").await;
    let name = format!("`{}.delay.15m`: no answer within 5s", leveret.fresh.prefix);
    let told = async || {
        let reply = leveret.get("/readyz").await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        reply.body["queues_in_trouble"].as_array().unwrap().contains(&json!(name))
    };
    eventually("the queues are named", SOON, told).await;
    let begun = Instant::now();
    let compared = leveret.app().broker.verify().await.unwrap();
    assert_eq!((compared.down.len(), compared.missing.len()), (delay::LEVELS.len(), 0), "{compared:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    leveret.stop().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_queue_that_stays_down_is_deleted_and_made_again() {
    let mut fault = Fault::new("a delay queue stays down", "F45 F48", "I12");
    let swallow = async |proxy: &Deaf, prefix: &str| proxy.swallow(DECLARE, &format!("{prefix}.delay.15m"));
    let (leveret, proxy) = behind(Fresh::new().await, swallow).await;
    let name = format!("{}.delay.15m", leveret.fresh.prefix);
    let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let exists = async || {
        let raw = broker::raw(&leveret.fresh.amqp_url).await;
        raw.queue_declare(name.as_str().into(), passive, Default::default()).await.is_ok()
    };
    assert!(exists().await, "the first pass leaves it alone");
    // It was down once and is down again: it holds nothing that must not be lost.
    eventually("it is deleted", 3 * SOON, async || !exists().await).await;
    proxy.hear();
    fault.fired(0);
    eventually("it is made again", 3 * SOON, async || leveret.app().broker.troubled().is_empty()).await;
    fault.recovered();
    assert!(leveret.app().broker.verify().await.unwrap().is_equal());
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_steps_that_is_not_declared_holds_up_no_other() {
    let mut fault = Fault::new("a queue of steps cannot be declared", "F45", "I13");
    let swallow = async |proxy: &Deaf, prefix: &str| proxy.swallow(DECLARE, &format!("{prefix}.steps.slow"));
    let (leveret, proxy) = behind(Fresh::new().await, swallow).await;
    leveret.apply(SLOW).await;
    leveret.post("/instances", &json!({ "definition": "slow", "key": "waits" })).await.ok(201);
    eventually("it is needed", SOON, async || proxy.count() > 0).await;
    fault.fired_times(proxy.count(), 1);
    others_go_on(&leveret, "beside").await;
    leveret.stop().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_queue_that_does_not_confirm_holds_up_its_own_wake_ups_only() {
    let mut fault = Fault::new("a delay queue never confirms", "F20 F31", "I2 I3 I4 I7 I13");
    let (leveret, proxy) = behind(Fresh::new().await, async |_: &Deaf, _: &str| {}).await;
    leveret.apply(PAUSE).await;
    proxy.swallow(PUBLISH, &format!("{}.delay.2s", leveret.fresh.prefix));
    // More than there are publishers and batches in flight.
    for number in 0..8 {
        leveret.post("/instances", &json!({ "definition": "pause", "key": format!("{number}") })).await.ok(201);
    }
    eventually("a wake-up was swallowed", SOON, async || proxy.count() > 0).await;
    fault.fired_times(proxy.count(), 8);
    others_go_on(&leveret, "beside").await;
    // The sweep fires what no wake-up has.
    for number in 0..8 {
        leveret.reaches(&format!("{number}"), "completed").await;
    }
    proxy.hear();
    leveret.count_becomes(0, "leveret.outbox").await;
    leveret.close().await;
    fault.held();
}
