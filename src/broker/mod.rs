//! RabbitMQ: publishes with confirms, consumes, and keeps the connections open. Messages on the broker may be lost, repeated or
//! reordered at any time; callers must not rely on anything more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::time::clock::Clock;

mod connection;
mod consumer;
mod declare;
pub mod delay;
mod delivery;
mod error;
mod identity;
mod message;
mod publisher;
mod supervisor;
pub mod topology;
mod wire;

pub use crate::contract::Exchange;
pub use connection::without_password;
use connection::{Connection, Purpose};
pub use consumer::Deliveries;
use consumer::Losses;
pub use declare::Compared;
pub use delivery::{Delivery, HEADER_MAX, HEADERS_MAX};
pub use error::Error;
pub use message::{DEADLINE, Outgoing, Queue, SENT_AT, Sent};
pub use publisher::{BATCH_BYTES_MAX, BATCH_MAX};
use publisher::{PublishJob, QUEUED_JOBS_MAX};
pub use wire::envelope::{BODY_MAX, HEADERS_BYTES_MAX};

/// The largest number of confirm channels of one process.
pub const PUBLISHERS_MAX: usize = 16;
/// Closing takes at most this long.
const CLOSE_FOR: Duration = Duration::from_secs(20);

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`
    pub url: String,
    /// The prefix of the names of exchanges and queues.
    pub prefix: String,
    /// The number of confirm channels, each with its own task: 1 to [`PUBLISHERS_MAX`].
    pub publishers: usize,
    /// A publish that is not confirmed within this time fails.
    pub confirm_timeout: Duration,
    /// The name of the connections, as the broker shows it.
    pub name: String,
    /// Who declares exchanges and queues.
    pub topology: Topology,
}

/// Who declares exchanges and queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// This process: when it connects, and whenever something is missing.
    Declared,
    /// Other processes: a client creates nothing under a prefix that no server uses.
    Found,
}

/// A handle on the broker; clones share everything.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

/// The state shared by handles, supervisor, publishers and consumers.
struct Shared {
    options: Options,
    clock: Clock,
    /// Cancelled to stop.
    stop: CancellationToken,
    /// Cancelled when everything queued has been published, so that connections may be closed.
    flushed: CancellationToken,
    /// Cancelled when everything is closed.
    closed: CancellationToken,
    publishing: CurrentConnection,
    consuming: CurrentConnection,
    /// The losses of the connection that queues are consumed on.
    losses: Mutex<Losses>,
    publishers: Vec<mpsc::Sender<PublishJob>>,
    next_publisher: AtomicUsize,
    /// Incremented when a message to one of our queues was returned: consumers then subscribe again.
    missing: watch::Sender<u64>,
}

/// The current connection of one purpose, if there is one.
struct CurrentConnection {
    connection: watch::Sender<Option<Arc<Connection>>>,
    /// Whether anything needs the connection: a process that only publishes opens only one.
    wanted: watch::Sender<bool>,
    /// Connections opened so far.
    count: AtomicUsize,
}

impl CurrentConnection {
    fn new(wanted: bool) -> Self {
        Self { connection: watch::Sender::new(None), wanted: watch::Sender::new(wanted), count: AtomicUsize::new(0) }
    }

    /// Resolves when the connection is needed.
    async fn wanted(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.connection.borrow().clone().filter(|connection| connection.is_open())
    }

    /// Resolves when there is a connection.
    async fn connected(&self) -> Option<Arc<Connection>> {
        self.wanted.send_replace(true);
        let mut current = self.connection.subscribe();
        let open = |connection: &Option<Arc<Connection>>| connection.as_ref().is_some_and(|one| one.is_open());
        current.wait_for(open).await.ok()?.clone()
    }

    fn offer(&self, purpose: Purpose, connection: Arc<Connection>) {
        if self.count.fetch_add(1, Ordering::Relaxed) > 0 {
            // The feature `client` alone records nothing.
            #[cfg(feature = "server")]
            metrics::counter!(crate::telemetry::BROKER_RECONNECTS, "connection" => purpose.name()).increment(1);
        }
        tracing::info!(connection = purpose.name(), "connected to the broker");
        self.connection.send_replace(Some(connection));
    }

    fn withdraw(&self) {
        self.connection.send_replace(None);
    }
}

impl Shared {
    fn current(&self, purpose: Purpose) -> &CurrentConnection {
        match purpose {
            Purpose::Publishing => &self.publishing,
            Purpose::Consuming => &self.consuming,
        }
    }

    /// The connection to publish on, if it accepts messages now.
    fn publishing_connection(&self) -> Result<Arc<Connection>, Error> {
        let connection = self.publishing.current().ok_or_else(|| Error::Unavailable("not connected".into()))?;
        if connection.is_blocked() {
            return Err(Error::Unavailable("it accepts no messages for now".into()));
        }
        Ok(connection)
    }

    /// Notes that the connection of this purpose was lost.
    fn note_loss(&self, purpose: Purpose) {
        match purpose {
            Purpose::Publishing => {}
            Purpose::Consuming => self.losses.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now()),
        }
    }

    /// Until when every queue is read alone.
    fn alone_until(&self) -> Option<Instant> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).alone_until()
    }

    async fn consuming_connection(&self) -> Result<Arc<Connection>, Error> {
        self.consuming.connected().await.ok_or_else(|| Error::Unavailable("stopped".into()))
    }
}

impl Broker {
    /// Returns a handle at once, and the supervisor, which the caller has to run: it connects, and reconnects whenever the
    /// connection is lost, until `stop`. Then it publishes what is queued and closes everything. Cancel `stop` after the
    /// consumers have drained: a delivery that is not acknowledged by then is redelivered.
    pub fn start(
        mut options: Options,
        clock: Clock,
        stop: CancellationToken,
    ) -> (Broker, impl Future<Output = ()> + Send + 'static) {
        options.publishers = options.publishers.clamp(1, PUBLISHERS_MAX);
        let (publishers, queues) = (0..options.publishers).map(|_| mpsc::channel(QUEUED_JOBS_MAX)).unzip();
        let shared = Arc::new(Shared {
            options,
            clock,
            stop,
            flushed: CancellationToken::new(),
            closed: CancellationToken::new(),
            publishing: CurrentConnection::new(true),
            consuming: CurrentConnection::new(false),
            losses: Mutex::default(),
            publishers,
            next_publisher: AtomicUsize::new(0),
            missing: watch::Sender::new(0),
        });
        (Broker { shared: shared.clone() }, supervisor::run(shared, queues))
    }

    /// Publishes a batch of at most [`BATCH_MAX`] messages and waits for all confirms. Returns the broker's answer to each message,
    /// in their order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a message was not confirmed: it may be stored or not, so publish all of them again.
    /// [`Error::Bug`] for a batch that is too long.
    pub async fn publish(&self, batch: Vec<Outgoing>) -> Result<Vec<Sent>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        if batch.len() > BATCH_MAX {
            return Err(Error::Bug(format!("a batch has {} messages; at most {BATCH_MAX} are allowed", batch.len())));
        }
        self.shared.publishing_connection()?;
        let publisher = self.shared.next_publisher.fetch_add(1, Ordering::Relaxed) % self.shared.publishers.len();
        let until = Instant::now() + self.shared.options.confirm_timeout;
        let (answer, answered) = oneshot::channel();
        let job = PublishJob { batch, answer, until };
        let queued = self.shared.publishers[publisher].send_timeout(job, self.shared.options.confirm_timeout).await;
        queued.map_err(|_| Error::Unavailable("too many messages wait to be published".into()))?;
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable("stopped".into())))
    }

    /// Resolves when publishing is possible.
    pub async fn connected(&self) {
        self.shared.publishing.connected().await;
    }

    /// Whether there is a connection to publish on.
    pub fn is_connected(&self) -> bool {
        self.shared.publishing.current().is_some()
    }

    /// Whether the broker accepts no messages for now because it is short of memory or disk.
    pub fn is_blocked(&self) -> bool {
        self.shared.publishing.current().is_some_and(|connection| connection.is_blocked())
    }

    /// The deliveries of a queue, at most `prefetch` of them unacknowledged at a time.
    pub fn consume(&self, queue: Queue, prefetch: u16) -> Deliveries {
        Deliveries::new(self.shared.clone(), queue, prefetch)
    }

    /// Whether a queue exists.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn exists(&self, queue: &Queue) -> Result<bool, Error> {
        let connection = self.shared.publishing_connection()?;
        Ok(declare::inspect(&connection, &queue.physical(&self.shared.options.prefix)).await?.is_some())
    }

    /// The number of messages of a queue that wait for a consumer; 0 if the queue does not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn depth(&self, queue: &Queue) -> Result<u64, Error> {
        let connection = self.shared.publishing_connection()?;
        let state = declare::inspect(&connection, &queue.physical(&self.shared.options.prefix)).await?;
        Ok(state.map_or(0, |state| u64::from(state.message_count())))
    }

    /// Whether a quorum queue delivers the highest priority first, always: RabbitMQ 4.3 and newer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn sorts_by_priority(&self) -> Result<bool, Error> {
        declare::sorts_by_priority(&*self.shared.publishing_connection()?).await
    }

    /// The number of parked messages: their queue was deleted while they were delayed, or no reader could take them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn parked(&self) -> Result<u64, Error> {
        let connection = self.shared.publishing_connection()?;
        let state = declare::inspect(&connection, &topology::parked(&self.shared.options.prefix)).await?;
        Ok(state.map_or(0, |state| u64::from(state.message_count())))
    }

    /// Compares the exchanges and queues that every process declares. Creates nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn verify(&self) -> Result<Compared, Error> {
        let connection = self.shared.publishing_connection()?;
        declare::compare(&connection, &topology::base(&self.shared.options.prefix)).await
    }

    /// Compares the queues of steps of these names, each of which is declared by the first worker that serves it. Creates
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn verify_steps(&self, queues: &[String]) -> Result<Compared, Error> {
        let connection = self.shared.publishing_connection()?;
        let prefix = &self.shared.options.prefix;
        let each = queues.iter().flat_map(|queue| topology::queue(prefix, &Queue::Steps(queue.clone())));
        let queues = each.filter(|declaration| matches!(declaration, topology::Declaration::Queue { .. }));
        declare::compare(&connection, &queues.collect::<Vec<_>>()).await
    }

    /// Stops, and waits until everything queued is published and everything is closed, or for a limited time.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        if timeout(CLOSE_FOR, self.shared.closed.cancelled()).await.is_err() {
            tracing::warn!("the connections to the broker were not closed in time");
        }
    }
}
