//! Wake-ups of timers that come early, or whose time cannot be true.

use std::time::Duration;

use jiff::Timestamp;

use super::answer::{Begun, acknowledge, later};
use crate::app::{App, sleep_or_stop};
use crate::broker::Delivery;
use crate::contract::{Command, Fire};

/// A wake-up may come this much before `timers.broker_horizon`, by another estimate of the clock.
const FAR_SLACK: Duration = Duration::from_secs(5);
/// A wake-up this early waits in memory; an earlier one goes to a delay queue again.
const EARLY_MAX: Duration = Duration::from_millis(120);

/// Whether a wake-up is to be executed.
pub(super) enum Readiness {
    /// Now.
    Due,
    /// It has to wait in a delay queue.
    Early,
}

/// Waits in memory for a timer that is nearly due, without a query and without holding a connection.
pub(super) async fn wait_until_due(app: &App, fire: &Fire) -> Readiness {
    let now = app.clock.now();
    if is_far(app, now, fire.due_at) {
        // Leveret sends no such wake-up: the database has to say when it is due.
        return Readiness::Due;
    }
    match Duration::try_from(fire.due_at.duration_since(now)) {
        Ok(early) if early > EARLY_MAX => Readiness::Early,
        Ok(early) => {
            sleep_or_stop(app, early).await;
            if app.stop.is_cancelled() { Readiness::Early } else { Readiness::Due }
        }
        // Negative: it is due.
        Err(_) => Readiness::Due,
    }
}

/// A wake-up that came before its timer is due, by the database's clock, which may have been set back: it must not become a hot loop
/// meanwhile. Beyond `timers.broker_horizon` the role `timers` fires the timer without it; so a forged wake-up, whose date is not that of its timer, ends
/// after one look into the database.
pub(super) async fn early(app: &App, delivery: Delivery, command: &Command, due_at: Timestamp) {
    let now = app.clock.now();
    let said = if let Command::Fire(fire) = command { fire.due_at } else { due_at };
    if is_far(app, now, due_at) || is_far(app, now, said) {
        tracing::debug!(%due_at, "a wake-up ends here: its timer is left to the role timers");
        return acknowledge(delivery).await;
    }
    later(app, delivery, due_at.max(now + EARLY_MAX), Begun::Yes).await;
}

/// Whether a time is so far ahead that nothing on the broker waits for it.
fn is_far(app: &App, now: Timestamp, due_at: Timestamp) -> bool {
    let ahead = Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
    ahead > app.config.timers.broker_horizon.saturating_add(FAR_SLACK)
}
