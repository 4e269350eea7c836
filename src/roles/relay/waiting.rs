//! The relay between two sweeps.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Swept;
use super::pace::{LOOK_FOR, Next, Pace};
use crate::app::{App, sleep_or_stop};
use crate::store;
use crate::store::outbox::{self, Listener};

/// The pause before it tries again to listen: the database is away, or there is a pooler.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The pause after the connection was lost.
const LOST_FOR: Duration = Duration::from_secs(1);

/// Why the next sweep was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Somebody has written a row for it.
    Notified,
    /// The pause was over.
    Time,
}

pub(super) struct Waiting {
    listener: Option<Listener>,
    listen_after: Instant,
    pace: Pace,
    cause: Cause,
}

impl Waiting {
    pub(super) fn new(app: &App) -> Self {
        let now = Instant::now();
        let pace = Pace::new(now, app.config.outbox.sweep_every);
        Self { listener: None, listen_after: now, pace, cause: Cause::Time }
    }

    /// Before a sweep: what was notified until now will be found by it.
    pub(super) fn forget(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.forget();
        }
    }

    /// Resolves when the next sweep is due, or when the process is asked to stop.
    pub(super) async fn next(&mut self, app: &App, swept: &Swept) -> Result<(), store::Error> {
        if self.cause == Cause::Notified && swept.count == 0 {
            self.pace.yield_longer();
        }
        self.cause = Cause::Time;
        match self.pace.after(swept.count, Instant::now()) {
            Next::Promise(pause) => {
                let mut conn = app.store.background().await?;
                outbox::promise_to_look(&mut conn, LOOK_FOR).await?;
                drop(conn);
                sleep_or_stop(app, pause).await;
            }
            Next::Look(pause) => sleep_or_stop(app, pause).await,
            Next::Listen(rest) => self.listen(app, rest).await,
        }
        Ok(())
    }

    async fn listen(&mut self, app: &App, rest: Duration) {
        // Jitter, so that the processes do not all sweep at the same moment.
        let pause = app.config.outbox.sweep_every.mul_f64(0.75 + 0.5 * fastrand::f64());
        if self.listener.is_none() && Instant::now() >= self.listen_after {
            self.listen_after = Instant::now() + LISTEN_AGAIN_AFTER;
            match Listener::open(&app.store).await {
                // Rows that were committed before it listened are found by a sweep now.
                Ok(Some(listener)) => {
                    self.listener = Some(listener);
                    return;
                }
                Ok(None) => {
                    tracing::debug!("behind a pooler there are no notifications: rows of others wait for the sweep")
                }
                Err(error) => tracing::debug!(%error, "cannot listen: rows of others wait for the sweep"),
            }
        }
        let Some(listener) = &mut self.listener else { return sleep_or_stop(app, pause).await };
        let notified = tokio::select! {
            notified = timeout(pause, listener.notified()) => notified,
            () = app.stop.cancelled() => return,
        };
        match notified {
            Err(_) => {}
            Ok(Ok(())) => {
                self.cause = Cause::Notified;
                if rest > Duration::ZERO {
                    sleep_or_stop(app, rest).await;
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "no longer listens");
                self.listener = None;
                self.listen_after = Instant::now();
                sleep_or_stop(app, pause.min(LOST_FOR)).await;
            }
        }
    }
}
