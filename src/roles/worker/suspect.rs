//! Redelivered commands: each may have ended the worker that executed it. It is counted before it is begun again, executed one at a
//! time, and from the second time on while nothing else runs here: so a crash names the culprit. One that was begun too often is given up.

use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

use super::answer::database_is_back;
use super::{OnError, SharedLimits, on_error};
use crate::app::App;
use crate::broker::{Delivery, Queue};
use crate::command::{self, Origin};
use crate::engine::InstanceId;
use crate::roles::incoming;
use crate::store::suspects::Suspect;

/// How long a command that was counted more than once waits until nothing else runs here. A handler that takes longer runs beside it.
const QUIET_FOR: Duration = Duration::from_secs(10);
/// A step command whose crashes cannot be counted on its branch is given up after this many times `worker.crash_max`.
const STEP_FACTOR: u32 = 2;

/// What is to be done with a redelivered command.
pub(super) enum Examined {
    /// It is executed, with this watch over it.
    Execute(Watch),
    /// It was begun too often, or cannot be counted.
    GiveUp(GivenUp),
    /// The process stops: it is not begun.
    Stopped,
}

/// A command that is not executed any more.
pub(super) struct GivenUp {
    pub(super) reason: String,
    pub(super) origin: Option<Box<Origin>>,
    /// Held until it is a dead letter, which ends its count: the process may end before.
    pub(super) watch: Watch,
}

/// Held while a redelivered command is executed.
pub(super) struct Watch {
    _one_at_a_time: OwnedMutexGuard<()>,
    /// All slots, if nothing else runs here.
    quiet: Option<OwnedSemaphorePermit>,
    pub(super) counted: Option<[u8; 32]>,
}

impl Watch {
    /// Whether nothing else may run here; then it needs no slot of its own.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.is_some()
    }

    /// The command has ended in order, whatever came of it.
    pub(super) async fn ended(&self, app: &App) {
        if let Some(id) = &self.counted {
            command::acquit(app, id).await;
        }
    }
}

/// Counts a redelivered command. `instance` is that of a command of Leveret to itself.
pub(super) async fn examine(
    app: &App,
    limits: &SharedLimits,
    delivery: &Delivery,
    instance: Option<InstanceId>,
) -> Examined {
    let one_at_a_time = limits.redelivered.clone().lock_owned().await;
    let origin = match &delivery.queue {
        Queue::Commands | Queue::Urgent => incoming::sender(delivery, &app.config),
        Queue::Steps(_) | Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => None,
    };
    let suspect = suspect(delivery, instance, origin.as_ref());
    let crashes = loop {
        match command::suspect(app, &suspect).await {
            Ok(crashes) => break crashes,
            Err(error) => match on_error(error.into()) {
                OnError::WaitForDatabase(_) | OnError::Retry | OnError::Wait(_) | OnError::DeadLetter(_)
                    if app.stop.is_cancelled() =>
                {
                    return Examined::Stopped;
                }
                OnError::WaitForDatabase(_) | OnError::Retry | OnError::Wait(_) => database_is_back(app).await,
                OnError::DeadLetter(reason) => {
                    let watch = Watch { _one_at_a_time: one_at_a_time, quiet: None, counted: None };
                    return Examined::GiveUp(GivenUp { reason, origin: origin.map(Box::new), watch });
                }
            },
        }
    };
    let count = crashes.unwrap_or_default();
    let mut watch = Watch { _one_at_a_time: one_at_a_time, quiet: None, counted: crashes.map(|_| suspect.id) };
    if count > crash_max(app, delivery) {
        let reason = command::verdict(&suspect.what, count);
        return Examined::GiveUp(GivenUp { reason, origin: origin.map(Box::new), watch });
    }
    if count > 1 {
        watch.quiet = quiet(app, limits).await;
    }
    Examined::Execute(watch)
}

/// All slots, unless something runs here for too long.
async fn quiet(app: &App, limits: &SharedLimits) -> Option<OwnedSemaphorePermit> {
    let all = limits.slots.take_all(app.config.worker.concurrency);
    tokio::time::timeout(QUIET_FOR, all).await.ok()?
}

fn crash_max(app: &App, delivery: &Delivery) -> u32 {
    let max = app.config.worker.crash_max;
    // The crashes of a step are counted on its branch, which gets an incident: this count is for a crash before that.
    let is_step = delivery.kind.as_deref() == Some("continue");
    if is_step { max.saturating_mul(STEP_FACTOR) } else { max }
}

fn suspect(delivery: &Delivery, instance: Option<InstanceId>, origin: Option<&Origin>) -> Suspect {
    let queue = delivery.queue.name();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (kind, app_id, message_id) = (text(&delivery.kind), text(&delivery.app_id), text(&delivery.message_id));
    // A step command has another message id each time it is written.
    let message_id = if origin.is_some() { message_id } else { String::new() };
    let parts = [queue.as_bytes(), kind.as_bytes(), app_id.as_bytes(), message_id.as_bytes(), &delivery.body];
    Suspect {
        id: command::fingerprint(&parts),
        what: format!("the command `{}` from `{queue}`", incoming::shorten(&kind).replace('\0', "")),
        instance,
        known_as: origin.map(|origin| (origin.app_id.clone(), origin.message_id.clone())),
    }
}
