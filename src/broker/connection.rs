//! One connection to the broker, from the handshake to the close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connect, ConnectionProperties, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{Error, classify};
use super::wire::socket;

/// Seconds between heartbeats. A silent peer is detected after two of them.
const HEARTBEAT: u16 = 10;
/// The handshake must be finished within this time.
const CONNECT_FOR: Duration = Duration::from_secs(10);
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

/// The first bytes a client sends.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

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
    /// Connects. The caller has to [`Connection::watch`] the connection at once.
    pub(super) async fn open(url: &str, name: &str, purpose: Purpose) -> Result<Arc<Connection>, Error> {
        let uri = read_url(url)?;
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{name} {}", purpose.name()).into());
        let Ok(connected) = timeout(CONNECT_FOR, connect(uri.clone(), properties)).await else {
            tracing::warn!(connection = purpose.name(), "the broker did not answer within {CONNECT_FOR:?}");
            wait_for_answer(&uri).await;
            return Err(Error::Unavailable("it did not answer".into()));
        };
        let inner = connected.map_err(|error| classify("connect", &error))?;
        Ok(Arc::new(Connection {
            inner,
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

/// Connects over a socket that rewrites what the library cannot parse.
async fn connect(uri: AMQPUri, properties: ConnectionProperties) -> lapin::Result<lapin::Connection> {
    uri.connect_with_config(properties, OwnedTLSConfig::default(), socket::runtime()).await
}

/// Resolves when the peer answers anything at all. The library keeps a thread and its buffers for each handshake that is
/// never answered, so the next one does not start earlier.
async fn wait_for_answer(uri: &AMQPUri) {
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
        sleep(POLL_EVERY).await;
    }
}

/// The URL without its password, for logs and messages.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "an invalid URL".into() };
    // A password may also be a parameter, and parameters may contain an `@`.
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

/// Parses the URL. Its text is in no error, so that the password gets into no log.
fn read_url(url: &str) -> Result<AMQPUri, Error> {
    let mut uri: AMQPUri = url
        .parse()
        .map_err(|_| Error::Bug("the broker URL is invalid; write amqp://user:password@host:5672/vhost".into()))?;
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
    fn heartbeats_are_on_unless_the_url_sets_them() {
        assert_eq!(read_url("amqp://localhost").expect("a URL").query.heartbeat, Some(HEARTBEAT));
        assert_eq!(read_url("amqp://localhost/?heartbeat=7").expect("a URL").query.heartbeat, Some(7));
    }

    #[test]
    fn an_empty_vhost_is_the_default_one() {
        assert_eq!(read_url("amqp://localhost/").expect("a URL").vhost, "/");
        assert_eq!(read_url("amqp://localhost/%2f").expect("a URL").vhost, "/");
        assert_eq!(read_url("amqp://localhost/leveret").expect("a URL").vhost, "leveret");
    }

    #[test]
    fn no_part_of_a_url_shows_its_password() {
        let shown = without_password("postgres://me:hunter2@db:5432/shop?sslmode=require&password=hunter3&PASSWORD=x");
        assert_eq!(shown, "postgres://me@db:5432/shop?sslmode=require");
        assert_eq!(without_password("postgres://db/shop?password=a@b"), "postgres://db/shop");
        assert_eq!(without_password("amqp://db:5672/%2f"), "amqp://db:5672/%2f");
    }

    #[test]
    fn an_error_about_a_url_does_not_show_its_password() {
        let error = read_url("amqpx://me:hunter2@localhost").expect_err("an invalid URL");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
