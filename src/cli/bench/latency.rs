//! Latency: one instance of five steps at a time, from the request until its completion event is received.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::arena::Arena;
use super::chain;
use super::load::Load;
use super::report::Row;

/// Measured instances, after a warm-up of a tenth as many.
const COUNT: usize = 300;
/// The longest response, in bytes.
const ANSWER_MAX: usize = 4_096;

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let run = arena.start(&[chain::sets()], |_| {}).await?;
    let load = Load::begin(&run.server.app).await?;
    let address = run.server.address.context("the API has no address")?;
    let mut by_message = Vec::new();
    for _ in 0..COUNT + COUNT / 10 {
        by_message.push(load.one("chain5", json!({})).await?.as_secs_f64() * 1_000.0);
    }
    let mut by_http = Vec::new();
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    for _ in 0..COUNT + COUNT / 10 {
        by_http.push(request(&load, &mut stream, address).await?);
    }
    load.end();
    arena.finish(run).await?;
    let counted = |mut times: Vec<f64>| times.split_off(COUNT / 10);
    Ok(vec![
        Row::of("latency, AMQP").with_times(counted(by_message)),
        Row::of("latency, HTTP").with_times(counted(by_http)),
    ])
}

/// Starts one instance over HTTP, on a kept-alive connection, and waits for its completion event.
pub(super) async fn request(load: &Load, stream: &mut TcpStream, address: SocketAddr) -> Result<f64> {
    let key = format!("{:016x}", fastrand::u64(..));
    let body = json!({ "definition": "chain5", "key": key }).to_string();
    let request = format!(
        "POST /api/v1/instances HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let ended = load.expect(&key);
    let began = Instant::now();
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; ANSWER_MAX];
    let read = stream.read(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    ensure!(answer.starts_with("HTTP/1.1 201"), "the API answered {answer}");
    Ok(load.ended(ended, began).await?.as_secs_f64() * 1_000.0)
}
