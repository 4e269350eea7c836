//! One connection to the broker, from the handshake to the close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::{Channel, ConnectionProperties, ErrorKind, Event};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Node;
use super::error::{Error, classify};
use super::reach::{explain, reach};
use super::wire::socket::{self, Socket, Stream};

/// A channel must be opened within this time.
const OPEN_FOR: Duration = Duration::from_secs(5);
/// A close must be answered within this time: on a blocked connection it is never even sent.
const CLOSE_FOR: Duration = Duration::from_secs(2);
/// How often the state of the connection is polled, in case its event was missed.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A declaration that failed is retried after this time.
pub(super) const REPAIR_AFTER: Duration = Duration::from_secs(30);
/// Queues remembered as declared. Beyond this number all are declared again.
const DECLARED_MAX: usize = 1_024;

/// The use of a connection. Each use has its own, because RabbitMQ blocks only connections that publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Purpose {
    Publishing,
    Consuming,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// Queues of steps and of work that were declared on a connection, are being declared, or could not be.
#[derive(Default)]
pub(super) struct Declared(Mutex<HashMap<String, Standing>>);

/// How the declaration of a queue stands.
#[derive(Clone)]
enum Standing {
    Declared,
    /// It failed, and is tried again at this time.
    RetryAt(Instant),
    Declaring {
        since: Instant,
        done: CancellationToken,
    },
}

/// A declaration under way.
pub(super) struct Declaring {
    pub(super) since: Instant,
    /// Cancelled when it has ended.
    pub(super) done: CancellationToken,
    /// Whether the caller has to begin it.
    pub(super) is_new: bool,
}

impl Declared {
    /// The declaration that a queue needs now, or that is under way; none if it needs none.
    pub(super) fn begin(&self, name: &str) -> Option<Declaring> {
        self.with(|declared| match declared.get(name) {
            Some(Standing::Declared) => None,
            Some(Standing::RetryAt(at)) if Instant::now() < *at => None,
            Some(Standing::Declaring { since, done }) => {
                Some(Declaring { since: *since, done: done.clone(), is_new: false })
            }
            Some(Standing::RetryAt(_)) | None => {
                let (since, done) = (Instant::now(), CancellationToken::new());
                declared.insert(name.to_owned(), Standing::Declaring { since, done: done.clone() });
                Some(Declaring { since, done, is_new: true })
            }
        })
    }

    /// Notes a declaration; `retry_at` if it failed.
    pub(super) fn remember(&self, name: String, retry_at: Option<Instant>) {
        self.with(|declared| {
            if declared.len() >= DECLARED_MAX {
                forget(declared);
            }
            declared.insert(name, retry_at.map_or(Standing::Declared, Standing::RetryAt));
        });
    }

