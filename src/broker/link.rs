//! One connection to the broker, from the handshake to its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connect, Connection, ConnectionProperties, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::declare;
use super::error::{Error, sort};
use super::message::Queue;
use super::{socket, topology};

/// Seconds; a silent peer is found after two of them.
const HEARTBEAT: u16 = 10;
/// The handshake must be done within this time.
const CONNECT_FOR: Duration = Duration::from_secs(10);
/// A channel must be open within this time.
const OPEN_FOR: Duration = Duration::from_secs(5);
/// Politeness has its limits: a blocked connection cannot even say goodbye.
const CLOSE_FOR: Duration = Duration::from_secs(2);
/// How often the state of the connection is looked at, in case its event was missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What could not be declared is tried again after this time.
pub(super) const REPAIR_AFTER: Duration = Duration::from_secs(30);
/// Queues remembered as declared; beyond this all are declared again.
const DECLARED_MAX: usize = 1_024;

/// What a client says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// What a connection is for: RabbitMQ blocks only those that publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Publishing,
    Consuming,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Purpose::Publishing => "publishing",
            Purpose::Consuming => "consuming",
        }
    }
}

/// A connection that was open once. It never comes back: the supervisor makes a new one.
pub(super) struct Link {
    connection: Connection,
    /// Cancelled when the connection is of no more use.
    pub(super) lost: CancellationToken,
    /// Asks for everything to be declared again.
    pub(super) repair: Notify,
    blocked: AtomicBool,
    /// Queues of queues and of workers outside declared on this connection, and when to try again those that could not be.
    declared: Mutex<HashMap<String, Option<Instant>>>,
}

impl Link {
    /// Connects. Whoever holds the link has to [`Link::watch`] it at once.
    pub(super) async fn open(url: &str, name: &str, purpose: Purpose) -> Result<Arc<Link>, Error> {
        let uri = read_url(url)?;
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{name} {}", purpose.name()).into());
        let Ok(connected) = timeout(CONNECT_FOR, connect(uri.clone(), properties)).await else {
            tracing::warn!(connection = purpose.name(), "the broker did not answer within {CONNECT_FOR:?}");
            answer_of(&uri).await;
            return Err(Error::Unavailable("it was silent".into()));
        };
        let connection = connected.map_err(|error| sort("connect", &error))?;
        Ok(Arc::new(Link {
            connection,
            lost: CancellationToken::new(),
            repair: Notify::new(),
            blocked: AtomicBool::new(false),
            declared: Mutex::default(),
        }))
    }

