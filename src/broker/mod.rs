//! RabbitMQ: publishing with confirms, consuming, and keeping the connections up. What is on the broker may be lost,
//! repeated or reordered at any time; nothing here pretends otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::time::clock::Clock;

mod consumer;
mod declare;
pub mod delay;
mod delivery;
mod envelope;
mod error;
mod link;
mod message;
mod publisher;
mod sieve;
mod socket;
mod supervisor;
pub mod topology;
mod wire;

pub use crate::contract::Exchange;
pub use consumer::Deliveries;
pub use delivery::{Delivery, HEADER_MAX, HEADERS_MAX};
pub use envelope::{BODY_MAX, HEADERS_BYTES_MAX};
pub use error::Error;
pub use link::without_password;
use link::{Link, Purpose};
pub use message::{Outgoing, Queue, SENT_AT, Sent};
pub use publisher::{BATCH_BYTES_MAX, BATCH_MAX};
use publisher::{JOBS_MAX, Job};

/// Confirm channels of one process.
pub const PUBLISHERS_MAX: usize = 16;
/// Closing takes at most this long.
const CLOSE_FOR: Duration = Duration::from_secs(20);

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`
    pub url: String,
    /// What the names of exchanges and queues begin with.
    pub prefix: String,
    /// Confirm channels, each with a task of its own: 1 to [`PUBLISHERS_MAX`].
    pub publishers: usize,
    /// After this a publish is given up.
    pub confirm_timeout: Duration,
    /// The name of the connections, as the broker shows it.
    pub name: String,
    /// Who makes exchanges and queues.
    pub topology: Topology,
}

/// Who makes exchanges and queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// This process, when it connects and whenever something turns out to be missing.
    Declared,
    /// Others: whoever only visits creates nothing under a prefix that nobody serves.
    Found,
}

/// A handle on the broker; clones share everything.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

/// What handles, supervisor, publishers and consumers share.
struct Shared {
    options: Options,
    clock: Clock,
    /// Begin to stop.
    stop: CancellationToken,
    /// What was queued has been published: connections may be closed.
    flushed: CancellationToken,
    /// Everything is closed.
    closed: CancellationToken,
    publishing: Hub,
    consuming: Hub,
    publishers: Vec<mpsc::Sender<Job>>,
    turn: AtomicUsize,
    /// Raised when a message to one of our own queues came back: consumers have to look after themselves.
    missing: watch::Sender<u64>,
}

/// Where the connection of one purpose is found, if there is one.
struct Hub {
    link: watch::Sender<Option<Arc<Link>>>,
    wanted: watch::Sender<bool>,
    /// Connections made so far.
    count: AtomicUsize,
}

impl Hub {
    fn new(wanted: bool) -> Self {
        Self { link: watch::Sender::new(None), wanted: watch::Sender::new(wanted), count: AtomicUsize::new(0) }
    }

    /// Resolves when somebody needs the connection: a process that only publishes makes only one.
    async fn wanted(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    fn current(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone().filter(|link| link.is_open())
    }

    /// Resolves when there is a connection.
    async fn connected(&self) -> Option<Arc<Link>> {
        self.wanted.send_replace(true);
        let mut links = self.link.subscribe();
        let link = links.wait_for(|link| link.as_ref().is_some_and(|link| link.is_open())).await.ok()?;
        link.clone()
    }

    fn offer(&self, purpose: Purpose, link: Arc<Link>) {
        if self.count.fetch_add(1, Ordering::Relaxed) > 0 {
            // The feature `client` alone records nothing.
            #[cfg(feature = "server")]
            metrics::counter!(crate::telemetry::BROKER_RECONNECTS, "connection" => purpose.name()).increment(1);
        }
        tracing::info!(connection = purpose.name(), "connected to the broker");
        self.link.send_replace(Some(link));
    }

    fn withdraw(&self) {
        self.link.send_replace(None);
    }
}

impl Shared {
    fn hub(&self, purpose: Purpose) -> &Hub {
        match purpose {
            Purpose::Publishing => &self.publishing,
            Purpose::Consuming => &self.consuming,
        }
    }

    /// The connection to publish on, if it takes anything now.
    fn publishing_link(&self) -> Result<Arc<Link>, Error> {
        let link = self.publishing.current().ok_or_else(|| Error::Unavailable("not connected".into()))?;
        if link.is_blocked() {
            return Err(Error::Unavailable("it takes no more messages for now".into()));
        }
        Ok(link)
    }

    async fn consuming_link(&self) -> Result<Arc<Link>, Error> {
        self.consuming.connected().await.ok_or_else(|| Error::Unavailable("stopped".into()))
    }
}

impl Broker {
    /// A handle, at once, and the supervisor to be run by the caller: it connects, and connects again whenever the
    /// connection is lost, until `stop`. Then it publishes what is queued and closes everything. Cancel `stop` after
    /// the consumers have drained: a delivery that is not answered by then is delivered again.
    pub fn start(
        mut options: Options,
        clock: Clock,
        stop: CancellationToken,
    ) -> (Broker, impl Future<Output = ()> + Send + 'static) {
        options.publishers = options.publishers.clamp(1, PUBLISHERS_MAX);
        let (publishers, queues) = (0..options.publishers).map(|_| mpsc::channel(JOBS_MAX)).unzip();
        let shared = Arc::new(Shared {
            options,
            clock,
            stop,
            flushed: CancellationToken::new(),
            closed: CancellationToken::new(),
            publishing: Hub::new(true),
            consuming: Hub::new(false),
            publishers,
            turn: AtomicUsize::new(0),
            missing: watch::Sender::new(0),
        });
        (Broker { shared: shared.clone() }, supervisor::run(shared, queues))
    }

    /// Publishes a batch of at most [`BATCH_MAX`] and waits until the broker has confirmed all of it: what became of
    /// each message, in their order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if any of it was not confirmed: it may have been taken or not, publish all of it again.
    /// [`Error::Bug`] for a batch that is too long.
    pub async fn publish(&self, batch: Vec<Outgoing>) -> Result<Vec<Sent>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        if batch.len() > BATCH_MAX {
            return Err(Error::Bug(format!("a batch of {} is longer than {BATCH_MAX}", batch.len())));
        }
        self.shared.publishing_link()?;
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed) % self.shared.publishers.len();
        let until = Instant::now() + self.shared.options.confirm_timeout;
        let (answer, answered) = oneshot::channel();
        let job = Job { batch, answer, until };
        let queued = self.shared.publishers[turn].send_timeout(job, self.shared.options.confirm_timeout).await;
        queued.map_err(|_| Error::Unavailable("too much waits to be published".into()))?;
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

    /// Whether the broker takes no messages for now, for want of memory or disk.
    pub fn is_blocked(&self) -> bool {
        self.shared.publishing.current().is_some_and(|link| link.is_blocked())
    }

    /// The deliveries of a queue, at most `prefetch` of them unanswered at a time.
    pub fn consume(&self, queue: Queue, prefetch: u16) -> Deliveries {
        Deliveries::new(self.shared.clone(), queue, prefetch)
    }

    /// Whether a queue is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn exists(&self, queue: &Queue) -> Result<bool, Error> {
        let link = self.shared.publishing_link()?;
        Ok(declare::look(&link, &queue.physical(&self.shared.options.prefix)).await?.is_some())
    }

    /// How many messages of a queue wait for a consumer; none if the queue does not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn depth(&self, queue: &Queue) -> Result<u64, Error> {
        let link = self.shared.publishing_link()?;
        let state = declare::look(&link, &queue.physical(&self.shared.options.prefix)).await?;
        Ok(state.map_or(0, |state| u64::from(state.message_count())))
    }

    /// Compares what is on the broker with what has to be, the queues of these queues included: a sentence for each thing that is missing or different.
    /// Creates nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn verify(&self, queues: &[String]) -> Result<Vec<String>, Error> {
        let link = self.shared.publishing_link()?;
        let prefix = &self.shared.options.prefix;
        let mut all = topology::base(prefix);
        for queue in queues {
            let new = topology::queue(prefix, &Queue::Steps(queue.clone()));
            all.extend(
                new.into_iter().filter(|declaration| matches!(declaration, topology::Declaration::Queue { .. })),
            );
        }
        declare::compare(&link, &all).await
    }

    /// Stops, and waits until everything queued is published and everything is closed, or until that takes too long.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        if timeout(CLOSE_FOR, self.shared.closed.cancelled()).await.is_err() {
            tracing::warn!("the connections to the broker were not closed in time");
        }
    }
}
