//! An external worker for Leveret in Rust, with the client library: packs parcels.
//!
//! ```text
//! call: { name: pack, input: { parcel: "A-17", items: 2 }, heartbeat: 30s }
//! ```
//!
//! The library consumes requests, sends heartbeats, replies, acknowledges and reconnects. Results are kept in a journal by
//! idempotency key, so that a request that arrives again is answered without doing the work again.
//!
//! Usage: `pack [--url amqp://…] [--prefix leveret] [--name pack] [--journal pack.jsonl]` (`AMQP_URL` is the default of `--url`)

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leveret::client::{Job, Worker};
use leveret::contract::CallError;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};

const APP_ID: &str = "packer-rust";

/// Returns the same result for the same idempotency key.
async fn pack(job: &Job) -> Result<Value, CallError> {
    let input = &job.request.input;
    let (Some(parcel), Some(items)) = (input["parcel"].as_str(), input["items"].as_u64()) else {
        return Err(CallError::new("input", "`parcel` and `items` are missing"));
    };
    if items < 1 {
        let message = format!("parcel {parcel} has no items");
        return Err(CallError::new("nothing_to_pack", message).with_data(json!({ "parcel": parcel })));
    }
    let pause = Duration::try_from_secs_f64(input["seconds_per_item"].as_f64().unwrap_or(0.0)).unwrap_or_default();
    for item in 1..=items {
        tokio::time::sleep(pause).await;
        // The reply reports the last one: a report just before it might be handled after it, and be too late.
        if item < items {
            job.progress(json!({ "packed": item, "of": items })).await;
        }
    }
    let label = hex::encode(Sha256::digest(&job.request.idempotency_key))[..8].to_uppercase();
    Ok(json!({ "parcel": parcel, "label": label, "packed_by": APP_ID }))
}

/// Results by idempotency key. A worker with a database writes this in the transaction of its work.
struct Journal {
    file: File,
    done: HashMap<String, Value>,
}

impl Journal {
    fn open(path: &str) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let lines = BufReader::new(File::open(path)?).lines().map_while(Result::ok);
        let entry = |line: String| {
            let entry: Value = serde_json::from_str(&line).ok()?;
            Some((entry["key"].as_str()?.to_owned(), entry["result"].clone()))
        };
        Ok(Self { file, done: lines.filter_map(entry).collect() })
    }

    fn keep(&mut self, key: &str, result: &Value) -> std::io::Result<()> {
        writeln!(self.file, "{}", json!({ "key": key, "result": result }))?;
        self.file.sync_data()?;
        self.done.insert(key.to_owned(), result.clone());
        Ok(())
    }
}

/// The value of `--name VALUE` among the arguments.
fn option(name: &str, default: &str) -> String {
    let mut arguments = std::env::args().skip_while(|argument| argument != &format!("--{name}"));
    arguments.nth(1).unwrap_or_else(|| default.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a separate program, without Leveret's settings")]
fn url() -> String {
    option("url", &std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://127.0.0.1:5672/%2f".into()))
}

#[expect(clippy::print_stdout, reason = "it prints its progress for people")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let journal = Arc::new(Mutex::new(Journal::open(&option("journal", "pack.jsonl"))?));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let (prefix, name) = (option("prefix", "leveret"), option("name", "pack"));
    println!("consuming {prefix}.work.{name}");
    let work = move |job: Job| {
        let journal = journal.clone();
        async move {
            let key = job.request.idempotency_key.clone();
            let known = journal.lock().unwrap_or_else(PoisonError::into_inner).done.get(&key).cloned();
            if let Some(result) = known {
                return Ok(result);
            }
            let result = pack(&job).await?;
            let kept = journal.lock().unwrap_or_else(PoisonError::into_inner).keep(&key, &result);
            kept.map_err(|error| CallError::new("unexpected", format!("the journal cannot be written: {error}")))?;
            Ok(result)
        }
    };
    Worker::new(&url(), &prefix, APP_ID, &name).run(stop, work).await;
    println!("stopped");
    Ok(())
}