    fn with<T>(&self, access: impl FnOnce(&mut HashMap<String, Standing>) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Those under way stay, so that a queue that does not answer is not declared again and again at the same time.
fn forget(declared: &mut HashMap<String, Standing>) {
    declared.retain(|_, standing| matches!(standing, Standing::Declaring { .. }));
}

/// A connection. Once lost it never recovers: the supervisor opens a new one.
pub(super) struct Connection {
    inner: lapin::Connection,
    /// The node it leads to.
    pub(super) node: Node,
    /// Cancelled when the connection no longer works.
    pub(super) lost: CancellationToken,
    /// Notified when everything has to be declared again.
    pub(super) repair: Notify,
    blocked: AtomicBool,
    /// What was declared on this connection.
    pub(super) declared: Declared,
    /// Declarations that nothing waits for any more.
    pub(super) background: TaskTracker,
}

impl Connection {
    /// Connects to a node within a time limit: TCP, TLS and the handshake. The caller has to [`Connection::watch`] the connection
    /// at once.
    pub(super) async fn open(
        node: &Node,
        limit: Duration,
        name: &str,
        purpose: Purpose,
    ) -> Result<Arc<Connection>, Error> {
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{name} {}", purpose.name()).into());
        let connecting = async { handshake(node, reach(node, limit).await?, properties).await };
        let Ok(connected) = timeout(limit, connecting).await else {
            return Err(Error::Unavailable(format!("it did not answer within {limit:?}")));
        };
        Ok(Arc::new(Connection {
            inner: connected?,
            node: node.clone(),
            lost: CancellationToken::new(),
            repair: Notify::new(),
            blocked: AtomicBool::new(false),
            declared: Declared::default(),
            background: TaskTracker::new(),
        }))
    }

    /// Whether the broker currently accepts no messages on this connection.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) || self.inner.status().blocked()
    }

    /// Whether the connection works.
    pub(super) fn is_open(&self) -> bool {
        !self.lost.is_cancelled() && self.inner.status().connected()
    }

    /// Opens a channel. A connection that cannot open one in time counts as lost.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        match timeout(OPEN_FOR, self.inner.create_channel()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(classify("open a channel", &error)),
            Err(_) => {
                if !self.is_blocked() {
                    self.lost.cancel();
                }
                Err(Error::Unavailable(format!("no channel within {OPEN_FOR:?}")))
            }
        }
    }

    /// Something is missing on the broker: has everything declared again.
    pub(super) fn forget_declared(&self) {
        self.declared.with(forget);
        self.repair.notify_one();
    }

    /// Resolves when the connection is lost. Called once: the library gives each event to one listener only.
    pub(super) async fn watch(&self) {
        let mut events = std::pin::pin!(self.inner.events_listener());
        while self.is_open() {
            let event = tokio::select! {
                () = self.lost.cancelled() => break,
                event = timeout(POLL_EVERY, events.next()) => event,
            };
            match event {
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    tracing::warn!(reason, "the broker accepts no messages for now");
                    self.blocked.store(true, Ordering::Relaxed);
                }
                Ok(Some(Event::ConnectionUnblocked)) => {
                    tracing::info!("the broker accepts messages again");
                    self.blocked.store(false, Ordering::Relaxed);
                }
                // The library also reports the close of a single channel here; its owner handles it.
                Ok(Some(Event::Error(error))) if error.is_amqp_soft_error() => {}
                Ok(Some(Event::Error(error))) => {
                    tracing::warn!(%error, "the connection to the broker was lost");
                    break;
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => break,
            }
        }
        self.lost.cancel();
    }

    /// Closes the connection, and waits a short time for the broker's answer.
    pub(super) async fn close(&self) {
        self.lost.cancel();
        if timeout(CLOSE_FOR, self.inner.close(200, "bye".into())).await.is_err() {
            tracing::debug!("the broker did not answer the close");
        }
    }
}

/// Greets the node over a socket that rewrites what the library cannot parse.
async fn handshake(
    node: &Node,
    stream: Box<dyn Stream>,
    properties: ConnectionProperties,
) -> Result<lapin::Connection, Error> {
    let given_up = CancellationToken::new();
    // If this future is dropped, the library's thread ends as well.
    let giving_up = given_up.clone().drop_guard();
    let socket = Mutex::new(Some(Socket::new(stream, given_up)));
    let connect = async move |_, _| match socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(socket) => Ok(AsyncTcpStream::Plain(socket)),
        None => Err(lapin::Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))),
    };
    let connected = lapin::Connection::connector(node.uri()?, socket::runtime(), connect, properties).await;
    let connected = connected.map_err(|error| match error.kind() {
        ErrorKind::IOError(error) => greeting_failed(node, error),
        _ => classify("connect", &error),
    })?;
    giving_up.disarm();
    Ok(connected)
}

/// Why a node ended the connection before it had answered. It closes so quickly that the alert of TLS may be lost.
fn greeting_failed(node: &Node, error: &std::io::Error) -> Error {
    let why = explain(error);
    let is_cut = error.get_ref().is_none() && error.kind() != std::io::ErrorKind::ConnectionAborted;
    match (&node.trust, is_cut) {
        (Some(_), true) => Error::Unavailable(format!(
            "{}; a server that speaks TLS ends a connection so if it refuses our certificate, or wants one: check \
             `broker.cert_file`, and which CA the server trusts",
            why.reason()
        )),
        (Some(_), false) | (None, _) => why,
    }
}
