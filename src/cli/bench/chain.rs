//! Throughput: instances of five steps, 64 in flight.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::arena::Arena;
use super::load::Load;
use super::report::{CpuSince, Row};

/// Instances in flight.
pub(super) const AT_ONCE: usize = 64;
/// Steps of one instance.
pub(super) const STEPS: usize = 5;
/// Not measured: connections, caches and plans warm up.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);

/// Five `set` steps without external effects.
pub(super) fn sets() -> String {
    let steps: String = (1..=STEPS).map(|n| format!("  - {{ id: step-{n}, set: {{ n: n + 1 }} }}\n")).collect();
    format!("name: chain5\nvariables: {{ n: 0, filler: {} }}\nactivities:\n{steps}", "x".repeat(300))
}

/// Five handlers, each of which writes one business row.
fn handlers() -> String {
    let steps: String =
        (1..=STEPS).map(|n| format!("  - {{ id: step-{n}, run: {{ handler: insert-row }} }}\n")).collect();
    format!("name: handler\nactivities:\n{steps}")
}

/// One round of `chain5`, `one-hop` or `handler`.
pub(super) async fn run(arena: &Arena, workload: &'static str, seconds: u64) -> Result<Row> {
    let definition = if workload == "handler" { "handler" } else { "chain5" };
    let run = arena
        .start(&[sets(), handlers()], |config| {
            if workload == "one-hop" {
                config.worker.steps_per_delivery_max = 1;
            }
        })
        .await?;
    let load = Load::begin(&run.server.app).await?;
    load.keep(definition, AT_ONCE, WARM_UP).await?;
    let cpu = CpuSince::now(&arena.sandbox);
    let began = Instant::now();
    let took = load.keep(definition, AT_ONCE, Duration::from_secs(seconds)).await?;
    let elapsed = began.elapsed();
    let steps = took.len() * STEPS;
    let cpu_s = cpu.elapsed(&arena.sandbox);
    load.end();
    let row = Row::of(workload)
        .with_rate(steps as f64 / elapsed.as_secs_f64())
        .with_times(took.into_iter().map(|took| took.as_secs_f64() * 1_000.0).collect())
        .with_cpu(cpu_s * 1_000.0 / (steps as f64).max(1.0));
    arena.finish(run).await?;
    Ok(row)
}
