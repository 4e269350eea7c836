//! Keeps a command from waiting for ever behind commands of a higher priority.
//!
//! Since RabbitMQ 4.3 a quorum queue delivers the highest priority first, always, and no argument of a queue turns that off. A message
//! without a priority counts as 4, and some libraries send 0 unless told otherwise: while more commands come than are handled, theirs
//! would never be delivered. So while there is a backlog, each command is sent to the end of the queue with priority 0 when it is
//! delivered, and executed when it is delivered again: all of them are handled in the order in which they got there. Each, also where a
//! slot is free for it: otherwise it would pass those that were sent to the end before it, and what comes after it, a message to the
//! instance that it starts, would wait for all of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Queue};

/// The priority of a command that was sent to the end of the queue: the lowest.
pub(super) const LAST: u8 = 0;
/// How often a worker to which commands are delivered asks for the depth of the queue.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// A backlog that lasts for this long is one. A shorter one delays a command by no more.
const LASTING: Duration = Duration::from_secs(2);
/// How often it is asked whether the broker sorts by priority: it may have been upgraded.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// Whether commands wait in their queue for longer than a moment.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    lasts: AtomicBool,
    /// Whether a command was delivered since the depth of the queue was last asked for: an idle worker does not ask.
    delivered: AtomicBool,
}

impl Backlog {
    /// Whether a command is sent to the end of the queue before it is executed.
    pub(super) fn puts_off(&self, delivery: &Delivery) -> bool {
        if delivery.queue != Queue::Commands {
            return false;
        }
        self.delivered.store(true, Ordering::Relaxed);
        // Returned messages are delivered first, whatever their priority.
        self.lasts.load(Ordering::Relaxed) && delivery.priority != Some(LAST) && !delivery.redelivered
    }
}

/// Watches the queue of commands until the process stops.
pub(super) async fn watch(app: &App, backlog: &Backlog) {
    let mut since = None;
    let mut sorted = Sorted { by_priority: false, ask_at: Instant::now() };
    while !app.stop.is_cancelled() {
        sleep_or_stop(app, POLL_EVERY).await;
        // Not whether slots are free: between two short commands there is always one.
        let may_wait = backlog.delivered.swap(false, Ordering::Relaxed) || since.is_some();
        let waits = may_wait
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
