//! How loops are started, restarted and stopped, and in which order a process shuts down.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::store;

/// The pause before a role that failed or panicked is restarted.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// After this, rows that could not be published are left to other processes' sweeps.
const FLUSH_FOR: Duration = Duration::from_secs(3);
/// The time in which the last acknowledgements are written.
const WRITE_FOR: Duration = Duration::from_millis(500);
/// After this, connections are dropped instead of closed.
const CLOSE_FOR: Duration = Duration::from_secs(3);

impl App {
    /// Starts a loop that ends before the process does; after a failure or a panic it is restarted.
    pub fn supervise<F, Fut>(&self, role: &'static str, run: F)
    where
        F: Fn(App) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), store::Error>> + Send + 'static,
    {
        self.tasks.spawn(repeat(self.clone(), role, self.stop.clone(), run));
    }

    /// Starts a loop that publishes what this process commits. It outlives the roles, so that their last rows are published.
    pub fn supervise_publisher<F, Fut>(&self, role: &'static str, run: F)
    where
        F: Fn(App) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), store::Error>> + Send + 'static,
    {
        self.publishers.spawn(repeat(self.clone(), role, self.closing.clone(), run));
    }

    /// Stops in order: roles within the grace period, then publishers, then connections. False if something did not end in time;
    /// its deliveries are redelivered to another process.
    pub async fn shut_down(&self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let drained = tokio::time::timeout(self.config.shutdown.grace, self.tasks.wait()).await.is_ok();
        self.closing.cancel();
        self.publishers.close();
        let flushed = tokio::time::timeout(FLUSH_FOR, self.publishers.wait()).await.is_ok();
        // Acknowledgements are queued and have no answer: those not written before the connection closes are redelivered.
        tokio::time::sleep(WRITE_FOR).await;
        self.closed.cancel();
        self.connections.close();
        let closed = tokio::time::timeout(CLOSE_FOR, self.connections.wait()).await.is_ok();
        drained && flushed && closed
    }
}

async fn repeat<F, Fut>(app: App, role: &'static str, until: CancellationToken, run: F)
where
    F: Fn(App) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), store::Error>> + Send,
{
    loop {
        match AssertUnwindSafe(run(app.clone())).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(role, %error, "role failed; restarting it in 1 s"),
            Err(_) => tracing::error!(role, "role panicked; restarting it in 1 s"),
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            () = until.cancelled() => return,
        }
    }
}

/// Sleeps, but no longer than until the process is asked to stop.
pub async fn sleep_or_stop(app: &App, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = app.stop.cancelled() => {}
    }
}
