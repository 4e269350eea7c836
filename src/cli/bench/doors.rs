//! The doors: how long an instance of five steps takes from its start to its completion event, by the way it is started; and what a start
//! from SQL costs the transactions of its caller.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::arena::{Arena, Run};
use super::load::Load;
use super::pgbench::Pgbench;
use super::report::{self, Row};
use super::{chain, latency};
use crate::roles::Role;
use crate::store::{Lease, bench};

/// Measured instances of each door, after a warm-up of a tenth as many.
const COUNT: usize = 200;
/// Measured instances that start after a pause. They are fewer because of it.
const RARE_COUNT: usize = 20;
/// The pause: longer than the relay sleeps between two sweeps.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Clients whose transactions start instances.
const CLIENTS: usize = 8;
/// Rounds of their measurement, in which the ways to tell the relay take turns.
const ROUNDS: u64 = 3;

/// How transactions tell the relay of their rows.
#[derive(Clone, Copy)]
enum Telling {
    /// As they do by default.
    Default,
    /// Not at all.
    Never,
    /// Each with a notification, to show what the default saves.
    Always,
}

pub(super) async fn run(arena: &Arena, seconds: u64) -> Result<Vec<Row>> {
    let run = arena.start(&[chain::sets()], |_| {}).await?;
    let load = Load::begin(&run.server.app).await?;
    let mut rows = one_at_a_time(arena, &run, &load).await?;
    load.end();
    arena.finish(run).await?;
    rows.extend(transactions(arena, seconds).await?);
    Ok(rows)
}

/// Each door in turn, so that all are measured under the same conditions.
async fn one_at_a_time(arena: &Arena, run: &Run, load: &Load) -> Result<Vec<Row>> {
    let address: SocketAddr = run.server.address.context("the API has no address")?;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut conn = run.server.app.store.background().await?;
    let [mut amqp, mut http, mut sql, mut command_line] = [const { Vec::new() }; 4];
    for _ in 0..COUNT + COUNT / 10 {
        amqp.push(load.one("chain5", json!({})).await?.as_secs_f64() * 1_000.0);
        http.push(latency::request(load, &mut stream, address).await?);
        sql.push(by_sql(load, &mut conn).await?);
        command_line.push(by_command_line(load, arena, run).await?);
    }
    let mut rare = Vec::new();
    for _ in 0..RARE_COUNT {
        tokio::time::sleep(PAUSE).await;
        rare.push(by_sql(load, &mut conn).await?);
    }
    let row = |name, mut times: Vec<f64>| Row::of(name).with_times(times.split_off(COUNT / 10));
    Ok(vec![
        row("doors, AMQP", amqp),
        row("doors, HTTP", http),
        row("doors, SQL", sql),
        row("doors, command line", command_line),
        Row::of("doors, SQL after a pause").with_times(rare),
    ])
}

async fn by_sql(load: &Load, conn: &mut Lease) -> Result<f64> {
    let key = format!("{:016x}", fastrand::u64(..));
    let ended = load.expect(&key);
    let began = Instant::now();
    bench::start(conn, "chain5", &key).await?;
    Ok(load.ended(ended, began).await?.as_secs_f64() * 1_000.0)
}

/// With the start of the program and its connection to the database.
async fn by_command_line(load: &Load, arena: &Arena, run: &Run) -> Result<f64> {
    let key = format!("{:016x}", fastrand::u64(..));
    let ended = load.expect(&key);
    let began = Instant::now();
    let config = &run.server.app.config;
    let status = Command::new(std::env::current_exe()?)
        .args(["instance", "start", "chain5", "--key", &key])
        .env("LEVERET_DATABASE__URL", &config.database.url)
        .env("LEVERET_BROKER__URL", &arena.sandbox.amqp_url)
        .env("LEVERET_BROKER__PREFIX", &config.broker.prefix)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "the command line could not start an instance");
    Ok(load.ended(ended, began).await?.as_secs_f64() * 1_000.0)
}

/// Transactions that start instances, next to a relay that publishes them. No worker runs them, so that all take the same CPU time.
async fn transactions(arena: &Arena, seconds: u64) -> Result<Vec<Row>> {
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (rates, telling) in rates.iter_mut().zip([Telling::Default, Telling::Never, Telling::Always]) {
            rates.push(rate(arena, seconds, telling).await?);
        }
    }
    let [default, never, always] = rates;
    let row = |name, rates: &[f64]| {
        let ratios: Vec<f64> = rates.iter().zip(&never).map(|(rate, never)| rate / never).collect();
        Row::of(name).with_rate(report::median(rates)).with_ratio(report::median(&ratios))
    };
    Ok(vec![
        row("doors, transactions/s", &default),
        row("doors, without notification", &never),
        row("doors, with one in each", &always),
    ])
}

async fn rate(arena: &Arena, seconds: u64, telling: Telling) -> Result<f64> {
    let run = arena.start_roles(&[Role::Relay], &[chain::sets()], |_| {}).await?;
    bench::create_rows(&mut *run.server.app.store.background().await?).await?;
    let (notify, more) = match telling {
        Telling::Default => ("on", ""),
        Telling::Never => ("off", ""),
        Telling::Always => ("off", "SELECT pg_notify('leveret_outbox', '');"),
    };
    let script = format!(
        "BEGIN; INSERT INTO bench.rows (instance) VALUES ('started'); SELECT leveret.start('chain5'); {more} COMMIT;"
    );
    let url = format!("{}?options=-c%20leveret.notify%3D{notify}", run.server.app.config.database.url);
    let rate = Pgbench { url: &url, script: &script, clients: CLIENTS, seconds, variables: &[] }.run().await;
    arena.finish(run).await?;
    rate
}
