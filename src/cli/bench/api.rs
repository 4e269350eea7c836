//! The HTTP API over kept-alive connections: starts of many clients at once; lists and filters next to 1,000,000 instances.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::arena::{Arena, Run};
use super::chain;
use super::report::Row;
use crate::cli::output;
use crate::store::bench::{self, Past};

/// Clients that start instances at once.
const CLIENTS: usize = 16;
/// Not measured before the starts.
const WARM_UP: Duration = Duration::from_secs(2);
/// Ended instances that lists look through.
const ENDED: i64 = 1_000_000;
/// Living ones among them.
const LIVING: i64 = 10_000;
/// When the oldest began; the others began within 20 days after it.
const SINCE: SignedDuration = SignedDuration::from_hours(21 * 24);
/// The time in which they began.
const OVER: Duration = Duration::from_secs(20 * 24 * 3_600);
/// Requests of each list.
const ROUNDS: usize = 200;
/// The goal for the slowest list, in milliseconds.
const P95_MAX: f64 = 100.0;
/// The largest head of an answer, in bytes.
const HEAD_MAX: usize = 16 * 1024;

const RESTING: &str = "name: resting\nactivities:\n  - { id: rest, wait: { until: 2999-01-01T00:00:00Z } }\n";

/// The lists, and what comes after `/api/v1/instances`.
const LISTS: [(&str, &str); 6] = [
    ("api, list", ""),
    ("api, status", "?status=running"),
    ("api, filter: status", "?filter=status%3Arunning"),
    ("api, filter: definition", "?filter=definition%3Achain5"),
    ("api, filter: age", "?filter=definition%3Achain5%20started%3C10d%20started%3E9d"),
    ("api, filter: nothing", "?filter=status%3Afailed%20definition%3Achain5"),
];

pub(super) async fn run(arena: &Arena, seconds: u64) -> Result<Vec<Row>> {
    let run = arena.start(&[chain::sets(), RESTING.into()], |_| {}).await?;
    let address = run.server.address.context("the API has no address")?;
    starts(address, WARM_UP).await?;
    let began = Instant::now();
    let times = starts(address, Duration::from_secs(seconds)).await?;
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let mut rows = vec![Row::of("api, starts (per second)").with_rate(rate).with_times(times)];
    output::progress(&format!("api: writing {ENDED} ended instances with their history, and {LIVING} that live …"));
    copy(&run, "chain5", ENDED).await?;
    copy(&run, "resting", LIVING).await?;
    let mut client = Client::open(address).await?;
    for (name, query) in LISTS {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(client.request(&format!("GET /api/v1/instances{query}"), "").await?);
        }
        let p95 = p95(&times);
        let verdict = if p95 < P95_MAX { "within" } else { "MISSES" };
        let remark = format!("p95 {p95:.1} ms, {verdict} the goal of {P95_MAX} ms");
        rows.push(Row::of(name).with_times(times).with_remark(remark));
    }
    drop(client);
    arena.finish(run).await?;
    Ok(rows)
}

/// The milliseconds of each start of all clients, which do not wait for the ends.
async fn starts(address: SocketAddr, time: Duration) -> Result<Vec<f64>> {
    let until = Instant::now() + time;
    let clients = (0..CLIENTS).map(async |_| {
        let (mut client, mut times) = (Client::open(address).await?, Vec::new());
        while Instant::now() < until {
            let body = r#"{"definition": "resting"}"#;
            times.push(client.request("POST /api/v1/instances", body).await?);
        }
        Ok::<_, anyhow::Error>(times)
    });
    Ok(futures_util::future::try_join_all(clients).await?.concat())
}

async fn copy(run: &Run, definition: &str, count: i64) -> Result<()> {
    let app = &run.server.app;
    let of = run.rested(definition).await?;
    let mut conn = app.store.background().await?;
    bench::copy_into_past(&mut conn, Past { of, count, from: app.clock.now().checked_sub(SINCE)?, over: OVER }).await?;
    bench::settle(&mut conn).await?;
    Ok(())
}

fn p95(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() * 95 / 100).copied().unwrap_or_default()
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Client {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), address })
    }

    /// The milliseconds until the whole answer has arrived, which must be a success.
    async fn request(&mut self, line: &str, body: &str) -> Result<f64> {
        let Self { stream, address } = self;
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        stream.write_all(head.as_bytes()).await?;
        let (mut read, mut answered) = (String::new(), 0);
        while !read.ends_with("\r\n\r\n") {
            ensure!(stream.read_line(&mut read).await? > 0 && read.len() <= HEAD_MAX, "the API answered {read:?}");
        }
        for line in read.lines() {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                answered = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; answered];
        stream.read_exact(&mut answer).await?;
        let took = began.elapsed().as_secs_f64() * 1_000.0;
        ensure!(read.starts_with("HTTP/1.1 2"), "the API answered {read}{}", String::from_utf8_lossy(&answer));
        Ok(took)
    }
}
