//! For workers in Rust: takes the requests of one name of work, runs a function, and says what came of it.
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

/// A sign of life is sent this often within the time after which silence means death.
const SIGNS: u32 = 3;
/// The longest rest between two signs of life, for calls that ask for none: never.
const NO_SIGN: Duration = Duration::from_secs(365 * 24 * 3_600);

impl CallError {
    /// A failure: `worker.<code>` in the definition.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), data: Value::Null }
    }

    /// The same with data that `on_error` can read as `error.data`.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

/// One request, and the way to tell how far it is.
#[derive(Clone)]
pub struct Job {
    /// What is asked for. The same `idempotency_key` may come again: what was done already must not be done twice.
    pub request: WorkRequest,
    /// W3C trace context of the request.
    pub trace: Option<String>,
    client: Arc<Client>,
}

impl Job {
    /// Tells how far the work is. Progress that does not get through is logged, and no reason to stop.
    pub async fn progress(&self, progress: Value) {
        let WorkRequest { call, token, .. } = self.request.clone();
        self.say("call.progress", &Uuid::new_v4().to_string(), &CallProgress { call, token, progress }).await;
    }

    async fn heartbeat(&self) {
        let WorkRequest { call, token, .. } = self.request.clone();
        self.say("call.heartbeat", &Uuid::new_v4().to_string(), &CallHeartbeat { call, token }).await;
    }

    async fn say(&self, kind: &str, message_id: &str, body: &impl Serialize) {
        if let Err(error) = self.client.send(kind, &self.request.name, message_id, body).await {
            tracing::warn!(call = %self.request.call, %error, "{kind} did not get through");
        }
    }

    /// Replies. The message's id follows from the token, so that an outcome counts once however often it is sent.
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
            Err(error @ (Error::TooLarge(_) | Error::Json(_))) => {
                let told = CallError::new("result", format!("the result cannot be sent: {error}"));
                self.client.send("call.complete", name, &message_id, &reply(Err(told))).await
            }
            other => other,
        }
    }
}

type Outcome = Result<Value, CallError>;
/// Work in hand by its idempotency key: a request that comes again meanwhile waits for the same outcome.
type InHand = Mutex<HashMap<String, Shared<BoxFuture<'static, Outcome>>>>;

/// Takes the requests of one name of work.
pub struct Worker {
    client: Client,
    name: String,
    concurrency: u16,
}

impl Worker {
    /// Connects to nothing yet. `app_id` names the worker; `name` is that of the work, as in `call: { name: pack }`.
    pub fn new(url: &str, prefix: &str, app_id: &str, name: &str) -> Self {
        Self { client: Client::prepare(url, prefix, app_id), name: name.to_owned(), concurrency: 1 }
    }

    /// So many requests are worked on at once; one unless set.
    #[must_use]
    pub fn concurrency(self, concurrency: u16) -> Self {
        Self { concurrency: concurrency.max(1), ..self }
    }

    /// Works until `stop` resolves, over as many connections as it takes; then finishes what is in hand. A request is acknowledged
    /// when the broker has confirmed the reply; whatever is not is delivered again. A panic is the error `worker.unexpected`.
    pub async fn run<F, Fut>(self, stop: impl Future<Output = ()>, work: F)
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let client = Arc::new(self.client);
        let (work, in_hand) = (Arc::new(work), Arc::new(InHand::default()));
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
            running.spawn(handle(client.clone(), delivery, work.clone(), in_hand.clone()));
        }
        // Not begun: somebody else may have it at once.
        deliveries.cancel().await;
        running.close();
        running.wait().await;
        client.stop.cancel();
        client.tasks.close();
        client.tasks.wait().await;
    }
}

async fn handle<F, Fut>(client: Arc<Client>, delivery: Delivery, work: Arc<F>, in_hand: Arc<InHand>)
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let (request, every) = match read(&delivery) {
        Ok(read) => read,
        Err(problem) => {
            tracing::warn!(problem, "a message that is no request goes to the dead letters");
            let _ = delivery.reject().await;
            return;
        }
    };
    if request.deadline.is_some_and(|deadline| deadline < client.clock.now()) {
        // Nobody waits for it any more.
        let _ = delivery.ack().await;
        return;
    }
    let key = request.idempotency_key.clone();
    let job = Job { request, trace: delivery.headers.get("traceparent").cloned(), client };
    let outcome = {
        let mut in_hand = in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        in_hand.entry(key.clone()).or_insert_with(|| begin(job.clone(), work).shared()).clone()
    };
    let outcome = with_signs(&job, every, outcome).await;
    in_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    match job.complete(outcome).await {
        // Only now: had we died before, the request would come again.
        Ok(()) => drop(delivery.ack().await),
        Err(error) => {
            tracing::warn!(call = %job.request.call, %error, "the reply did not get through; the request comes again");
            let _ = delivery.requeue().await;
        }
    }
}

/// A future that does nothing until it is polled, so that it can be made under a lock.
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

/// Waits for the outcome and says meanwhile that somebody is at it.
async fn with_signs(job: &Job, every: Option<Duration>, outcome: Shared<BoxFuture<'static, Outcome>>) -> Outcome {
    // The first at once: from then on silence counts.
    let mut signs = match every {
        Some(every) => interval_at(Instant::now(), every),
        None => interval_at(Instant::now() + NO_SIGN, NO_SIGN),
    };
    let beating = async {
        loop {
            signs.tick().await;
            job.heartbeat().await;
        }
    };
    tokio::select! {
        biased;
        outcome = outcome => outcome,
        () = beating => Err(CallError::new("unexpected", "heartbeats ended")),
    }
}

/// The request of a delivery, and how often to give a sign of life.
fn read(delivery: &Delivery) -> Result<(WorkRequest, Option<Duration>), String> {
    if let Some(problem) = &delivery.unreadable {
        return Err(problem.clone());
    }
    let request: WorkRequest = serde_json::from_slice(&delivery.body).map_err(|error| error.to_string())?;
    if request.schema != SCHEMA {
        return Err(format!("schema {} is unknown; this worker speaks schema {SCHEMA}", request.schema));
    }
    let silence = request.heartbeat_for.as_deref().map(duration::parse).transpose()?;
    Ok((request, silence.map(|silence| (silence / SIGNS).max(Duration::from_millis(1)))))
}