    /// Whether the broker takes nothing from this connection for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) || self.connection.status().blocked()
    }

    /// Whether the connection can be used.
    pub(super) fn is_open(&self) -> bool {
        !self.lost.is_cancelled() && self.connection.status().connected()
    }

    /// A new channel. A connection that cannot open one in time is given up.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        match timeout(OPEN_FOR, self.connection.create_channel()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(sort("open a channel", &error)),
            Err(_) => {
                if !self.is_blocked() {
                    self.lost.cancel();
                }
                Err(Error::Unavailable(format!("no channel within {OPEN_FOR:?}")))
            }
        }
    }

    /// Declares the queue of a queue or of a worker outside, once per connection.
    pub(super) async fn ensure(&self, prefix: &str, queue: &Queue) -> Result<(), Error> {
        let name = queue.name();
        let known = self.with_declared(|declared| match declared.get(&name) {
            Some(None) => true,
            Some(Some(again_at)) => Instant::now() < *again_at,
            None => false,
        });
        if known {
            return Ok(());
        }
        let complaints = declare::declare(self, &topology::queue(prefix, queue)).await?;
        for complaint in &complaints {
            tracing::error!(queue = name, "a queue cannot be declared: {complaint}");
        }
        let again_at = (!complaints.is_empty()).then(|| Instant::now() + REPAIR_AFTER);
        self.with_declared(|declared| {
            if declared.len() >= DECLARED_MAX {
                declared.clear();
            }
            declared.insert(name, again_at);
        });
        Ok(())
    }

    /// Something was missing: declare everything again before it is used next.
    pub(super) fn forget_declared(&self) {
        self.with_declared(HashMap::clear);
        self.repair.notify_one();
    }

    fn with_declared<T>(&self, look: impl FnOnce(&mut HashMap<String, Option<Instant>>) -> T) -> T {
        look(&mut self.declared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when the connection is gone. Called once: the library gives each event to one listener only.
    pub(super) async fn watch(&self) {
        let mut events = std::pin::pin!(self.connection.events_listener());
        while self.is_open() {
            let event = tokio::select! {
                () = self.lost.cancelled() => break,
                event = timeout(LOOK_EVERY, events.next()) => event,
            };
            match event {
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    tracing::warn!(reason, "the broker takes no more messages for now");
                    self.blocked.store(true, Ordering::Relaxed);
                }
                Ok(Some(Event::ConnectionUnblocked)) => {
                    tracing::info!("the broker takes messages again");
                    self.blocked.store(false, Ordering::Relaxed);
                }
                // The library reports the end of a mere channel here as well; its owner knows.
                Ok(Some(Event::Error(error))) if error.is_amqp_soft_error() => {}
                Ok(Some(Event::Error(error))) => {
                    tracing::warn!(%error, "the connection to the broker broke");
                    break;
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => break,
            }
        }
        self.lost.cancel();
    }

    /// Says goodbye, if the broker listens.
    pub(super) async fn close(&self) {
        self.lost.cancel();
        if timeout(CLOSE_FOR, self.connection.close(200, "bye".into())).await.is_err() {
            tracing::debug!("the broker did not answer the goodbye");
        }
    }
}

/// Over a socket that keeps back what the library could not survive.
async fn connect(uri: AMQPUri, properties: ConnectionProperties) -> lapin::Result<Connection> {
    uri.connect_with_config(properties, OwnedTLSConfig::default(), socket::runtime()).await
}

/// Resolves when the peer answers anything at all. The library keeps a thread and its buffers for each handshake that
/// is never answered, so the next one is not begun before.
async fn answer_of(uri: &AMQPUri) {
    let address = (uri.authority.host.as_str(), uri.authority.port);
    loop {
        let probe = async {
            let mut peer = TcpStream::connect(address).await?;
            peer.write_all(PROTOCOL_HEADER).await?;
            peer.read_u8().await
        };
        if timeout(OPEN_FOR, probe).await.is_ok() {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The URL without its password, for people.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "an unreadable URL".into() };
    // A password may also stand among the parameters, whose values may hold an `@`.
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, place) = match address.rsplit_once('@') {
        None => (None, address),
        Some((login, place)) => (login.split(':').next(), place),
    };
    let login = login.map(|user| format!("{user}@")).unwrap_or_default();
    let secret = |part: &&str| part.to_ascii_lowercase().contains("password");
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !secret(part)).collect();
    let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
    format!("{scheme}://{login}{place}{query}")
}

/// The password must not get into a log: the text of the URL is in no error.
fn read_url(url: &str) -> Result<AMQPUri, Error> {
    let mut uri: AMQPUri = url
        .parse()
        .map_err(|_| Error::Bug("the URL cannot be read; it looks like amqp://user:password@host:5672/vhost".into()))?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    if uri.vhost.is_empty() {
        uri.vhost = "/".into();
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_noticed_unless_the_url_says_otherwise() {
        assert_eq!(read_url("amqp://localhost").expect("a URL").query.heartbeat, Some(HEARTBEAT));
        assert_eq!(read_url("amqp://localhost/?heartbeat=7").expect("a URL").query.heartbeat, Some(7));
    }

    #[test]
    fn a_bare_slash_is_the_default_host() {
        assert_eq!(read_url("amqp://localhost/").expect("a URL").vhost, "/");
        assert_eq!(read_url("amqp://localhost/%2f").expect("a URL").vhost, "/");
        assert_eq!(read_url("amqp://localhost/leveret").expect("a URL").vhost, "leveret");
    }

    #[test]
    fn no_part_of_a_url_betrays_its_password() {
        let shown = without_password("postgres://me:hunter2@db:5432/shop?sslmode=require&password=hunter3&PASSWORD=x");
        assert_eq!(shown, "postgres://me@db:5432/shop?sslmode=require");
        assert_eq!(without_password("postgres://db/shop?password=a@b"), "postgres://db/shop");
        assert_eq!(without_password("amqp://db:5672/%2f"), "amqp://db:5672/%2f");
    }

    #[test]
    fn a_wrong_url_does_not_betray_its_password() {
        let error = read_url("amqpx://me:hunter2@localhost").expect_err("no URL");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
