//! The role `worker`: consumes commands and takes the steps that follow. A delivery is acknowledged only after the commit that
//! makes it redundant.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tracing::Instrument;

use super::incoming;
use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Queue, SENT_AT};
use crate::command::{self, Error};
use crate::contract::{Command, Fire};
use crate::engine::{BranchId, InstanceId};
use crate::store;
use crate::telemetry::{self, DeliveryCount, spans};

mod answer;
mod backlog;
mod bounce;
mod calls;
mod decide;
mod drive;
mod tasks;

use answer::{Begun, acknowledge, database_is_back, dead_letter, later, put_last, put_off};
use backlog::Backlog;
use bounce::Bounce;
use decide::execute;
use drive::{DeliveryFate, Redelivered};

/// Tries of one delivery while the database is busy; then it has to wait longer.
const TRIES_MAX: u32 = 5;
/// Step commands prefetched for each slot: early timer wake-ups wait in memory, and must not keep others from being delivered.
/// Commands from outside get one for each slot, and a few more: a flood of them must not delay timers.
const PREFETCH_PER_SLOT: usize = 8;
/// Commands from outside prefetched beyond one for each slot, as a part of them: they show whether others wait in the queue.
const SPARE_PART: usize = 4;
/// The pause before another try: this times the number of tries, and jitter of up to this.
const BUSY_FOR_MS: u64 = 25;
/// A timer wake-up this early waits in memory; an earlier one goes to a delay queue again.
const EARLY_MAX: Duration = Duration::from_millis(120);

/// The limits shared by all consumers of a process.
#[derive(Clone)]
struct SharedLimits {
    /// One slot for each command that is executed, for all queues together.
    slots: Arc<Semaphore>,
    /// Locked while a redelivered command is executed. It may be the command that killed its worker: executed one at a time, such
    /// commands cannot cause each other to be redelivered.
    redelivered: Arc<Mutex<()>>,
    /// Whether commands from outside wait in their queue.
    backlog: Arc<Backlog>,
}

/// Starts a consumer for the commands and one for each queue.
pub fn start(app: &App) {
    let slots = Arc::new(Semaphore::new(app.config.worker.concurrency));
    let limits = SharedLimits { slots, redelivered: Arc::default(), backlog: Arc::default() };
    let watched = limits.clone();
    app.supervise("worker", move |app| {
        let SharedLimits { backlog, slots, .. } = watched.clone();
        async move {
            backlog::watch(&app, &backlog, &slots).await;
            Ok(())
        }
    });
    let mut queues = vec![Queue::Commands];
    queues.extend(app.config.worker.queues.iter().cloned().map(Queue::Steps));
    for queue in queues {
        let limits = limits.clone();
        app.supervise("worker", move |app| run(app, queue.clone(), limits.clone()));
    }
}

async fn run(app: App, queue: Queue, limits: SharedLimits) -> Result<(), store::Error> {
    let slots = app.config.worker.concurrency;
    let prefetch = match &queue {
        Queue::Steps(_) => slots * PREFETCH_PER_SLOT,
        Queue::Commands => slots + slots.div_ceil(SPARE_PART),
        Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => slots,
    };
    let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
    let mut deliveries = app.broker.consume(queue, prefetch);
    let begin = |delivery: Delivery| {
        let (app, limits) = (app.clone(), limits.clone());
        app.tasks.clone().spawn(async move {
            let span = spans::delivery(&delivery.queue.name(), delivery.kind.as_deref());
            Box::pin(handle(&app, delivery, &limits)).instrument(span).await;
        });
    };
    loop {
        tokio::select! {
            delivery = deliveries.next() => match delivery {
                Some(delivery) => begin(delivery),
                None => break,
            },
            () = app.stop.cancelled() => break,
        }
    }
    // Prefetched deliveries are finished here, one step each.
    deliveries.drain().await.into_iter().for_each(begin);
    Ok(())
}

