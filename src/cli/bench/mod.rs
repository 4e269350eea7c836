//! `leveret bench`: the throughput of this machine's PostgreSQL, and the share of it that Leveret reaches.

mod api;
mod arena;
mod chain;
mod doors;
mod floor;
mod idle;
mod latency;
mod load;
mod outside;
mod pgbench;
mod report;
mod retention;
mod soak;
mod tasks;
mod timers;
mod timers_mass;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::output::{self, Output};
use arena::Arena;
use report::Row;

#[derive(Args)]
pub(super) struct Arguments {
    /// One workload: floor, chain5, one-hop, handler, latency, doors, timers, idle, tasks, http, call, api, timers-mass, retention or soak.
    /// Default: all except the last four, which take some minutes each.
    workload: Option<String>,
    /// Seconds per round of a throughput workload.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds. Floor and Leveret alternate, so that the ratio holds on a noisy machine; medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=50))]
    rounds: u64,
    /// How long the workload soak starts instances.
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = soak_time)]
    time: Duration,
    /// Instances that the workload soak starts per second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// In the workload soak: kill workers, and kill, freeze and wipe servers, all the time.
    #[arg(long)]
    faults: bool,
    /// The seed of the definitions and the faults of the workload soak. Default: another one each time.
    #[arg(long)]
    seed: Option<u64>,
}

/// The longest soak.
const SOAK_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

fn soak_time(text: &str) -> Result<Duration, String> {
    let time = crate::time::duration::parse(text)?;
    if (Duration::from_secs(1)..=SOAK_MAX).contains(&time) {
        return Ok(time);
    }
    Err("use a time from `1s` to `7d`".to_owned())
}

/// Workloads that are compared with the floor, in alternating rounds.
const AGAINST_FLOOR: [&str; 3] = ["chain5", "one-hop", "handler"];
const WORKLOADS: [&str; 15] = [
    "floor",
    "chain5",
    "one-hop",
    "handler",
    "latency",
    "doors",
    "timers",
    "idle",
    "tasks",
    "http",
    "call",
    "api",
    "timers-mass",
    "retention",
    "soak",
];

pub(super) async fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    if let Some(name) = &arguments.workload
        && !WORKLOADS.contains(&name.as_str())
    {
        bail!("there is no workload `{name}`: use one of {}", WORKLOADS.join(", "));
    }
    let wanted = |name: &str| arguments.workload.as_deref().is_none_or(|only| only == name);
    output::progress("starting private servers with fsync on …");
    let arena = Arena::open().await?;
    if arguments.workload.as_deref() == Some("soak") {
        let wanted = soak::Wanted {
            time: arguments.time,
            rate: arguments.rate,
            faults: arguments.faults,
            seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
        };
        let ended = soak::run(&arena, &wanted, output).await;
        arena.close().await?;
        return ended;
    }
    let measured = measure(&arena, arguments, &wanted).await;
    arena.close().await?;
    report::print(&measured?, output)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(arena: &Arena, arguments: &Arguments, wanted: &impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let compared: Vec<&str> = AGAINST_FLOOR.into_iter().filter(|name| wanted(name)).collect();
    if wanted("floor") || !compared.is_empty() {
        rows.extend(throughput(arena, arguments, &compared).await?);
    }
    if wanted("latency") {
        output::progress("latency: one instance at a time …");
        rows.extend(latency::run(arena).await?);
    }
    if wanted("doors") {
        output::progress("doors: one instance at a time by each way to start it …");
        rows.extend(doors::run(arena, arguments.seconds).await?);
    }
    if wanted("timers") {
        output::progress("timers: 200 at once, then 1,000 over a second …");
        rows.extend(timers::run(arena).await?);
    }
    if wanted("idle") {
        output::progress("idle: a process without work …");
        rows.push(idle::run(arena).await?);
    }
    if wanted("tasks") {
        output::progress("tasks: 2,000 next to 100,000 open ones …");
        rows.extend(tasks::run(arena).await?);
    }
    for name in ["http", "call"].into_iter().filter(|name| wanted(name)) {
        output::progress(&format!("{name}: five calls in a row, each of which takes 5 ms …"));
        rows.extend(outside::run(arena, name, arguments.seconds).await?);
    }
    // Not part of all: each takes as long as the others together.
    if arguments.workload.as_deref() == Some("timers-mass") {
        rows.extend(timers_mass::run(arena).await?);
    }
    if arguments.workload.as_deref() == Some("api") {
        rows.extend(api::run(arena, arguments.seconds).await?);
    }
    if arguments.workload.as_deref() == Some("retention") {
        rows.extend(retention::run(arena, arguments.seconds, arguments.rounds).await?);
    }
    Ok(rows)
}

/// Alternates floor and Leveret; each ratio is taken within a round.
async fn throughput(arena: &Arena, arguments: &Arguments, compared: &[&'static str]) -> Result<Vec<Row>> {
    let mut floors = Vec::new();
    let mut rounds: Vec<Vec<Row>> = vec![Vec::new(); compared.len()];
    for round in 1..=arguments.rounds {
        let floor = floor::run(arena, arguments.seconds).await?;
        output::progress(&format!("round {round} of {}: floor {floor:.0} steps/s", arguments.rounds));
        for (at, name) in compared.iter().enumerate() {
            let row = chain::run(arena, name, arguments.seconds).await?.against(floor);
            output::progress(&format!("round {round} of {}: {}", arguments.rounds, row.brief()));
            rounds[at].push(row);
        }
        floors.push(floor);
    }
    let mut rows = vec![Row::of("floor").with_rate(report::median(&floors))];
    rows.extend(rounds.into_iter().map(Row::median));
    Ok(rows)
}
