//! Connections of the API. They are counted, each part of a request has its time, and a stop waits for requests that are handled, not for
//! those that are still being sent.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::tls::Tls;

/// The largest head of a request, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;
/// The pause after a connection could not be accepted: mostly because too many files are open.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections at once; others wait in the queue of the system.
    pub(super) connections_max: usize,
    /// The head of a request must arrive within this time, also the one after it on the same connection.
    pub(super) head_for: Duration,
    /// The body must arrive within this time after the head.
    pub(super) body_for: Duration,
    /// The client must take some bytes of the response within this time.
    pub(super) taken_within: Duration,
    /// After a stop a response that is ready is written within this time.
    pub(super) write_for: Duration,
}

impl Bounds {
    /// At most this number of connections, and no more than half of the files that the process may open: the others are for its servers.
    pub(super) fn new(connections_max: usize) -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        let half = usize::try_from(files / 2).unwrap_or(usize::MAX);
        Self {
            connections_max: connections_max.min(half).max(1),
            head_for: Duration::from_secs(30),
            body_for: Duration::from_secs(30),
            taken_within: Duration::from_secs(30),
            write_for: Duration::from_millis(500),
        }
    }
}

/// What is known where a body is read: how long it may take, and when to give up.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// The body must arrive within this time.
    pub(super) within: Duration,
    /// Cancelled when the process stops.
    pub(super) stop: CancellationToken,
}

/// The address of the client, which is that of a proxy if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// How connections are served.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) routes: Router,
    pub(super) bounds: Bounds,
    /// The certificate, if TLS is spoken.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) stop: CancellationToken,
}

/// Serves until `stop`, and until the requests that are handled then have ended.
pub(super) async fn serve(listener: TcpListener, serving: Serving) {
    let slots = Arc::new(Semaphore::new(serving.bounds.connections_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = serving.stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        if let Some(Accepted { stream, peer, slot }) = accepted {
            let connection = connection(stream, peer, serving.clone());
            connections.spawn(async move {
                connection.await;
                drop(slot);
            });
        }
    }
    connections.close();
    connections.wait().await;
}

/// A connection and its slot.
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    slot: OwnedSemaphorePermit,
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some(Accepted { stream, peer: Peer(address.ip()), slot }),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_AGAIN_AFTER).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, peer: Peer, serving: Serving) {
    // Answers are small and whole; without the option they are only slower.
    drop(stream.set_nodelay(true));
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(serving.bounds.taken_within));
    let stream = Box::pin(stream);
    let Some(tls) = serving.tls.clone() else { return speak(stream, peer, serving).await };
    let accepted = tokio::select! {
        accepted = tls.accept(stream) => accepted,
        () = serving.stop.cancelled() => return,
    };
    match accepted {
        Ok(stream) => speak(stream, peer, serving).await,
        Err(error) => tracing::debug!(%error, "a connection did not begin with TLS"),
    }
}

