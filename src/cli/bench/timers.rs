//! Lateness of timers by the database's clock: many at once, and many spread over one second.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::arena::{Arena, Run};
use super::load::Load;
use super::report::Row;
use crate::store::bench;

/// One-second timers, opened at once.
const AT_ONCE: usize = 200;
/// Timers spread evenly over one second.
const SPREAD: usize = 1_000;
/// From the first start to the first due time: enough to open all of them.
const SPREAD_AFTER: Duration = Duration::from_secs(6);

const ONE_SECOND: &str = "name: one-second\nactivities:\n  - { id: rest, wait: { for: 1s } }\n";
const UNTIL: &str = "name: moment
input: { type: object, required: [at], properties: { at: { type: string } } }
activities:
  - { id: rest, wait: { until: \"${ at }\" } }
";

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let run = arena.start(&[ONE_SECOND.into(), UNTIL.into()], |_| {}).await?;
    let load = Load::begin(&run.server.app).await?;
    // Warm-up: a few timers that are not measured end before the others start.
    start(&load, "moment", vec![json!({ "at": "2020-01-01T00:00:00Z" }); 50]).await?;
    start(&load, "one-second", vec![json!({}); AT_ONCE]).await?;
    let first = run.server.app.clock.now().checked_add(SignedDuration::try_from(SPREAD_AFTER)?)?;
    let mut moments = Vec::with_capacity(SPREAD);
    for n in 0..SPREAD {
        let micros = i64::try_from(n * 1_000_000 / SPREAD)?;
        moments.push(json!({ "at": first.checked_add(SignedDuration::from_micros(micros))? }));
    }
    start(&load, "moment", moments).await?;
    let rows = vec![
        lateness(&run, "timers, 200 at once", "one-second", AT_ONCE).await?,
        lateness(&run, "timers, 1,000 over 1 s", "moment", SPREAD).await?,
    ];
    load.end();
    arena.finish(run).await?;
    Ok(rows)
}

/// Starts instances at once and waits for their ends.
async fn start(load: &Load, definition: &str, inputs: Vec<Value>) -> Result<()> {
    futures_util::future::try_join_all(inputs.into_iter().map(|input| load.one(definition, input))).await?;
    Ok(())
}

async fn lateness(run: &Run, workload: &'static str, definition: &str, count: usize) -> Result<Row> {
    let mut conn = run.server.app.store.background().await?;
    let late = bench::lateness(&mut conn, definition).await?;
    ensure!(late.len() == count, "{} of {count} timers of {definition} fired", late.len());
    ensure!(late.iter().all(|late| *late >= 0.0), "a timer fired early");
    Ok(Row::of(workload).with_times(late))
}
