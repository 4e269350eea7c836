//! 100,000 timers due within one second on one process, with and without wake-ups, next to 1,000,000 pending ones, with a restart
//! in between. It fails if a timer fires early or twice.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};

use super::arena::{Arena, Run};
use super::report::Row;
use crate::cli::output;
use crate::engine::InstanceId;
use crate::store::bench::{self, Copies};

/// Due within one second.
const DUE: i64 = 100_000;
/// Not due for a year.
const PENDING: i64 = 1_000_000;
/// From the creation of the timers to the first due time: enough to publish their wake-ups.
const DUE_AFTER: SignedDuration = SignedDuration::from_secs(45);
/// The time limit for all to fire.
const FIRED_WITHIN: Duration = Duration::from_secs(300);
/// The pause between two polls.
const POLL_EVERY: Duration = Duration::from_millis(500);

const DEFINITIONS: [&str; 2] = ["mass-with-wake-ups", "mass-swept"];

fn document(name: &str) -> String {
    format!(
        "name: {name}\nevents: {{ instance: false }}\nactivities:\n  - {{ id: rest, wait: {{ until: 2999-01-01T00:00:00Z }} }}\n"
    )
}

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let documents: Vec<String> = DEFINITIONS.iter().map(|name| document(name)).chain([document("pending")]).collect();
    let run = arena.start(&documents, |_| {}).await?;
    output::progress(&format!("timers-mass: creating {PENDING} pending timers …"));
    let now = run.server.app.clock.now();
    let year = now.checked_add(SignedDuration::from_hours(24 * 365))?;
    copy(
        &run,
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
    let mut run = arena.restart(run).await?;
    let restarted = began.elapsed();
    let mut rows = Vec::new();
    for name in DEFINITIONS {
        output::progress(&format!("{name}: {DUE} timers due within one second, next to {PENDING} pending ones …"));
        let (row, next) = mass(arena, run, name).await?;
        rows.push(row);
        run = next;
    }
    arena.finish(run).await?;
    rows.push(Row::of("restart with 1,000,000 pending").with_times(vec![restarted.as_secs_f64() * 1_000.0]));
    Ok(rows)
}

/// Creates timers, restarts the server, and measures how late they fire.
async fn mass(arena: &Arena, run: Run, name: &'static str) -> Result<(Row, Run)> {
    let from = run.server.app.clock.now().checked_add(DUE_AFTER)?;
    let with_wake_ups = name == "mass-with-wake-ups";
    let over = Duration::from_secs(1);
    let copies = Copies { of: InstanceId(uuid::Uuid::nil()), count: DUE, from, over, with_wake_ups };
    copy(&run, name, copies).await?;
    let run = arena.restart(run).await?;
    let since = from.checked_sub(SignedDuration::from_hours(1))?;
    let fired_for = fired(&run, name, since, from).await?;
    let mut conn = run.server.app.store.background().await?;
    let late = bench::lateness(&mut conn, name).await?;
    drop(conn);
    ensure!(late.iter().all(|late| *late >= 0.0), "a timer fired early");
    let row = Row::of(name).with_rate(DUE as f64 / fired_for.as_secs_f64()).with_times(late);
    Ok((row, run))
}

/// Starts an instance, waits until it waits, and copies it.
async fn copy(run: &Run, definition: &str, copies: Copies) -> Result<()> {
    let of = run.rested(definition).await?;
    let mut conn = run.server.app.store.background().await?;
    bench::copy_waiting(&mut conn, Copies { of, ..copies }).await?;
    bench::settle(&mut conn).await?;
    Ok(())
}

/// Waits until all have fired; returns the time since the first was due.
async fn fired(run: &Run, name: &str, since: Timestamp, from: Timestamp) -> Result<Duration> {
    let until = Instant::now() + FIRED_WITHIN;
    loop {
        let mut conn = run.server.app.store.background().await?;
        let (fired, twice, open) = bench::count_fired(&mut conn, name, since).await?;
        drop(conn);
        ensure!(twice == 0, "{twice} timers of {name} fired twice");
        if fired >= DUE && open == 0 {
            let elapsed = run.server.app.clock.now().duration_since(from);
            return Ok(Duration::try_from(elapsed)?);
        }
        ensure!(Instant::now() < until, "{fired} of {DUE} timers of {name} fired within {FIRED_WITHIN:?}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}
