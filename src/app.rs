//! The handles every role and door shares, and how loops are started, restarted and stopped.

use std::collections::HashMap;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::broker::{self, Broker, Topology};
use crate::config::Config;
use crate::config::statement::Statements;
use crate::definition::{Definition, Retry};
use crate::engine::Context;
use crate::handlers::Handlers;
use crate::secrets::Secrets;
use crate::store::outbox::{Claimable, OutboxRow};
use crate::store::{self, Store, definitions};
use crate::time::clock::Clock;

mod known;
mod publish_queue;

pub use publish_queue::{Batch, PublishQueue};

/// Definitions kept parsed in memory; they never change, so none is ever stale.
const DEFINITIONS_MAX: usize = 1_000;
/// The pause before a role that failed or panicked begins again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// After this, rows that could not be published are left to other processes' sweeps.
const FLUSH_FOR: Duration = Duration::from_secs(3);
/// For this long the last acknowledgements are left to be written.
const WRITE_FOR: Duration = Duration::from_millis(500);
/// After this, connections are dropped instead of closed.
const CLOSE_FOR: Duration = Duration::from_secs(3);

/// Everything a role or a door needs, cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of an [`App`].
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// PostgreSQL.
    pub store: Store,
    /// RabbitMQ.
    pub broker: Broker,
    /// The Rust handlers of this process.
    pub handlers: Handlers,
    /// The registered statements.
    pub statements: Statements,
    /// What requests may carry and nobody may see.
    pub secrets: Secrets,
    /// The database's clock, as far as this process knows.
    pub clock: Clock,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
    /// Roles and strides: they end first.
    pub tasks: TaskTracker,
    /// Cancelled when the last stride has ended: what was handed over is published, then publishers end.
    pub closing: CancellationToken,
    publishers: TaskTracker,
    closed: CancellationToken,
    connections: TaskTracker,
    env: Map<String, Value>,
    retry: Retry,
    publish_queue: Option<publish_queue::Sender>,
    /// Level when a call may be due.
    calls: Arc<Notify>,
    makes_calls: AtomicBool,
    definitions: RwLock<HashMap<(String, i32), Arc<Definition>>>,
    newest: RwLock<HashMap<String, i32>>,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Connects to nothing yet, but holds what does. The receiver is for the relay; without one (`None` in
    /// [`App::without_publisher`]) rows are left to other processes' sweeps.
    ///
    /// # Errors
    /// If a URL cannot be read.
    pub fn new(config: Config, handlers: Handlers, name: &str) -> Result<(Self, PublishQueue), store::Error> {
        let (sender, receiver) = publish_queue::queue(config.outbox.publish_queue_max);
        Ok((Self::build(config, handlers, name, Some(sender), Topology::Declared)?, receiver))
    }

    /// For whoever looks and changes nothing, exchanges and queues included.
    ///
    /// # Errors
    /// If a URL cannot be read.
    pub fn visiting(config: Config, name: &str) -> Result<Self, store::Error> {
        let (sender, _) = publish_queue::queue(1);
        Self::build(config, Handlers::new(), name, Some(sender), Topology::Found)
    }

    /// For short-lived processes: what they commit is published by whoever sweeps next.
    ///
    /// # Errors
    /// If a URL cannot be read.
    pub fn without_publisher(config: Config, handlers: Handlers, name: &str) -> Result<Self, store::Error> {
        Self::build(config, handlers, name, None, Topology::Found)
    }

    fn build(
        config: Config,
        handlers: Handlers,
        name: &str,
        publish_queue: Option<publish_queue::Sender>,
        topology: Topology,
    ) -> Result<Self, store::Error> {
        let store = Store::connect(&config.database, name)?;
        let statements = config.registered().map_err(|error| store::Error::Bug(error.to_string()))?;
        let clock = Clock::default();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let options = broker::Options {
            url: config.broker.url.clone(),
            prefix: config.broker.prefix.clone(),
            publishers: config.broker.publishers,
            confirm_timeout: config.broker.confirm_timeout,
            name: name.to_owned(),
            topology,
        };
        let closed = CancellationToken::new();
        let connections = TaskTracker::new();
        let (broker, supervisor) = Broker::start(options, clock.clone(), closed.clone());
        // A short-lived process publishes nothing and consumes nothing: it never connects.
        if publish_queue.is_some() {
            connections.spawn(supervisor);
        }
        let retry = Retry {
            attempts: config.retry.attempts,
            base: config.retry.base,
            max: config.retry.max,
            factor: 2.0,
            jitter: 0.2,
            codes: Vec::new(),
            within: None,
        };
        Ok(Self(Arc::new(Inner {
            env: config.env(),
            secrets: Secrets::new(&config.secrets),
            config,
            store,
            broker,
            handlers,
            statements,
            clock,
            stop,
            tasks,
            closing: CancellationToken::new(),
            publishers: TaskTracker::new(),
            closed,
            connections,
            retry,
            publish_queue,
            calls: Arc::default(),
            makes_calls: AtomicBool::new(false),
            definitions: RwLock::default(),
            newest: RwLock::default(),
        })))
    }

    /// Starts a loop that has to end before the process does; one that fails or panics begins again after a pause.
    pub fn supervise<F, Fut>(&self, role: &'static str, run: F)
    where
        F: Fn(App) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), store::Error>> + Send + 'static,
    {
        self.tasks.spawn(repeat(self.clone(), role, self.stop.clone(), run));
    }

    /// Starts a loop that publishes what this process commits: it outlives the roles, so that their last rows go out too.
    pub fn supervise_publisher<F, Fut>(&self, role: &'static str, run: F)
    where
        F: Fn(App) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), store::Error>> + Send + 'static,
    {
        self.publishers.spawn(repeat(self.clone(), role, self.closing.clone(), run));
    }

    /// Stops in order: roles and strides within the grace period, then publishers, then connections.
    /// Says whether everything ended in time; what did not is delivered again to somebody else.
    pub async fn shut_down(&self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let drained = tokio::time::timeout(self.config.shutdown.grace, self.tasks.wait()).await.is_ok();
        self.closing.cancel();
        self.publishers.close();
        let flushed = tokio::time::timeout(FLUSH_FOR, self.publishers.wait()).await.is_ok();
        // Acknowledgements are queued, not answered: what is not written when the connection closes is delivered again.
        tokio::time::sleep(WRITE_FOR).await;
        self.closed.cancel();
        self.connections.close();
        let closed = tokio::time::timeout(CLOSE_FOR, self.connections.wait()).await.is_ok();
        drained && flushed && closed
    }

    /// What surrounds a step decided now.
    pub fn context(&self, now: jiff::Timestamp) -> Context<'_> {
        Context {
            now,
            chance: fastrand::f64(),
            env: &self.env,
            steps_max: self.config.limits.steps_max,
            variables_max: self.config.limits.variables_max,
            handler_timeout: self.config.timeouts.database,
            http_timeout: self.config.timeouts.http,
            call_timeout: self.config.timeouts.activity,
            retry: &self.retry,
        }
    }

    /// How the rows of a commit of this process are claimed.
    pub fn claimable(&self) -> Claimable {
        match self.publish_queue {
            Some(_) => Claimable::After(self.config.outbox.publish_queue_for),
            None => Claimable::Now,
        }
    }

    /// Hands committed rows to this process' own publisher. What does not fit is found by the sweep.
    pub fn publish(&self, rows: Vec<OutboxRow>) {
        let Some(sender) = &self.publish_queue else { return };
        for row in rows {
            if !sender.push(row) {
                metrics::counter!(crate::telemetry::PUBLISH_QUEUE_FULL).increment(1);
            }
        }
    }

    /// What this process is told by when a call that it has opened is to be made: from now on it writes no wake-ups of them, for
    /// others would find nothing left to do.
    pub fn take_calls(&self) -> Arc<Notify> {
        self.makes_calls.store(true, Ordering::Relaxed);
        self.calls.clone()
    }

    /// Whether this process makes calls itself.
    pub fn makes_calls(&self) -> bool {
        self.makes_calls.load(Ordering::Relaxed)
    }

    /// Says that a call may be due.
    pub fn wake_callers(&self) {
        self.calls.notify_one();
    }

    /// A new identity, ordered by time.
    pub fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// The newest active version of a definition, as far as this process knows; whoever starts one has it checked.
    pub fn newest_version(&self, name: &str) -> Option<i32> {
        self.newest.read().ok()?.get(name).copied()
    }

    /// Remembers what a look into the table said.
    pub fn remember_newest(&self, name: &str, version: i32) {
        if let Ok(mut newest) = self.newest.write() {
            if newest.len() >= DEFINITIONS_MAX {
                newest.clear();
            }
            newest.insert(name.to_owned(), version);
        }
    }

    /// Forgets what turned out to be outdated.
    pub fn forget_newest(&self, name: &str) {
        if let Ok(mut newest) = self.newest.write() {
            newest.remove(name);
        }
    }

    /// The definition of that name and version, if it was used lately.
    pub fn cached_definition(&self, name: &str, version: i32) -> Option<Arc<Definition>> {
        self.definitions.read().ok()?.get(&(name.to_owned(), version)).cloned()
    }

    /// The definition of that name and version.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Busy` if only others can read it.
    pub async fn definition(&self, name: &str, version: i32) -> Result<Arc<Definition>, store::Error> {
        if let Some(known) = self.cached_definition(name, version) {
            return Ok(known);
        }
        // Not of the steps' pool: callers may hold one of those, and all of them waiting for another would wait for ever.
        let mut conn = self.store.background().await?;
        let stored = definitions::find(&mut conn, name, Some(version)).await?;
        drop(conn);
        let stored = stored.ok_or_else(|| store::Error::NotFound(format!("definition `{name}` version {version}")))?;
        let definition = Definition::from_content(&stored.content).map_err(|problems| {
            let first = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            // It was checked when it was applied, by a newer binary then, which shares the work while it is rolled out.
            tracing::warn!(definition = name, version, problem = first, "this binary cannot read a definition");
            store::Error::Busy(format!("definition `{name}` version {version} is for newer workers"))
        })?;
        let definition = Arc::new(definition);
        if let Ok(mut known) = self.definitions.write() {
            // Bounded without bookkeeping: a full cache is emptied, and what is used comes back.
            if known.len() >= DEFINITIONS_MAX {
                known.clear();
            }
            known.insert((name.to_owned(), version), definition.clone());
        }
        Ok(definition)
    }
}

async fn repeat<F, Fut>(app: App, role: &'static str, until: CancellationToken, run: F)
where
    F: Fn(App) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), store::Error>> + Send,
{
    loop {
        match AssertUnwindSafe(run(app.clone())).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(role, %error, "the role failed and begins again"),
            Err(_) => tracing::error!(role, "the role panicked and begins again"),
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            () = until.cancelled() => return,
        }
    }
}

/// Rests, but not beyond the moment the process is asked to stop.
pub async fn sleep_or_stop(app: &App, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = app.stop.cancelled() => {}
    }
}
