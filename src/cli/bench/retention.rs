//! What deleting costs the others: `chain5` next to 1,000,000 ended instances, in alternating rounds with the role `cleaner` and without
//! it. It fails if nothing is deleted, or if an instance is that lives.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::SignedDuration;

use super::arena::{Arena, Run};
use super::chain::{self, AT_ONCE, STEPS, WARM_UP};
use super::load::Load;
use super::report::{self, Row};
use crate::cli::output;
use crate::roles::Role;
use crate::store::bench::{self, Past};

/// Ended longer ago than they are kept.
const ENDED: i64 = 1_000_000;
/// As old, and alive.
const LIVING: i64 = 10_000;
/// When the oldest began; the others began within 28 hours after it.
const SINCE: SignedDuration = SignedDuration::from_hours(4 * 24);
/// The time in which the ended ones began.
const OVER: Duration = Duration::from_secs(28 * 3_600);

/// The steps of `chain5` under another name, kept for a day.
fn ended() -> String {
    chain::sets().replace("name: chain5", "name: ended\nretention: 1d")
}

const LIVING_DOCUMENT: &str =
    "name: living\nretention: 1d\nactivities:\n  - { id: rest, wait: { until: 2999-01-01T00:00:00Z } }\n";

/// The rates of the rounds.
#[derive(Default)]
struct Rates {
    without: Vec<f64>,
    with: Vec<f64>,
    deleted: Vec<f64>,
}

pub(super) async fn run(arena: &Arena, seconds: u64, rounds: u64) -> Result<Vec<Row>> {
    let others: Vec<Role> = Role::ALL.iter().copied().filter(|role| *role != Role::Cleaner).collect();
    let run = arena.start_roles(&others, &[chain::sets(), ended(), LIVING_DOCUMENT.to_owned()], |_| {}).await?;
    output::progress(&format!(
        "retention: writing {ENDED} ended instances with their history, and {LIVING} that live …"
    ));
    copy(&run, "ended", ENDED).await?;
    copy(&run, "living", LIVING).await?;
    let living = count(&run, "living").await?;
    let mut rates = Rates::default();
    for round in 1..=rounds {
        // Each goes first in every second round: what the one before has left behind must not favour one of them.
        let order =
            if round % 2 == 1 { [Cleaner::Absent, Cleaner::Running] } else { [Cleaner::Running, Cleaner::Absent] };
        for cleaner in order {
            measure(arena, &run, seconds, cleaner, &mut rates).await?;
        }
        let (without, with) = (rates.without.last().copied().unwrap_or(0.0), rates.with.last().copied().unwrap_or(0.0));
        let deleted = rates.deleted.last().copied().unwrap_or(0.0);
        output::progress(&format!(
            "round {round} of {rounds}: {with:.0} steps/s while {deleted:.0} instances/s are deleted, {without:.0} without: {:.2}",
            with / without
        ));
    }
    ensure!(count(&run, "living").await? == living, "an instance that lives was deleted");
    arena.finish(run).await?;
    let ratios: Vec<f64> = rates.with.iter().zip(&rates.without).map(|(with, without)| with / without).collect();
    let remark = format!(
        "{:.2} of the rate without, {:.0} instances/s deleted",
        report::median(&ratios),
        report::median(&rates.deleted)
    );
    Ok(vec![
        Row::of("chain5 beside 1,000,000 ended").with_rate(report::median(&rates.without)),
        Row::of("… while they are deleted").with_rate(report::median(&rates.with)).with_remark(remark),
    ])
}

/// Whether the role `cleaner` runs beside the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleaner {
    Absent,
    Running,
}

async fn measure(arena: &Arena, run: &Run, seconds: u64, cleaner: Cleaner, rates: &mut Rates) -> Result<()> {
    let beside = match cleaner {
        Cleaner::Absent => None,
        Cleaner::Running => Some(arena.beside(run, &[Role::Cleaner]).await?),
    };
    let load = Load::begin(&run.server.app).await?;
    load.keep("chain5", AT_ONCE, WARM_UP).await?;
    let before = count(run, "ended").await?;
    let began = Instant::now();
    let took = load.keep("chain5", AT_ONCE, Duration::from_secs(seconds)).await?;
    let elapsed = began.elapsed().as_secs_f64();
    let deleted = before - count(run, "ended").await?;
    load.end();
    let rate = (took.len() * STEPS) as f64 / elapsed;
    let Some(beside) = beside else {
        rates.without.push(rate);
        return Ok(());
    };
    beside.stop().await;
    ensure!(deleted > 0, "the role cleaner has deleted nothing within {seconds} s");
    ensure!(
        count(run, "ended").await? > 0,
        "all are deleted, so later rounds would compare nothing: use fewer seconds or rounds"
    );
    rates.with.push(rate);
    rates.deleted.push(deleted as f64 / elapsed);
    Ok(())
}

async fn count(run: &Run, definition: &str) -> Result<i64> {
    let mut conn = run.server.app.store.background().await?;
    Ok(bench::count_instances(&mut conn, definition).await?)
}

/// Starts an instance, waits until it has ended or waits, and copies it into the past.
async fn copy(run: &Run, definition: &str, count: i64) -> Result<()> {
    let app = &run.server.app;
    let of = run.rested(definition).await?;
    let mut conn = app.store.background().await?;
    bench::copy_into_past(&mut conn, Past { of, count, from: app.clock.now().checked_sub(SINCE)?, over: OVER }).await?;
    bench::settle(&mut conn).await?;
    Ok(())
}
