//! For external workers in Rust: consumes the requests of one name of work, calls a function, and sends the outcome.
//!
//! ```no_run
//! # async fn example() {
//! use leveret::client::{Job, Worker};
//! use leveret::contract::CallError;
//! use serde_json::{Value, json};
//!
//! async fn pack(job: Job) -> Result<Value, CallError> {
//!     let parcel = job.request.input["parcel"].as_str().ok_or_else(|| CallError::new("input", "a parcel is missing"))?;
//!     job.progress(json!({ "parcel": parcel, "packed": 1 })).await;
//!     Ok(json!({ "label": job.request.idempotency_key }))
//! }
//!
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! Worker::new("amqp://127.0.0.1:5672", "leveret", "packer", "pack").concurrency(4).run(stop, pack).await;
//! # }
//! ```

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, interval_at};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Client, Error};
use crate::broker::{Delivery, Queue};
use crate::contract::{CallComplete, CallError, CallHeartbeat, CallProgress, SCHEMA, WorkRequest};
use crate::time::duration;

/// Heartbeats within the time after which an attempt without one is lost.
const HEARTBEATS: u32 = 3;
/// The interval of heartbeats for calls that need none: practically never.
const NO_HEARTBEAT: Duration = Duration::from_secs(365 * 24 * 3_600);

impl CallError {
    /// An error: the activity fails with `worker.<code>`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), data: Value::Null }
    }

    /// The same with data that `on_error` can read as `error.data`.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

/// One request, and the means to report its progress.
#[derive(Clone)]
pub struct Job {
    /// The request. One with the same `idempotency_key` may arrive again: the work must not be done twice.
    pub request: WorkRequest,
    /// W3C trace context of the request.
    pub trace: Option<String>,
    client: Arc<Client>,
}

impl Job {
    /// Reports progress. An error is logged, and the work continues.
    pub async fn progress(&self, progress: Value) {
        let WorkRequest { call, token, .. } = self.request.clone();
        self.send("call.progress", &Uuid::new_v4().to_string(), &CallProgress { call, token, progress }).await;
    }

    async fn heartbeat(&self) {
        let WorkRequest { call, token, .. } = self.request.clone();
        self.send("call.heartbeat", &Uuid::new_v4().to_string(), &CallHeartbeat { call, token }).await;
    }

    async fn send(&self, kind: &str, message_id: &str, body: &impl Serialize) {
        if let Err(error) = self.client.send(kind, &self.request.name, message_id, body).await {
            tracing::warn!(call = %self.request.call, %error, "{kind} could not be sent");
        }
    }

    /// Sends the outcome. Its message id is derived from the token, so that it counts once however often it is sent.
    async fn complete(&self, outcome: Result<Value, CallError>) -> Result<(), Error> {
        let WorkRequest { call, token, name, .. } = &self.request;
        let message_id = hex::encode(Sha256::digest(token));
        let reply = |outcome: Result<Value, CallError>| {
            let (result, error) = match outcome {
                Ok(result) => (result, None),
                Err(error) => (Value::Null, Some(error)),
            };
            CallComplete { call: *call, token: token.clone(), result, error }
        };
        match self.client.send("call.complete", name, &message_id, &reply(outcome)).await {
            Err(error @ (Error::TooLarge(_) | Error::Number(_) | Error::Json(_))) => {
                let error = CallError::new("result", format!("the result cannot be sent: {error}"));
                self.client.send("call.complete", name, &message_id, &reply(Err(error))).await
            }
            other => other,
        }
    }
}

type Outcome = Result<Value, CallError>;
/// Running work by idempotency key: a request that arrives again meanwhile waits for the same outcome.
type Running = Mutex<HashMap<String, Shared<BoxFuture<'static, Outcome>>>>;

/// Handles the requests of one name of work.
pub struct Worker {
    client: Client,
    name: String,
    concurrency: u16,
}

impl Worker {
    /// A worker that is not connected yet. `app_id` names the worker; `name` is the name of the work, as in `call: { name: pack }`.
    pub fn new(url: &str, prefix: &str, app_id: &str, name: &str) -> Self {
        Self { client: Client::prepare(url, prefix, app_id), name: name.to_owned(), concurrency: 1 }
    }

    /// Sets the number of requests handled concurrently; 1 by default.
    #[must_use]
    pub fn concurrency(self, concurrency: u16) -> Self {
        Self { concurrency: concurrency.max(1), ..self }
    }

