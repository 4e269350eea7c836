//! Connections of the API. They are counted, each part of a request has its time, and a stop waits for requests that are handled, not for
//! those that are still being sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// Connections at once, if the process may open twice as many files. Others wait in the queue of the system.
const CONNECTIONS_MAX: usize = 1_024;
/// The head of a request must arrive within this time, also the one after it on the same connection.
const HEAD_FOR: Duration = Duration::from_secs(30);
/// A response that is ready is written within this time after a stop.
const WRITE_FOR: Duration = Duration::from_millis(500);
/// The pause after a connection could not be accepted: mostly because too many files are open.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Cancelled when the process stops; with every request.
#[derive(Debug, Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// Serves until `stop`, and until the requests that are handled then have ended.
pub(super) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(connections_max()));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        if let Some((stream, slot)) = accepted {
            connections.spawn(connection(stream, routes.clone(), stop.clone(), slot));
        }
    }
    connections.close();
    connections.wait().await;
}

/// Half of the files that the process may open: the others are for the servers it works with.
fn connections_max() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    CONNECTIONS_MAX.min(usize::try_from(files / 2).unwrap_or(CONNECTIONS_MAX)).max(1)
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_AGAIN_AFTER).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, routes: Router, stop: CancellationToken, slot: OwnedSemaphorePermit) {
    // Answers are small and whole.
    let _ = stream.set_nodelay(true);
    let handled = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (mut routes, handled) = (routes.clone(), handled.clone());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Stopping(stop.clone()));
        async move {
            handled.fetch_add(1, Ordering::Relaxed);
            let response = routes.call(request).await;
            handled.fetch_sub(1, Ordering::Relaxed);
            response
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_FOR);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            loop {
                match timeout(WRITE_FOR, serving.as_mut()).await {
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
    drop(slot);
}
