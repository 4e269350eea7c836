//! The load generator: starts instances over AMQP, a bounded number at once, each until its completion event is received.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::broker::Queue;
use crate::client::Client;
use crate::contract::Start;

/// Unacknowledged events of the listener.
const PREFETCH: u16 = 512;
/// An instance that takes longer makes the measurement fail.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Instant>>>>;

/// Starts instances and listens for their completion events.
#[derive(Clone)]
pub(super) struct Load {
    client: Arc<Client>,
    waiting: Waiting,
    stop: CancellationToken,
}

impl Load {
    pub(super) async fn begin(app: &App) -> Result<Self> {
        let broker = &app.config.broker;
        let client = Client::connect(&broker.address(), &broker.prefix, "bench").await?;
        let load = Self { client: Arc::new(client), waiting: Waiting::default(), stop: CancellationToken::new() };
        let (listener, waiting, stop) = (app.clone(), load.waiting.clone(), load.stop.clone());
        app.tasks.spawn(async move { listen(&listener, &waiting, &stop).await });
        // The queue of the listener must exist before the first instance starts, or its event would be missed.
        load.await_queue(app).await?;
        Ok(load)
    }

    /// Waits until the queue of the listener exists.
    async fn await_queue(&self, app: &App) -> Result<()> {
        for _ in 0..200 {
            if app.broker.exists(&queue()).await.unwrap_or(false) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the queue of events did not appear within 10 s")
    }

    /// Starts one instance by message and waits for its end; returns the time it took.
    pub(super) async fn one(&self, definition: &str, input: Value) -> Result<Duration> {
        let key = format!("{:016x}", fastrand::u64(..));
        let began = Instant::now();
        let ended = self.expect(&key);
        let start = Start { definition: definition.into(), key: Some(key.clone()), input, ..Start::default() };
        self.client.start(&key, &start).await?;
        self.ended(ended, began).await
    }

    /// Registers an instance with this key before it is started.
    pub(super) fn expect(&self, key: &str) -> oneshot::Receiver<Instant> {
        let (sender, receiver) = oneshot::channel();
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.insert(key.to_owned(), sender);
        }
        receiver
    }

    pub(super) async fn ended(&self, ended: oneshot::Receiver<Instant>, began: Instant) -> Result<Duration> {
        let at = tokio::time::timeout(ENDED_WITHIN, ended).await.context("an instance did not end within 30 s")??;
        Ok(at.duration_since(began))
    }

    /// Keeps `at_once` instances in flight for a time; returns how long each took.
    pub(super) async fn keep(&self, definition: &str, at_once: usize, time: Duration) -> Result<Vec<Duration>> {
        let until = Instant::now() + time;
        let drive = || async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                took.push(self.one(definition, json!({})).await?);
            }
            anyhow::Ok(took)
        };
        let all = futures_util::future::try_join_all((0..at_once).map(|_| drive())).await?;
        Ok(all.into_iter().flatten().collect())
    }

    pub(super) fn end(self) {
        self.stop.cancel();
    }
}

fn queue() -> Queue {
    Queue::Events("bench".into())
}

async fn listen(app: &App, waiting: &Waiting, stop: &CancellationToken) {
    let mut events = app.broker.consume(queue(), PREFETCH);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.cancelled() => None,
        };
        let Some(event) = event else { break };
        let at = Instant::now();
        let is_end = event.kind.as_deref().is_some_and(|kind| kind.ends_with(".completed"));
        if is_end && let Some(key) = event.headers.get("key") {
            let sender = waiting.lock().ok().and_then(|mut waiting| waiting.remove(key));
            // The receiver is gone if the measurement is over.
            sender.map(|sender| sender.send(at));
        }
        if event.ack().await.is_err() {
            break;
        }
    }
    events.cancel().await;
}