    /// Handles requests until `stop` resolves, and reconnects as necessary; then finishes those that were begun. A request is
    /// acknowledged when the broker has confirmed the reply; otherwise it is redelivered, at most as often as the delivery limit of
    /// the queue allows. A panic is the error `worker.unexpected`.
    pub async fn run<F, Fut>(self, stop: impl Future<Output = ()>, work: F)
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let client = Arc::new(self.client);
        let (work, running_work) = (Arc::new(work), Arc::new(Running::default()));
        let mut deliveries = client.broker.consume(Queue::Work(self.name), self.concurrency);
        let running = TaskTracker::new();
        tokio::pin!(stop);
        loop {
            let delivery = tokio::select! {
                biased;
                () = &mut stop => break,
                delivery = deliveries.next() => delivery,
            };
            let Some(delivery) = delivery else { break };
            running.spawn(handle(client.clone(), delivery, work.clone(), running_work.clone()));
        }
        // Requests that were not begun: another worker may take them at once.
        deliveries.cancel().await;
        running.close();
        running.wait().await;
        client.stop.cancel();
        client.tasks.close();
        client.tasks.wait().await;
    }
}

async fn handle<F, Fut>(client: Arc<Client>, delivery: Delivery, work: Arc<F>, running_work: Arc<Running>)
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let (request, every) = match read(&delivery) {
        Ok(read) => read,
        Err(problem) => {
            tracing::warn!(problem, "rejecting a message that is not a request; it becomes a dead letter");
            let _ = delivery.reject().await;
            return;
        }
    };
    if request.deadline.is_some_and(|deadline| deadline < client.clock.now()) {
        // An outcome would be too late.
        let _ = delivery.ack().await;
        return;
    }
    let key = request.idempotency_key.clone();
    let job = Job { request, trace: delivery.headers.get("traceparent").cloned(), client };
    let outcome = {
        let mut running_work = running_work.lock().unwrap_or_else(PoisonError::into_inner);
        running_work.entry(key.clone()).or_insert_with(|| begin(job.clone(), work).shared()).clone()
    };
    let outcome = with_heartbeats(&job, every, outcome).await;
    running_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    match job.complete(outcome).await {
        // After the confirm: if the worker dies before, the request is redelivered.
        Ok(()) => drop(delivery.ack().await),
        Err(error) => {
            tracing::warn!(call = %job.request.call, %error, "the reply could not be sent; giving the request back");
            // Counted by the broker: a reply that can never be sent must not have its work done for ever.
            let _ = delivery.give_back().await;
        }
    }
}

/// Returns a future that does nothing until it is polled, so that it can be created under a lock.
fn begin<F, Fut>(job: Job, work: Arc<F>) -> BoxFuture<'static, Outcome>
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    async move {
        let worked = AssertUnwindSafe(async { work(job).await }).catch_unwind().await;
        worked.unwrap_or_else(|_| Err(CallError::new("unexpected", "the worker panicked")))
    }
    .boxed()
}

/// Waits for the outcome, and sends heartbeats meanwhile.
async fn with_heartbeats(job: &Job, every: Option<Duration>, outcome: Shared<BoxFuture<'static, Outcome>>) -> Outcome {
    // The first one at once: from then on a missing heartbeat counts.
    let mut heartbeats = match every {
        Some(every) => interval_at(Instant::now(), every),
        None => interval_at(Instant::now() + NO_HEARTBEAT, NO_HEARTBEAT),
    };
    let beating = async {
        loop {
            heartbeats.tick().await;
            job.heartbeat().await;
        }
    };
    tokio::select! {
        biased;
        outcome = outcome => outcome,
        () = beating => Err(CallError::new("unexpected", "heartbeats ended")),
    }
}

/// The request of a delivery, and the interval of its heartbeats.
fn read(delivery: &Delivery) -> Result<(WorkRequest, Option<Duration>), String> {
    if let Some(problem) = &delivery.unreadable {
        return Err(problem.clone());
    }
    let request: WorkRequest = serde_json::from_slice(&delivery.body).map_err(|error| error.to_string())?;
    if request.schema != SCHEMA {
        return Err(format!("schema {} is unknown; this worker supports schema {SCHEMA}", request.schema));
    }
    let silence = request.heartbeat_for.as_deref().map(duration::parse).transpose()?;
    Ok((request, silence.map(|silence| (silence / HEARTBEATS).max(Duration::from_millis(1)))))
}
