//! The handles that every role and API shares.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::broker::{self, Broker, Topology};
use crate::config::Config;
use crate::config::statement::Statements;
use crate::definition::Retry;
use crate::engine::Context;
use crate::expression::step_budget::StepBudget;
use crate::handlers::Handlers;
use crate::secrets::Secrets;
use crate::store::outbox::{Claimable, OutboxRow};
use crate::store::{self, Store};
use crate::time::clock::Clock;

mod callers;
mod counts;
mod definitions;
pub mod drawings;
mod endings;
mod lifetime;
mod long_work;
mod publish_queue;
mod refusals;
mod registered;
mod starts;

pub use callers::{KNOWN_FOR, Proof};
pub use endings::{Endings, Wait};
pub use lifetime::sleep_or_stop;
pub use publish_queue::{Batch, PublishQueue, PublishQueues};
pub use starts::Seats;

/// Everything a role or an API needs; cheap to clone.
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
    /// Secrets that outgoing requests may carry.
    pub secrets: Secrets,
    /// This process's estimate of the database's clock.
    pub clock: Clock,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
    /// Requests that wait for the end of an instance.
    pub endings: Endings,
    /// Roles, and the deliveries they handle: they end first.
    pub tasks: TaskTracker,
    /// Cancelled when the last role has ended: publishers empty their queue, then end.
    pub closing: CancellationToken,
    publishers: TaskTracker,
    closed: CancellationToken,
    connections: TaskTracker,
    env: Map<String, Value>,
    retry: Retry,
    publish_queue: Option<publish_queue::Sender>,
    /// Notified when a command was published that stays in the outbox until it is handled.
    pub forwarded: Notify,
    /// Notified when a call may be due.
    calls: Arc<Notify>,
    makes_calls: AtomicBool,
    /// How many messages of each sender are kept.
    pub kept: counts::Counts,
    /// What this process knows of the limits of starts.
    pub starts: starts::KnownStarts,
    /// Queues that have refused messages of this process.
    pub refusals: refusals::Refusals,
    definitions: definitions::Definitions,
    callers: callers::Callers,
    long_work: long_work::LongWork,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// The handles of a process that publishes what it commits; connections are opened when they are first used. The publish queues
    /// are for the relay.
    ///
    /// # Errors
    /// If a URL cannot be parsed.
    pub fn new(config: Config, handlers: Handlers, name: &str) -> Result<(Self, PublishQueues), store::Error> {
        let (sender, receiver) = publish_queue::queues(config.outbox.publish_queue_max);
        Ok((Self::build(config, handlers, name, Some(sender), Topology::Declared)?, receiver))
    }

    /// The handles of a process that only inspects: it declares no exchanges and queues either.
    ///
    /// # Errors
    /// If a URL cannot be parsed.
    pub fn for_inspection(config: Config, name: &str) -> Result<Self, store::Error> {
        let (sender, _) = publish_queue::queues(1);
        Self::build(config, Handlers::new(), name, Some(sender), Topology::Found)
    }

    /// The handles of a short-lived process: the sweep of another process publishes what it commits.
    ///
    /// # Errors
    /// If a URL cannot be parsed.
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
        let store = match &publish_queue {
            Some(_) => Store::connect(&config.database, name)?,
            None => Store::connect_for_one_command(&config.database, name)?,
        };
        let statements = config.registered().map_err(|error| store::Error::Bug(error.to_string()))?;
        let clock = Clock::default();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let options = broker::Options {
            url: config.broker.address(),
            prefix: config.broker.prefix.clone(),
            publishers: config.broker.publishers,
            confirm_timeout: config.broker.confirm_timeout,
            name: name.to_owned(),
            topology,
        };
        let closed = CancellationToken::new();
        let connections = TaskTracker::new();
        let (broker, supervisor) = Broker::start(options, clock.clone(), closed.clone());
        // A process without a publisher neither publishes nor consumes: it never connects.
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
            forwarded: Notify::new(),
            calls: Arc::default(),
            endings: Endings::default(),
            makes_calls: AtomicBool::new(false),
            kept: counts::Counts::default(),
            starts: starts::KnownStarts::default(),
            refusals: refusals::Refusals::default(),
            definitions: definitions::Definitions::default(),
            callers: callers::Callers::default(),
            long_work: long_work::LongWork::default(),
        })))
    }

    /// The context of one decision made now, with a brief budget: it ends soon, and counts for nothing if the budget is spent.
    pub fn context(&self, now: jiff::Timestamp) -> Context<'_> {
        self.context_with(now, StepBudget::brief())
    }

    /// The same with the whole budget, for a thread that serves nothing else.
    pub fn patient_context(&self, now: jiff::Timestamp) -> Context<'_> {
        self.context_with(now, StepBudget::whole())
    }

    fn context_with(&self, now: jiff::Timestamp, budget: StepBudget) -> Context<'_> {
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
            budget,
        }
    }

    /// How the rows of a commit of this process are claimed. Without a broker it leaves them to others at once, which may have one.
    pub fn claimable(&self) -> Claimable {
        match self.publish_queue {
            Some(_) if self.broker.is_connected() => Claimable::After(self.config.outbox.publish_queue_for),
            Some(_) | None => Claimable::Now,
        }
    }

    /// Puts committed rows into this process's publish queues. The sweep publishes what does not fit.
    pub fn publish(&self, rows: Vec<OutboxRow>) {
        let Some(sender) = &self.publish_queue else { return };
        let now = self.clock.now();
        for row in rows {
            if !sender.push(row, now) {
                metrics::counter!(crate::telemetry::PUBLISH_QUEUE_FULL).increment(1);
            }
        }
    }

    /// The notification of calls that this process has opened. From now on it writes no wake-up messages for them, because other
    /// processes would find nothing to do.
    pub fn take_calls(&self) -> Arc<Notify> {
        self.makes_calls.store(true, Ordering::Relaxed);
        self.calls.clone()
    }

    /// Whether this process makes calls itself.
    pub fn makes_calls(&self) -> bool {
        self.makes_calls.load(Ordering::Relaxed)
    }

    /// Notifies the caller role of this process that a call may be due.
    pub fn wake_callers(&self) {
        self.calls.notify_one();
    }

    /// A new id; ids are ordered by time.
    pub fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}