/// Speaks HTTP on a connection.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, serving: Serving) {
    let Serving { routes, bounds, stop, .. } = serving;
    let handled = Arc::new(AtomicUsize::new(0));
    let arrival = Arrival { within: bounds.body_for, stop: stop.clone() };
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (mut routes, handled) = (routes.clone(), handled.clone());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(arrival.clone());
        request.extensions_mut().insert(peer);
        async move {
            handled.fetch_add(1, Ordering::Relaxed);
            let response = routes.call(request).await;
            handled.fetch_sub(1, Ordering::Relaxed);
            response
        }
    });
    // Of HTTP/1 alone: HTTP/2 has other bounds, and without TLS nobody needs it.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.head_for);
    builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            loop {
                match timeout(bounds.write_for, serving.as_mut()).await {
                    Ok(ended) => break ended,
                    // Nothing is handled: its head, or the last response, is stuck.
                    Err(_) if handled.load(Ordering::Relaxed) == 0 => break Ok(()),
                    Err(_) => {}
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::http::header::CONTENT_TYPE;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;
    use crate::http::request;

    /// Far longer than any bound of these tests.
    const SOON: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(200);

    struct Started {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    /// A listener whose route `/slow` answers after half a second, and `/large` with eight megabytes.
    async fn serving(change: impl FnOnce(&mut Bounds)) -> Started {
        let mut bounds = Bounds::new(100);
        change(&mut bounds);
        let slow = async || {
            sleep(Duration::from_millis(500)).await;
            "slow"
        };
        let routes = Router::new()
            .route("/", get(async || "ok"))
            .route("/slow", get(slow))
            .route("/large", get(async || "x".repeat(8 * 1024 * 1024)))
            .route("/body", post(async |request::Document(bytes): request::Document| bytes.len().to_string()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let how = super::Serving { routes, bounds, tls: None, stop: stop.clone() };
        let task = TaskTracker::new().spawn(serve(listener, how));
        Started { address, stop, task }
    }

    impl Started {
        async fn connect(&self, sent: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            stream
        }

        /// Stops, and returns how long that took.
        async fn stop(self) -> Duration {
            let began = Instant::now();
            self.stop.cancel();
            timeout(SOON, self.task).await.expect("it stops").unwrap();
            began.elapsed()
        }
    }

    fn get_of(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    fn post_of(kind: &str, length: usize, body: &str) -> String {
        format!(
            "POST /body HTTP/1.1\r\nHost: localhost\r\n{CONTENT_TYPE}: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Everything until the end of the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut read = Vec::new();
        // A reset is an end, too.
        drop(timeout(SOON, stream.read_to_end(&mut read)).await.expect("the connection ends"));
        String::from_utf8_lossy(&read).into_owned()
    }

    /// The beginning of a response.
    async fn beginning(stream: &mut TcpStream) -> String {
        let mut read = [0; 12];
        timeout(SOON, stream.read_exact(&mut read)).await.expect("it answers").unwrap();
        String::from_utf8_lossy(&read).into_owned()
    }

    #[tokio::test]
    async fn a_stop_waits_for_what_is_handled_and_not_for_what_is_half_sent() {
        let serving = serving(|_| {}).await;
        let silent = serving.connect("").await;
        let half_a_head = serving.connect("GET / HTTP/1.1\r\nHost: loc").await;
        let half_a_body = serving.connect(&post_of("application/json", 100, "{")).await;
        let mut kept = serving.connect(&get_of("/")).await;
        assert_eq!(beginning(&mut kept).await, "HTTP/1.1 200");
        let unread = serving.connect(&get_of("/large")).await;
        let slow = serving.connect(&get_of("/slow")).await;
        // The requests have arrived.
        sleep(SHORT).await;
        let took = serving.stop().await;
        assert!(took < Duration::from_millis(1_500), "half a second of work, and less than one more: {took:?}");
        assert_eq!((rest(silent).await, rest(half_a_head).await), (String::new(), String::new()));
        let told = rest(half_a_body).await;
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("this process stops"), "{told}");
        assert!(rest(slow).await.ends_with("slow"));
        rest(kept).await;
        drop(unread);
    }

    #[tokio::test]
    async fn a_head_and_a_body_that_do_not_arrive_end_their_connection() {
        let serving = serving(|bounds| (bounds.head_for, bounds.body_for) = (SHORT, SHORT)).await;
        let mut kept = serving.connect(&get_of("/")).await;
        assert_eq!(beginning(&mut kept).await, "HTTP/1.1 200");
        let streams = [serving.connect("").await, serving.connect("GET / HTTP/1.1\r\nHost: loc").await, kept];
        for stream in streams {
            assert!(!rest(stream).await.contains("HTTP/1.1 200"));
        }
        let told = rest(serving.connect(&post_of("application/json", 100, "{")).await).await;
        assert!(told.starts_with("HTTP/1.1 408") && told.contains("did not arrive within"), "{told}");
        serving.stop().await;
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_its_connection() {
        let serving = serving(|bounds| (bounds.taken_within, bounds.connections_max) = (SHORT, 1)).await;
        let unread = serving.connect(&get_of("/large")).await;
        // There is one slot: this connection is served after the other has lost it.
        let mut next = serving.connect(&get_of("/")).await;
        assert_eq!(beginning(&mut next).await, "HTTP/1.1 200");
        drop(unread);
        drop(next);
        serving.stop().await;
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_wait() {
        let serving = serving(|bounds| bounds.connections_max = 2).await;
        let (mut first, mut second) = (serving.connect(&get_of("/")).await, serving.connect(&get_of("/")).await);
        assert_eq!([beginning(&mut first).await, beginning(&mut second).await], ["HTTP/1.1 200"; 2]);
        let mut third = serving.connect(&get_of("/")).await;
        assert!(timeout(SHORT, beginning(&mut third)).await.is_err(), "there is no slot for it");
        drop(first);
        assert_eq!(beginning(&mut third).await, "HTTP/1.1 200");
        assert!(Bounds::new(usize::MAX).connections_max < usize::MAX / 2, "the files bound it, too");
        drop((second, third));
        serving.stop().await;
    }

    #[tokio::test]
    async fn only_http_1_is_spoken() {
        let serving = serving(|_| {}).await;
        // As a client begins that knows the server speaks HTTP/2, and as one that asks.
        let told = rest(serving.connect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told:?}");
        let asks = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
        let mut asks = serving.connect(asks).await;
        assert_eq!(beginning(&mut asks).await, "HTTP/1.1 200");
        drop(asks);
        serving.stop().await;
    }
}
