//! Consumes commands and drives what they leave ready. A delivery is acknowledged only after the commit that settles it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};

use super::command;
use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Queue, SENT_AT};
use crate::contract::{Command, Fire};
use crate::engine::{BranchId, InstanceId};
use crate::step::{self, Error};
use crate::store;
use crate::telemetry::{self, DeliveryCount};

mod answer;
mod bounce;
mod calls;
mod decide;
mod drive;
mod tasks;

use answer::{acknowledge, database_is_back, dead_letter, later};
use decide::carry_out;
use drive::DeliveryFate;

/// Tries of one delivery while the database is busy; then it goes down the ladder.
const TRIES_MAX: u32 = 5;
/// Step commands in hand for each stride at once: wake-ups that are early wait in memory, and must not keep others from coming.
/// Commands from outside get one each: a flood of them must not stand between a timer and its stride.
const PREFETCH_PER_SLOT: usize = 8;
/// The pause before another try: this times the number of tries, and up to this more.
const BUSY_FOR_MS: u64 = 25;
/// A timer wake-up this early is waited for in memory; one earlier goes down the ladder again.
const EARLY_MAX: Duration = Duration::from_millis(120);

/// What all consumers of a process share.
#[derive(Clone)]
struct Gates {
    /// One bound for all queues: slots at once.
    slots: Arc<Semaphore>,
    /// DeliveryFate while a command is carried out that came again. One of them may have killed its worker: alone, it cannot take
    /// innocent neighbours with it, whose deliveries would then look as guilty as its own.
    redelivered: Arc<Mutex<()>>,
}

/// Starts a consumer for the commands and one for each queue.
pub fn start(app: &App) {
    let slots = Arc::new(Semaphore::new(app.config.worker.concurrency));
    let gates = Gates { slots, redelivered: Arc::default() };
    let mut queues = vec![Queue::Commands];
    queues.extend(app.config.worker.queues.iter().cloned().map(Queue::Steps));
    for queue in queues {
        let gates = gates.clone();
        app.supervise("worker", move |app| run(app, queue.clone(), gates.clone()));
    }
}

