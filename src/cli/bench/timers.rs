//! How late timers fire by the database's clock: many at once, and many over one second.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::arena::{Arena, Ring};
use super::load::Load;
use super::report::Row;
use crate::store::bench;

/// One-second timers, opened at once.
const AT_ONCE: usize = 200;
/// Timers spread evenly over one second.
const SPREAD: usize = 1_000;
/// From the first start to the first of them: enough to open them all.
const SPREAD_AFTER: Duration = Duration::from_secs(6);

const ONE_SECOND: &str = "name: one-second\nactivities:\n  - { id: rest, wait: { for: 1s } }\n";
const MOMENT: &str = "name: moment
input: { type: object, required: [at], properties: { at: { type: string } } }
activities:
  - { id: rest, wait: { until: \"${ at }\" } }
";

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let ring = arena.ring(&[ONE_SECOND.into(), MOMENT.into()], |_| {}).await?;
    let load = Load::begin(&ring.running.app).await?;
    // Connections, caches and plans are made by a few that are not counted: they end before the others begin.
    start(&load, "moment", vec![json!({ "at": "2020-01-01T00:00:00Z" }); 50]).await?;
    start(&load, "one-second", vec![json!({}); AT_ONCE]).await?;
    let first = ring.running.app.clock.now().checked_add(SignedDuration::try_from(SPREAD_AFTER)?)?;
    let mut moments = Vec::with_capacity(SPREAD);
    for n in 0..SPREAD {
        let micros = i64::try_from(n * 1_000_000 / SPREAD)?;
        moments.push(json!({ "at": first.checked_add(SignedDuration::from_micros(micros))? }));
    }
    start(&load, "moment", moments).await?;
    let rows = vec![
        lateness(&ring, "timers, 200 at once", "one-second", AT_ONCE).await?,
        lateness(&ring, "timers, 1,000 over 1 s", "moment", SPREAD).await?,
    ];
    load.end();
    arena.leave(ring).await?;
    Ok(rows)
}

/// Starts them all at once and waits for their ends.
async fn start(load: &Load, definition: &str, inputs: Vec<Value>) -> Result<()> {
    futures_util::future::try_join_all(inputs.into_iter().map(|input| load.one(definition, input))).await?;
    Ok(())
}

async fn lateness(ring: &Ring, workload: &'static str, definition: &str, count: usize) -> Result<Row> {
    let mut conn = ring.running.app.store.background().await?;
    let late = bench::lateness(&mut conn, definition).await?;
    ensure!(late.len() == count, "{} of {count} timers of {definition} fired", late.len());
    ensure!(late.iter().all(|late| *late >= 0.0), "a timer fired early");
    Ok(Row::of(workload).with_times(late))
}
