//! A dead target with many waiting calls does not slow down calls to other targets.

use std::time::{Duration, Instant};

use crate::support::target::{Play, Target};
use crate::support::{Fresh, InProcess, eventually};

/// The limit for every wait; it does not bound what is measured.
const WITHIN: Duration = Duration::from_secs(240);

/// The size of the test.
struct Load {
    /// Calls that wait for the dead target.
    waiting: u32,
    /// Instances of three calls each whose throughput is measured, once without and once with the dead target.
    measured: u32,
    /// The share of the throughput that must remain with the dead target.
    kept: f64,
}

async fn start(leveret: &InProcess, definition: &str, prefix: &str, count: u32) {
    leveret
        .execute(&format!(
            "SELECT leveret.start('{definition}', '{{}}', key => '{prefix}-' || n) FROM generate_series(1, {count}) AS n"
        ))
        .await;
}

/// Instances per second, from the start of the first to the last call of the last. It is measured where the calls arrive,
/// because polling the database would slow it down.
async fn throughput(leveret: &InProcess, alive: &Target, prefix: &str, count: u32) -> f64 {
    let (before, calls) = (alive.times(), 3 * count as usize);
    let began = Instant::now();
    start(leveret, "alive", prefix, count).await;
    alive.is_asked(before + calls, WITHIN).await;
    let took = began.elapsed();
    let ended = format!("leveret.instances WHERE key LIKE '{prefix}-%' AND status = 'completed'");
    eventually("the others have ended", WITHIN, async || leveret.count(&ended).await == i64::from(count)).await;
    f64::from(count) / took.as_secs_f64()
}

async fn assert_others_continue(load: Load) {
    let dead = Target::playing(|_| Play::Silent).await;
    let alive = Target::playing(|_| Play::ok("{}")).await;
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| {
        config.outgoing.allow_addresses = vec!["127.0.0.1".parse().unwrap()];
        config.breaker.open_for = Duration::from_secs(3);
    })
    .await;
    let call = |id: &str, url: String| format!("  - {{ id: {id}, http: {{ method: GET, url: \"{url}\" }} }}\n");
    let three: String = ["one", "two", "three"].into_iter().map(|id| call(id, alive.url(&format!("/{id}")))).collect();
    leveret.apply(&format!("name: alive\nactivities:\n{three}")).await;
    leveret
        .apply(&format!(
            "name: dead\nactivities:\n  - id: ask\n    http: {{ method: GET, url: \"{}\" }}\n    timeout: 1s\n    \
             retry: {{ attempts: 1000, base: 1s, max: 5s }}\n",
            dead.url("/")
        ))
        .await;
    throughput(&leveret, &alive, "warm", 10).await;
    let alone = throughput(&leveret, &alive, "alone", load.measured).await;

    start(&leveret, "dead", "dead", load.waiting).await;
    let waiting = format!("leveret.calls WHERE target = 'http://{}' AND ended_at IS NULL", dead.address);
    eventually("all wait", WITHIN, async || leveret.count(&waiting).await == i64::from(load.waiting)).await;
    let open = "leveret.targets WHERE breaker <> 'closed'";
    eventually("the breaker is open", WITHIN, async || leveret.count(open).await == 1).await;
    let asked = dead.asked().len();
    let began = Instant::now();
    let beside = throughput(&leveret, &alive, "beside", load.measured).await;
    let probes = dead.asked().len() - asked;

    eprintln!(
        "alone {alone:.0}/s, beside {} waiting calls {beside:.0}/s; the dead target was asked {probes} times",
        load.waiting
    );
    assert!(beside >= alone * load.kept, "alone {alone:.0}/s, beside {beside:.0}/s");
    // One probe every 3 s; attempts under way when the breaker opened end within a second.
    let most = 2 + began.elapsed().as_secs() / 3 + 16;
    assert!(u64::try_from(probes).unwrap() <= most, "{probes} requests to a dead target, {most} are allowed");
    assert_eq!(leveret.count(&waiting).await, i64::from(load.waiting), "all of them still wait");
    let tried = leveret.count(&format!("{waiting} AND attempt > 1")).await;
    assert!(tried <= 100, "waiting uses up no attempt: {tried}");
}

#[tokio::test]
async fn calls_that_wait_for_a_dead_target_do_not_slow_others_down() {
    // A short measurement on a busy machine varies more than the long one, so it promises less.
    assert_others_continue(Load { waiting: 400, measured: 60, kept: 0.5 }).await;
}

#[tokio::test]
#[ignore = "takes minutes and needs an idle machine"]
async fn ten_thousand_calls_that_wait_for_a_dead_target_leave_four_fifths_of_the_throughput() {
    assert_others_continue(Load { waiting: 10_000, measured: 1_000, kept: 0.8 }).await;
}