/// Handles one delivery up to its acknowledgement.
async fn handle(app: &App, mut delivery: Delivery, limits: &SharedLimits) {
    let count = if delivery.redelivered { DeliveryCount::Redelivered } else { DeliveryCount::First };
    telemetry::count_delivery(&delivery.queue.name(), count);
    let received = match incoming::read(&delivery, app.config.limits.message_max) {
        Ok(received) => received,
        Err(reason) => return dead_letter(app, delivery, &reason, None, None).await,
    };
    if let Command::Continue(_) = &received.command {
        telemetry::observe_queue_wait(delivery.headers.get(SENT_AT), app.clock.now());
    }
    if let Command::Fire(fire) = &received.command {
        match wait_until_due(app, fire).await {
            Readiness::Due => {}
            Readiness::Early => return later(app, delivery, fire.due_at, Begun::No).await,
        }
    }
    let redelivered = Redelivered::of(&delivery);
    let _alone = match redelivered {
        Redelivered::Yes => Some(limits.redelivered.lock().await),
        Redelivered::No => None,
    };
    if limits.slots.available_permits() == 0 && limits.backlog.puts_off(&delivery) {
        let Some(kept) = put_last(app, delivery).await else { return };
        delivery = kept;
    }
    // The semaphore is never closed. If it were, exceeding the limit would do less harm than stopping.
    let _slot = limits.slots.acquire().await;
    for attempt in 1..=TRIES_MAX {
        match execute(app, &received, redelivered).await {
            Ok(DeliveryFate::Done) => return acknowledge(delivery).await,
            Ok(DeliveryFate::Elsewhere) => return bounce(app, delivery, &received.command).await,
            // By the database's clock, which may have been set back: the wake-up must not become a hot loop meanwhile.
            Ok(DeliveryFate::Early(due_at)) => {
                return later(app, delivery, due_at.max(app.clock.now() + EARLY_MAX), Begun::Yes).await;
            }
            Err(error) => match on_error(error) {
                OnError::WaitForDatabase(error) => {
                    tracing::warn!(%error, "the database is not available; keeping deliveries until it is");
                    database_is_back(app).await;
                }
                OnError::Retry => {
                    let pause = BUSY_FOR_MS * u64::from(attempt) + fastrand::u64(0..BUSY_FOR_MS);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                OnError::DeadLetter(reason) => {
                    open_incident(app, &received.command, &reason).await;
                    let instance = incoming::instance(&received.command);
                    return dead_letter(app, delivery, &reason, received.origin.as_ref(), instance).await;
                }
            },
        }
    }
    bounce(app, delivery, &received.command).await;
}

/// Lets a command wait that cannot be executed here, longer each time.
async fn bounce(app: &App, mut delivery: Delivery, command: &Command) {
    let times: usize = delivery.headers.get(bounce::HEADER).and_then(|times| times.parse().ok()).unwrap_or(0);
    delivery.headers.insert(bounce::HEADER.into(), times.saturating_add(1).to_string());
    match Bounce::of(command, times) {
        Bounce::Delay(pause) => later(app, delivery, app.clock.now() + pause, Begun::Yes).await,
        Bounce::PutOff(pause) => put_off(app, delivery, pause).await,
        Bounce::Drop => {
            tracing::warn!(queue = %delivery.queue.name(), "no worker could execute this command; the role timers will write it again");
            acknowledge(delivery).await;
        }
    }
}

/// Opens an incident for a step command that can never be executed: otherwise the role `timers` would write it again and again.
async fn open_incident(app: &App, command: &Command, reason: &str) {
    if let Command::Continue(at) = command
        && let (id, branch) = (InstanceId(at.instance), BranchId(at.branch))
        && let Err(error) = command::fail_undeliverable(app, id, branch, at.sequence, reason.to_owned()).await
    {
        tracing::error!(%error, instance = %at.instance, "the incident could not be opened; the role timers will write the command again");
    }
}

/// What to do with a delivery after an error.
enum OnError {
    /// Keep it until the database answers.
    WaitForDatabase(String),
    /// Try it again after a pause.
    Retry,
    /// Store it as a dead letter with this reason.
    DeadLetter(String),
}

fn on_error(error: Error) -> OnError {
    match error {
        Error::Store(store::Error::Unavailable(error)) => OnError::WaitForDatabase(error),
        Error::Store(store::Error::Busy(_) | store::Error::Conflict | store::Error::Rejected { .. }) => OnError::Retry,
        Error::Store(error @ (store::Error::NotFound(_) | store::Error::Duplicate(_) | store::Error::Bug(_))) => {
            tracing::error!(%error, "a command cannot be handled");
            OnError::DeadLetter(error.to_string())
        }
        error @ (Error::Refused(_)
        | Error::Late(_)
        | Error::Invalid { .. }
        | Error::NotFound(_)
        | Error::Reused(_)
        | Error::Task(_)) => OnError::DeadLetter(error.to_string()),
    }
}

enum Readiness {
    Due,
    Early,
}

/// Waits in memory for a timer that is nearly due, without a query and without holding a connection.
async fn wait_until_due(app: &App, fire: &Fire) -> Readiness {
    let early = fire.due_at.duration_since(app.clock.now());
    match Duration::try_from(early) {
        Ok(early) if early > EARLY_MAX => Readiness::Early,
        Ok(early) => {
            sleep_or_stop(app, early).await;
            if app.stop.is_cancelled() { Readiness::Early } else { Readiness::Due }
        }
        // Negative: it is due.
        Err(_) => Readiness::Due,
    }
}
