//! Work outside: five requests in a row to a server of this machine, and five to a worker; and how much of the time is theirs.

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

use super::arena::{Arena, Ring};
use super::load::Load;
use super::report::{CpuSince, Row};
use crate::app::App;
use crate::broker::{Delivery, Exchange, Outgoing, Queue};
use crate::contract::WorkRequest;

/// Calls of one instance.
const CALLS: usize = 5;
/// How long the server, or the worker, takes for one.
const TAKES: Duration = Duration::from_millis(5);
/// Instances under way in a throughput round.
const AT_ONCE: usize = 32;
/// Instances that are measured one at a time, after a tenth that are not.
const COUNT: usize = 100;
/// Not counted: connections, caches and plans are made meanwhile.
const WARM_UP: Duration = Duration::from_secs(2);
/// Requests in hand of the worker.
const PREFETCH: u16 = 256;

/// Time that is not ours, in microseconds.
type Theirs = Arc<AtomicU64>;

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
    let theirs = Theirs::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let mut others = JoinSet::new();
    others.spawn(serve(listener, theirs.clone(), stop.clone()));
    let ring = arena
        .ring(&documents(address), |config| {
            let own: Option<crate::config::Network> = "127.0.0.1".parse().ok();
            config.outgoing.allow_addresses.extend(own);
        })
        .await?;
    others.spawn(work(ring.running.app.clone(), theirs.clone(), stop.clone()));
    let measured = measure(arena, &ring, (workload, seconds), &theirs).await;
    stop.cancel();
    others.join_all().await;
    arena.leave(ring).await?;
    measured
}

async fn measure(
    arena: &Arena,
    ring: &Ring,
    (workload, seconds): (&'static str, u64),
    theirs: &Theirs,
) -> Result<Vec<Row>> {
    let load = Load::begin(&ring.running.app).await?;
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

/// A server that takes its time and says `1`.
async fn serve(listener: TcpListener, theirs: Theirs, stop: CancellationToken) {
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

async fn answer(mut stream: TcpStream, theirs: Theirs) {
    let mut read = vec![0; 8 * 1024];
    let mut length = 0;
    drop(stream.set_nodelay(true));
    while let Ok(more) = stream.read(&mut read[length..]).await {
        length += more;
        if more == 0 || length == read.len() {
            return;
        }
        // A GET has no body: a request ends with its head, and the next comes when this is answered.
        if read[..length].ends_with(b"\r\n\r\n") {
            length = 0;
            rest(&theirs).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

async fn rest(theirs: &Theirs) {
    let began = Instant::now();
    tokio::time::sleep(TAKES).await;
    theirs.fetch_add(u64::try_from(began.elapsed().as_micros()).unwrap_or_default(), Ordering::Relaxed);
}

/// A worker that takes its time over many requests at once, as many workers would.
async fn work(app: App, theirs: Theirs, stop: CancellationToken) {
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

async fn reply(app: App, request: Delivery, theirs: Theirs) {
    let Ok(asked) = serde_json::from_slice::<WorkRequest>(&request.body) else { return };
    rest(&theirs).await;
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
        message_id: None,
    };
    // Unanswered, it comes again.
    if app.broker.publish(vec![reply]).await.is_ok() {
        drop(request.ack().await);
    }
}
