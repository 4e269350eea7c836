//! The connection of one purpose, which is opened, lost and opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::connection::{Connection, Purpose};

/// The current connection of one purpose, if there is one.
pub(super) struct CurrentConnection {
    connection: watch::Sender<Option<Arc<Connection>>>,
    /// Whether anything needs the connection: a process that only publishes opens only one.
    wanted: watch::Sender<bool>,
    /// Connections opened so far.
    count: AtomicUsize,
}

impl CurrentConnection {
    /// Opened when it is needed.
    pub(super) fn new() -> Self {
        Self { connection: watch::Sender::new(None), wanted: watch::Sender::new(false), count: AtomicUsize::new(0) }
    }

    pub(super) fn need(&self) {
        self.wanted.send_replace(true);
    }

    /// Resolves when the connection is needed.
    pub(super) async fn wanted(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    pub(super) fn current(&self) -> Option<Arc<Connection>> {
        self.connection.borrow().clone().filter(|connection| connection.is_open())
    }

    /// Resolves when there is a connection.
    pub(super) async fn connected(&self) -> Option<Arc<Connection>> {
        self.need();
        let mut current = self.connection.subscribe();
        let open = |connection: &Option<Arc<Connection>>| connection.as_ref().is_some_and(|one| one.is_open());
        current.wait_for(open).await.ok()?.clone()
    }

    pub(super) fn offer(&self, purpose: Purpose, connection: Arc<Connection>) {
        if self.count.fetch_add(1, Ordering::Relaxed) > 0 {
            // The feature `client` alone records nothing.
            #[cfg(feature = "server")]
            metrics::counter!(crate::telemetry::BROKER_RECONNECTS, "connection" => purpose.name()).increment(1);
        }
        tracing::info!(connection = purpose.name(), node = connection.node.place, "connected to the broker");
        self.connection.send_replace(Some(connection));
    }

    pub(super) fn withdraw(&self) {
        self.connection.send_replace(None);
    }
}
