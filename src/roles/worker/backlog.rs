//! Keeps a command from waiting for ever behind commands of a higher priority.
//!
//! Since RabbitMQ 4.3 a quorum queue delivers the highest priority first, always, and no argument of a queue turns that off. A message
//! without a priority counts as 4, and some libraries send 0 unless told otherwise: while more commands come than are handled, theirs
//! would never be delivered. So while there is a backlog, a command that would have to wait in this process is sent to the end of the
//! queue with priority 0 instead, and all of them are handled in the order in which they got there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Queue};

/// The priority of a command that was sent to the end of the queue: the lowest.
pub(super) const LAST: u8 = 0;
/// How often a busy worker asks for the depth of the queue.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// A backlog that lasts for this long is one. A shorter one delays a command by no more.
const LASTING: Duration = Duration::from_secs(2);
/// How often it is asked whether the broker sorts by priority: it may have been upgraded.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// Whether commands wait in their queue for longer than a moment.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    lasts: AtomicBool,
}

impl Backlog {
    /// Whether a command that has to wait here is better sent to the end of the queue.
    pub(super) fn puts_off(&self, delivery: &Delivery) -> bool {
        self.lasts.load(Ordering::Relaxed)
            && delivery.queue == Queue::Commands
            && delivery.priority != Some(LAST)
            // Returned messages are delivered first, whatever their priority.
            && !delivery.redelivered
    }
}

/// Watches the queue of commands until the process stops.
pub(super) async fn watch(app: &App, backlog: &Backlog, slots: &Semaphore) {
    let mut since = None;
    let mut sorted = Sorted { by_priority: false, ask_at: Instant::now() };
    while !app.stop.is_cancelled() {
        sleep_or_stop(app, POLL_EVERY).await;
        let is_busy = slots.available_permits() == 0 || backlog.lasts.load(Ordering::Relaxed);
        let waits = is_busy
            && sorted.by_priority(app).await
            && app.broker.depth(&Queue::Commands).await.is_ok_and(|depth| depth > 0);
        since = if waits { since.or(Some(Instant::now())) } else { None };
        let lasts = since.is_some_and(|since| since.elapsed() >= LASTING);
        if backlog.lasts.swap(lasts, Ordering::Relaxed) != lasts {
            tracing::debug!(lasts, "commands wait in their queue");
        }
    }
}

/// Whether the broker sorts by priority, as it was last known.
struct Sorted {
    by_priority: bool,
    ask_at: Instant,
}

impl Sorted {
    async fn by_priority(&mut self, app: &App) -> bool {
        if Instant::now() >= self.ask_at
            && let Ok(by_priority) = app.broker.sorts_by_priority().await
        {
            *self = Self { by_priority, ask_at: Instant::now() + ASK_EVERY };
        }
        self.by_priority
    }
}
