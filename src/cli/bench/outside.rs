//! Calls: five requests in a row to a local server, and five to an external worker; and the share of the time they take.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Run};
use super::load::Load;
use super::report::{CpuSince, Row};
use crate::app::App;
use crate::broker::{Delivery, Exchange, Outgoing, Queue};
use crate::contract::WorkRequest;

/// Calls of one instance.
const CALLS: usize = 5;
/// The time the server or the external worker takes for one call.
const TAKES: Duration = Duration::from_millis(5);
/// Instances in flight in a throughput round.
const AT_ONCE: usize = 32;
/// Instances measured one at a time, after a warm-up of a tenth as many.
const COUNT: usize = 100;
/// Not measured: connections, caches and plans warm up.
const WARM_UP: Duration = Duration::from_secs(2);
/// Unacknowledged requests of the external worker.
const PREFETCH: u16 = 256;

/// Time spent outside of Leveret, in microseconds.
type OutsideTime = Arc<AtomicU64>;

fn documents(address: SocketAddr) -> [String; 2] {
    let chain = |name: &str, work: &str| {
        let steps: String = (1..=CALLS).map(|n| format!("  - {{ id: step-{n}, {work} }}\n")).collect();
        format!("name: {name}\nactivities:\n{steps}")
    };
    let http = format!("http: {{ url: 'http://{address}/' }}");
    [chain("http", &http), chain("call", "call: { name: bench, input: { n: 1 } }")]
}

/// The workload `http` or `call`.
pub(super) async fn run(arena: &Arena, workload: &'static str, seconds: u64) -> Result<Vec<Row>> {
    let theirs = OutsideTime::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let mut others = JoinSet::new();
    others.spawn(serve(listener, theirs.clone(), stop.clone()));
    let run = arena
        .start(&documents(address), |config| {
            let own: Option<crate::config::Network> = "127.0.0.1".parse().ok();
            config.outgoing.allow_addresses.extend(own);
        })
        .await?;
    others.spawn(work(run.server.app.clone(), theirs.clone(), stop.clone()));
    let measured = measure(arena, &run, &theirs, workload, seconds).await;
    stop.cancel();
    others.join_all().await;
    arena.finish(run).await?;
    measured
}

async fn measure(
    arena: &Arena,
    run: &Run,
    theirs: &OutsideTime,
    workload: &'static str,
    seconds: u64,
) -> Result<Vec<Row>> {
    let load = Load::begin(&run.server.app).await?;
    let mut took = Vec::new();
    for number in 0..COUNT + COUNT / 10 {
        if number == COUNT / 10 {
            theirs.store(0, Ordering::Relaxed);
        }
        took.push(load.one(workload, json!({})).await?.as_secs_f64() * 1_000.0);
    }
    let took = took.split_off(COUNT / 10);
    let share = theirs.load(Ordering::Relaxed) as f64 / 1_000.0 / took.iter().sum::<f64>().max(1e-9);
    let (alone, many) = match workload {
        "http" => ("http, one at a time", "http, 32 at once"),
        _ => ("call, one at a time", "call, 32 at once"),
    };
    let alone = Row::of(alone).with_times(took).with_theirs(share);

    load.keep(workload, AT_ONCE, WARM_UP).await?;
    let cpu = CpuSince::now(&arena.sandbox);
    let began = Instant::now();
    let took = load.keep(workload, AT_ONCE, Duration::from_secs(seconds)).await?;
    let elapsed = began.elapsed();
    let steps = (took.len() * CALLS) as f64;
    let cpu_s = cpu.elapsed(&arena.sandbox);
    load.end();
    let many = Row::of(many)
        .with_rate(steps / elapsed.as_secs_f64())
        .with_times(took.into_iter().map(|took| took.as_secs_f64() * 1_000.0).collect())
        .with_cpu(cpu_s * 1_000.0 / steps.max(1.0));
    Ok(vec![alone, many])
}

/// A server that answers `1` after a pause.
async fn serve(listener: TcpListener, theirs: OutsideTime, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(answer(stream, theirs.clone()));
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn answer(mut stream: TcpStream, theirs: OutsideTime) {
    let mut read = vec![0; 8 * 1024];
    let mut length = 0;
    drop(stream.set_nodelay(true));
    while let Ok(more) = stream.read(&mut read[length..]).await {
        length += more;
        if more == 0 || length == read.len() {
            return;
        }
        // A GET has no body: a request ends with its head, and the next one follows the response.
        if read[..length].ends_with(b"\r\n\r\n") {
            length = 0;
            pause(&theirs).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

async fn pause(theirs: &OutsideTime) {
    let began = Instant::now();
    tokio::time::sleep(TAKES).await;
    theirs.fetch_add(u64::try_from(began.elapsed().as_micros()).unwrap_or_default(), Ordering::Relaxed);
}

/// An external worker that handles many requests at once, as many workers would.
async fn work(app: App, theirs: OutsideTime, stop: CancellationToken) {
    let mut requests = app.broker.consume(Queue::Work("bench".into()), PREFETCH);
    let mut working = JoinSet::new();
    loop {
        let request = tokio::select! {
            request = requests.next() => request,
            () = stop.cancelled() => None,
        };
        let Some(request) = request else { break };
        working.spawn(reply(app.clone(), request, theirs.clone()));
    }
    requests.cancel().await;
}

async fn reply(app: App, request: Delivery, theirs: OutsideTime) {
    let Ok(asked) = serde_json::from_slice::<WorkRequest>(&request.body) else { return };
    pause(&theirs).await;
    let reply = Outgoing {
        id: app.new_id(),
        exchange: Exchange::Commands,
        routing_key: "call.complete.bench".into(),
        kind: "call.complete".into(),
        app_id: Some("worker".into()),
        headers: BTreeMap::new(),
        body: json!({ "call": asked.call, "token": asked.token, "result": 1 }).to_string().into_bytes(),
        due_at: None,
        reply_to: None,
        correlation_id: None,
        priority: None,
        message_id: None,
    };
    // Without a reply the request is redelivered.
    if app.broker.publish(vec![reply]).await.is_ok() {
        drop(request.ack().await);
    }
}
