//! RabbitMQ: publishes with confirms, consumes, and keeps the connections open. Messages on the broker may be lost, repeated or
//! reordered at any time; callers must not rely on anything more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::link::Protection;
use crate::time::clock::Clock;

mod address;
mod compare;
mod connection;
mod consumer;
mod current;
mod declaration;
mod declare;
pub mod delay;
mod delivery;
mod error;
mod identity;
mod inspect;
mod message;
mod publisher;
mod reach;
mod supervisor;
pub mod topology;
mod turn;
mod wire;

pub use crate::contract::Exchange;
pub use crate::link::address::without_password;
use address::Node;
pub use address::check;
pub use compare::Compared;
use connection::{Connection, Purpose};
pub use consumer::Deliveries;
use consumer::Losses;
use current::CurrentConnection;
pub use delivery::{Delivery, HEADER_MAX, HEADERS_MAX, OUTBOX_ROW, OWN};
pub use error::Error;
pub use inspect::Load;
pub use message::{DEADLINE, FIRST_EXCHANGE, FIRST_USER, Outgoing, Queue, SENT_AT, Sent};
pub use publisher::{BATCH_BYTES_MAX, BATCH_MAX};
use publisher::{PublishJob, QUEUED_JOBS_MAX};
pub use wire::envelope::{BODY_MAX, HEADERS_BYTES_MAX};
#[doc(hidden)]
pub use wire::properties::mended_properties;

/// The largest number of confirm channels of one process.
pub const PUBLISHERS_MAX: usize = 16;
/// Closing takes at most this long.
const CLOSE_FOR: Duration = Duration::from_secs(20);

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`; several hosts, or several URLs, with commas
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
    nodes: Vec<Node>,
    /// The number of the node to begin with.
    first: usize,
    /// Why there is no connection, for each node.
    problems: Mutex<Vec<Option<String>>>,
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
    /// Of messages that do not wait.
    publishers: Vec<mpsc::Sender<PublishJob>>,
    next_publisher: AtomicUsize,
    /// One for the messages of each delay level, so that a delay queue that does not answer holds up no other message.
    delayed: Vec<mpsc::Sender<PublishJob>>,
    /// Incremented when a message to one of our queues was returned: consumers then subscribe again.
    missing: watch::Sender<u64>,
    /// What cannot be declared: one sentence for each exchange or queue.
    troubled: watch::Sender<Vec<String>>,
}

impl Shared {
    /// Notes why a node cannot be used, or that it can; false if that was known.
    fn note_problem(&self, number: usize, problem: Option<String>) -> bool {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = problems.get_mut(number) else { return true };
        let is_new = *known != problem;
        *known = problem;
        is_new
    }

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

    /// The publisher of a batch: that of its longest delay level, or one of those for messages that do not wait.
    fn publisher(&self, batch: &[Outgoing]) -> &mpsc::Sender<PublishJob> {
        let now = self.clock.now();
        let waiting = batch.iter().filter(|message| message.queue().is_some());
        match waiting.filter_map(|message| delay::rank(message.due_at, now)).max() {
            Some(rank) => &self.delayed[rank],
            None => &self.publishers[self.next_publisher.fetch_add(1, Ordering::Relaxed) % self.publishers.len()],
        }
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
        let nodes = match options.url.is_empty() {
            // A command that needs no broker.
            true => Vec::new(),
            false => address::nodes(&options.url).unwrap_or_else(|error| {
                tracing::error!("there will be no connection to the broker: {error}");
                Vec::new()
            }),
        };
        let count = options.publishers + delay::LEVELS.len();
        let (mut publishers, mut queues): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(QUEUED_JOBS_MAX)).unzip();
        let delayed = publishers.split_off(options.publishers);
        let delayed_queues = queues.split_off(options.publishers);
        let shared = Arc::new(Shared {
            options,
            first: fastrand::usize(..),
            problems: Mutex::new(vec![None; nodes.len()]),
            nodes,
            clock,
            stop,
            flushed: CancellationToken::new(),
            closed: CancellationToken::new(),
            publishing: CurrentConnection::new(),
            consuming: CurrentConnection::new(),
            losses: Mutex::default(),
            publishers,
            next_publisher: AtomicUsize::new(0),
            delayed,
            troubled: watch::Sender::new(Vec::new()),
            missing: watch::Sender::new(0),
        });
        shared.publishing.need();
        (Broker { shared: shared.clone() }, supervisor::run(shared, queues, delayed_queues))
    }

    /// Publishes a batch of at most [`BATCH_MAX`] messages and waits for all confirms. A batch with messages that have to wait holds up
    /// those of its longest delay level only: put no other messages into it. Returns the broker's answer to each message,
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
        let publisher = self.shared.publisher(&batch);
        let until = Instant::now() + self.shared.options.confirm_timeout;
        let (answer, answered) = oneshot::channel();
        let job = PublishJob { batch, answer, until };
        let queued = publisher.send_timeout(job, self.shared.options.confirm_timeout).await;
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

    /// The node to which this process publishes, and how the connection is protected; none without a connection.
    pub fn protection(&self) -> Option<Protection> {
        let connection = self.shared.publishing.current()?;
        let node = &connection.node;
        Some(Protection {
            place: node.place.clone(),
            is_local: node.is_local(),
            check: node.trust.as_ref().map(|trust| trust.check),
        })
    }

    /// One sentence for each node that could not be used the last time.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.shared.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(node, problem): (&Node, &Option<String>)| Some(format!("{}: {}", node.place, problem.as_ref()?));
        self.shared.nodes.iter().zip(problems.iter()).filter_map(of).collect()
    }

    /// Whether the broker accepts no messages for now because it is short of memory or disk.
    pub fn is_blocked(&self) -> bool {
        self.shared.publishing.current().is_some_and(|connection| connection.is_blocked())
    }

    /// The exchanges and queues that cannot be declared at present, a sentence for each.
    pub fn troubled(&self) -> Vec<String> {
        self.shared.troubled.borrow().clone()
    }

    /// The deliveries of a queue, at most `prefetch` of them unacknowledged at a time.
    pub fn consume(&self, queue: Queue, prefetch: u16) -> Deliveries {
        Deliveries::new(self.shared.clone(), queue, prefetch)
    }

    /// Stops, and waits until everything queued is published and everything is closed, or for a limited time.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        if timeout(CLOSE_FOR, self.shared.closed.cancelled()).await.is_err() {
            tracing::warn!("the connections to the broker were not closed in time");
        }
    }
}