async fn run(app: App, queue: Queue, gates: Gates) -> Result<(), store::Error> {
    let per_slot = match &queue {
        Queue::Steps(_) => PREFETCH_PER_SLOT,
        Queue::Commands | Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => 1,
    };
    let prefetch = u16::try_from(app.config.worker.concurrency * per_slot).unwrap_or(u16::MAX);
    let mut deliveries = app.broker.consume(queue, prefetch);
    let begin = |delivery: Delivery| {
        let (app, gates) = (app.clone(), gates.clone());
        app.tasks.clone().spawn(async move { Box::pin(handle(&app, delivery, &gates)).await });
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
    // What was delivered is finished here, one step each.
    deliveries.drain().await.into_iter().for_each(begin);
    Ok(())
}

/// Carries one delivery to its acknowledgement.
async fn handle(app: &App, delivery: Delivery, gates: &Gates) {
    let count = if delivery.redelivered { DeliveryCount::Redelivered } else { DeliveryCount::First };
    telemetry::count_delivery(&delivery.queue.name(), count);
    let received = match command::read(&delivery, app.config.limits.message_max) {
        Ok(received) => received,
        Err(reason) => return dead_letter(app, delivery, &reason, (None, None)).await,
    };
    if let Command::Continue(_) = &received.command {
        telemetry::observe_queue_wait(delivery.headers.get(SENT_AT), app.clock.now());
    }
    if let Command::Fire(fire) = &received.command {
        match wait_until_due(app, fire).await {
            Due::Now => {}
            Due::Later => return later(app, delivery, fire.due_at).await,
        }
    }
    let _alone = match delivery.redelivered {
        true => Some(gates.redelivered.lock().await),
        false => None,
    };
    // Closed never; were it, one stride too many would be the lesser evil.
    let _slot = gates.slots.acquire().await;
    for attempt in 1..=TRIES_MAX {
        match carry_out(app, &received, &delivery).await {
            Ok(DeliveryFate::Done) => return acknowledge(delivery).await,
            Ok(DeliveryFate::Elsewhere) => return bounce(app, delivery, &received.command).await,
            // The database has just said so: its clock may have been set back, and the wake-up must not run in circles meanwhile.
            Ok(DeliveryFate::Early(due_at)) => {
                return later(app, delivery, due_at.max(app.clock.now() + EARLY_MAX)).await;
            }
            Err(error) => match verdict(error) {
                Verdict::Away(error) => {
                    tracing::warn!(%error, "the database is away; holding what was delivered until it answers");
                    database_is_back(app).await;
                }
                Verdict::Again => {
                    let pause = BUSY_FOR_MS * u64::from(attempt) + fastrand::u64(0..BUSY_FOR_MS);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Verdict::Never(reason) => {
                    give_up(app, &received.command, &reason).await;
                    let concerned = command::instance(&received.command);
                    return dead_letter(app, delivery, &reason, (received.origin.as_ref(), concerned)).await;
                }
            },
        }
    }
    bounce(app, delivery, &received.command).await;
}

/// Sends a command down the ladder that nobody could carry out here, for longer each time.
async fn bounce(app: &App, mut delivery: Delivery, command: &Command) {
    let times = delivery.headers.get(bounce::HEADER).and_then(|times| times.parse().ok()).unwrap_or(0);
    match bounce::pause(command, times) {
        Some(pause) => {
            delivery.headers.insert(bounce::HEADER.into(), (times + 1).to_string());
            later(app, delivery, app.clock.now() + pause).await;
        }
        None => {
            tracing::warn!(queue = %delivery.queue.name(), "nobody could carry out this command; the timers role will ask again");
            acknowledge(delivery).await;
        }
    }
}

/// A step command that can never be carried out becomes an incident: the timers role would revive it again and again.
async fn give_up(app: &App, command: &Command, reason: &str) {
    if let Command::Continue(at) = command
        && let (id, branch) = (InstanceId(at.instance), BranchId(at.branch))
        && let Err(error) = step::fail_undeliverable(app, id, branch, at.sequence, reason.to_owned()).await
    {
        tracing::error!(%error, instance = %at.instance, "the incident could not be opened; the timers role will try again");
    }
}

/// What an error means for the delivery.
enum Verdict {
    /// Hold it until the database is back.
    Away(String),
    /// Try it again in a moment.
    Again,
    /// File it with this reason.
    Never(String),
}

fn verdict(error: Error) -> Verdict {
    match error {
        Error::Store(store::Error::Unavailable(error)) => Verdict::Away(error),
        Error::Store(store::Error::Busy(_) | store::Error::Conflict | store::Error::Rejected { .. }) => Verdict::Again,
        Error::Store(error @ (store::Error::NotFound(_) | store::Error::Duplicate(_) | store::Error::Bug(_))) => {
            tracing::error!(%error, "a command cannot be handled");
            Verdict::Never(error.to_string())
        }
        error @ (Error::Refused(_)
        | Error::Late(_)
        | Error::Invalid { .. }
        | Error::NotFound(_)
        | Error::Reused(_)
        | Error::Task(_)) => Verdict::Never(error.to_string()),
    }
}

enum Due {
    Now,
    Later,
}

/// Waits out the last moments before a timer in memory, without a query and without holding a connection.
async fn wait_until_due(app: &App, fire: &Fire) -> Due {
    let early = fire.due_at.duration_since(app.clock.now());
    match Duration::try_from(early) {
        Ok(early) if early > EARLY_MAX => Due::Later,
        Ok(early) => {
            sleep_or_stop(app, early).await;
            if app.stop.is_cancelled() { Due::Later } else { Due::Now }
        }
        // Negative: it is due.
        Err(_) => Due::Now,
    }
}
