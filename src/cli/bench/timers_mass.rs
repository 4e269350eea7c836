//! A hundred thousand timers due within one second on one process, with and without wake-ups, beside a million that are not due; and a
//! restart in between. None may fire early, none twice.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::arena::{Arena, Ring};
use super::report::Row;
use crate::cli::output;
use crate::contract::Start;
use crate::engine::InstanceId;
use crate::step::{self, Applied, Follow, Origin, Started};
use crate::store::bench::{self, Copies};

/// Due within one second.
const DUE: i64 = 100_000;
/// Not due for a year.
const PENDING: i64 = 1_000_000;
/// From the making of the timers to the first that is due: enough to publish their wake-ups.
const DUE_AFTER: SignedDuration = SignedDuration::from_secs(45);
/// All must have fired after this.
const FIRED_WITHIN: Duration = Duration::from_secs(300);
/// The pause between two counts.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const DEFINITIONS: [&str; 2] = ["mass-with_wake_ups", "mass-swept"];

fn document(name: &str) -> String {
    format!(
        "name: {name}\nevents: {{ instance: false }}\nactivities:\n  - {{ id: rest, wait: {{ until: 2999-01-01T00:00:00Z }} }}\n"
    )
}

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let documents: Vec<String> = DEFINITIONS.iter().map(|name| document(name)).chain([document("pending")]).collect();
    let ring = arena.ring(&documents, |_| {}).await?;
    output::progress(&format!("timers-mass: {PENDING} timers that are not due …"));
    let now = ring.running.app.clock.now();
    let year = now.checked_add(SignedDuration::from_hours(24 * 365))?;
    copy(
        &ring,
        "pending",
        Copies {
            of: InstanceId(uuid::Uuid::nil()),
            count: PENDING,
            from: year,
            over: Duration::from_secs(3_600),
            with_wake_ups: false,
        },
    )
    .await?;
    let began = Instant::now();
    let mut ring = arena.restart(ring).await?;
    let restarted = began.elapsed();
    let mut rows = Vec::new();
    for name in DEFINITIONS {
        output::progress(&format!("{name}: {DUE} timers due within one second, {PENDING} beside them …"));
        let (row, next) = mass(arena, ring, name).await?;
        rows.push(row);
        ring = next;
    }
    arena.leave(ring).await?;
    rows.push(Row::of("restart beside 1,000,000").with_times(vec![restarted.as_secs_f64() * 1_000.0]));
    Ok(rows)
}

/// One mass of timers: made, left over a restart, fired.
async fn mass(arena: &Arena, ring: Ring, name: &'static str) -> Result<(Row, Ring)> {
    let from = ring.running.app.clock.now().checked_add(DUE_AFTER)?;
    let with_wake_ups = name == "mass-with_wake_ups";
    let over = Duration::from_secs(1);
    let copies = Copies { of: InstanceId(uuid::Uuid::nil()), count: DUE, from, over, with_wake_ups };
    copy(&ring, name, copies).await?;
    let ring = arena.restart(ring).await?;
    let since = from.checked_sub(SignedDuration::from_hours(1))?;
    let fired_for = fired(&ring, name, since, from).await?;
    let mut conn = ring.running.app.store.background().await?;
    let late = bench::lateness(&mut conn, name).await?;
    drop(conn);
    ensure!(late.iter().all(|late| *late >= 0.0), "a timer fired early");
    let row = Row::of(name).with_rate(DUE as f64 / fired_for.as_secs_f64()).with_times(late);
    Ok((row, ring))
}

/// Copies an instance that is started for it.
async fn copy(ring: &Ring, definition: &str, copies: Copies) -> Result<()> {
    let app = &ring.running.app;
    let start = Start { definition: definition.into(), input: json!({}), ..Start::default() };
    let origin = Origin::new("bench", &app.new_id().to_string(), b"", Follow::Always);
    let started = step::start(app, start, &origin).await?;
    let Applied::New(Started::New(committed)) = started else { bail!("no instance was started") };
    let of = committed.instance.id;
    let until = Instant::now() + FIRED_WITHIN;
    while step::find(app, of).await?.is_some_and(|found| found.instance.is_ready()) {
        ensure!(Instant::now() < until, "the first instance does not wait");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut conn = app.store.background().await?;
    bench::copy_waiting(&mut conn, Copies { of, ..copies }).await?;
    bench::settle(&mut conn).await?;
    Ok(())
}

/// Waits until all have fired; says how long that took from the moment the first was due.
async fn fired(ring: &Ring, name: &str, since: Timestamp, from: Timestamp) -> Result<Duration> {
    let until = Instant::now() + FIRED_WITHIN;
    loop {
        let mut conn = ring.running.app.store.background().await?;
        let (fired, twice, open) = bench::count_fired(&mut conn, name, since).await?;
        drop(conn);
        ensure!(twice == 0, "{twice} timers of {name} fired twice");
        if fired >= DUE && open == 0 {
            let elapsed = ring.running.app.clock.now().duration_since(from);
            return Ok(Duration::try_from(elapsed)?);
        }
        ensure!(Instant::now() < until, "{fired} of {DUE} timers of {name} fired within {FIRED_WITHIN:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
