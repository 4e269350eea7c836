//! Consumes commands and drives what they leave ready. A delivery is acknowledged only after the commit that settles it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::command::{self, Received};
use super::stride::{self, Held};
use crate::app::{App, rest};
use crate::broker::{Delivery, Exchange, Outgoing, Queue};
use crate::contract::{Command, Fire};
use crate::engine::{BranchId, InstanceId, Refusal};
use crate::step::{self, Delivered, Error, Moved, Origin, Started, Steer, Steered};
use crate::store;
use crate::telemetry;

/// Tries of one delivery while the database is busy; then it goes down the ladder.
const TRIES_MAX: u32 = 5;
/// The pause before a command that found everybody busy is looked at again.
const LATER: Duration = Duration::from_secs(1);
/// A timer hint this early is waited for in memory; one earlier goes down the ladder again.
const EARLY_MAX: Duration = Duration::from_millis(120);
/// The pause between two looks whether the database is back.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// Starts a consumer for the commands and one for each lane.
pub fn start(app: &App) {
    // One bound for all queues of the process: strides at once.
    let strides = Arc::new(Semaphore::new(app.config.worker.concurrency));
    let mut queues = vec![Queue::Commands];
    queues.extend(app.config.worker.lanes.iter().cloned().map(Queue::Steps));
    for queue in queues {
        let strides = strides.clone();
        app.supervise("worker", move |app| run(app, queue.clone(), strides.clone()));
    }
}

async fn run(app: App, queue: Queue, strides: Arc<Semaphore>) -> Result<(), store::Error> {
    let prefetch = u16::try_from(app.config.worker.concurrency).unwrap_or(u16::MAX);
    let mut deliveries = app.broker.consume(queue, prefetch);
    let stop = app.stop.clone();
    loop {
        let delivery = tokio::select! {
            delivery = deliveries.next() => delivery,
            () = stop.cancelled() => break,
        };
        let Some(delivery) = delivery else { break };
        let Ok(stride) = strides.clone().acquire_owned().await else { break };
        let app = app.clone();
        app.tasks.clone().spawn(async move {
            handle(&app, delivery).await;
            drop(stride);
        });
    }
    // What was delivered and not begun goes back untouched; what was begun runs to its end in `tasks`.
    deliveries.cancel().await;
    Ok(())
}

/// Carries one delivery to its acknowledgement.
async fn handle(app: &App, delivery: Delivery) {
    telemetry::count_delivery(&delivery.queue.name(), delivery.redelivered);
    let received = match command::read(&delivery, app.config.limits.message_max) {
        Ok(received) => received,
        Err(reason) => return bury(app, delivery, &reason, None).await,
    };
    if let Command::Fire(fire) = &received.command {
        match wait_until_due(app, fire).await {
            Due::Now => {}
            Due::Later => return later(app, delivery, fire.due_at).await,
        }
    }
    for attempt in 1..=TRIES_MAX {
        match carry_out(app, &received, &delivery).await {
            Ok(Held::Done) => return acknowledge(delivery).await,
            Ok(Held::Elsewhere) => return later(app, delivery, app.clock.now() + LATER).await,
            Ok(Held::Early(due_at)) => return later(app, delivery, due_at).await,
            Err(Error::Store(store::Error::Unavailable(error))) => {
                tracing::warn!(%error, "the database is away; holding what was delivered until it answers");
                database_is_back(app).await;
            }
            Err(Error::Store(store::Error::Busy(_) | store::Error::Conflict)) => {
                tokio::time::sleep(Duration::from_millis(20 * u64::from(attempt) + fastrand::u64(0..30))).await;
            }
            Err(Error::Store(
                error @ (store::Error::NotFound(_) | store::Error::Duplicate(_) | store::Error::Bug(_)),
            )) => {
                tracing::error!(%error, "a command cannot be handled");
                return bury(app, delivery, &error.to_string(), received.origin.as_ref()).await;
            }
            Err(error @ (Error::Refused(_) | Error::Invalid(_) | Error::NotFound(_) | Error::Reused(_))) => {
                return bury(app, delivery, &error.to_string(), received.origin.as_ref()).await;
            }
        }
    }
    later(app, delivery, app.clock.now() + LATER).await;
}

/// Decides a command and drives what it leaves ready.
async fn carry_out(app: &App, received: &Received, delivery: &Delivery) -> Result<Held, Error> {
    let none = || Error::Refused("the command has no sender".into());
    let origin = || received.origin.as_ref().ok_or_else(none);
    let again = delivery.redelivered;
    match &received.command {
        Command::Start(command) => match step::start(app, command.clone(), origin()?).await? {
            Started::New(position) => stride::drive(app, *position).await,
            Started::Known(answer) => known(app, answer.instance, again).await,
        },
        Command::Message(command) => match step::message(app, command.clone(), origin()?).await? {
            Delivered::To(position) => stride::drive(app, *position).await,
            Delivered::Kept => Ok(Held::Done),
            Delivered::Known(answer) => known(app, answer.instance, again).await,
        },
        Command::Cancel(target) => steer(app, Steer::Cancel, target, origin()?, again).await,
        Command::Retry(target) => steer(app, Steer::Retry, target, origin()?, again).await,
        Command::Continue(at) => {
            stride::take_up(app, InstanceId(at.instance), Some((BranchId(at.branch), at.sequence)), again).await
        }
        Command::Fire(fire) => match step::fire(app, *fire).await? {
            Moved::To(position) => stride::drive(app, *position).await,
            Moved::Elsewhere => Ok(Held::Elsewhere),
            Moved::Refused(Refusal::Early(due_at)) => Ok(Held::Early(due_at)),
            // Fired before, perhaps by a worker that died right after: if its branch is ready, we drive it.
            Moved::Refused(_) => known(app, Some(InstanceId(fire.instance)), again).await,
        },
    }
}

async fn steer(
    app: &App,
    what: Steer,
    target: &crate::contract::Target,
    origin: &Origin,
    again: bool,
) -> Result<Held, Error> {
    match step::steer(app, what, target, origin).await? {
        Steered::To(position) => stride::drive(app, *position).await,
        Steered::Known(answer) => known(app, answer.instance, again).await,
    }
}

/// A repetition: never acknowledged for being one, but because its instance does not wait for us.
async fn known(app: &App, instance: Option<InstanceId>, again: bool) -> Result<Held, Error> {
    metrics::counter!(telemetry::DUPLICATES).increment(1);
    match instance {
        Some(id) => stride::take_up(app, id, None, again).await,
        None => Ok(Held::Done),
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
            tokio::time::sleep(early).await;
            Due::Now
        }
        // Negative: it is due.
        Err(_) => Due::Now,
    }
}

async fn acknowledge(delivery: Delivery) {
    step::fail_point("worker::before_ack");
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "an acknowledgement was lost; the delivery comes again and finds its work done");
    }
    step::fail_point("worker::after_ack");
}

/// Sends a command down the ladder, confirmed, and acknowledges it.
async fn later(app: &App, delivery: Delivery, due_at: Timestamp) {
    let (exchange, routing_key) = match &delivery.queue {
        Queue::Commands => (Exchange::Commands, delivery.routing_key.clone()),
        Queue::Steps(lane) => (Exchange::Steps, lane.clone()),
        Queue::Dead => (Exchange::Dead, String::new()),
    };
    let outgoing = Outgoing {
        id: app.new_id(),
        exchange,
        routing_key,
        kind: delivery.kind.clone().unwrap_or_default(),
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        headers: delivery.headers.clone(),
        body: delivery.body.clone(),
        due_at: Some(due_at),
        reply_to: delivery.reply_to.clone(),
        correlation_id: delivery.correlation_id.clone(),
    };
    match app.broker.publish(vec![outgoing]).await {
        Ok(_) => acknowledge(delivery).await,
        // Not confirmed: keep the delivery. It comes again when this connection ends, as it is about to.
        Err(error) => {
            tracing::debug!(%error, "the broker is away; the delivery will come again");
            app.broker.connected().await;
            requeue(delivery).await;
        }
    }
}

async fn requeue(delivery: Delivery) {
    if let Err(error) = delivery.requeue().await {
        tracing::debug!(%error, "the delivery went with its connection");
    }
}

/// Files a delivery with its reason, however long the database is away, and acknowledges it.
async fn bury(app: &App, delivery: Delivery, reason: &str, origin: Option<&Origin>) {
    tracing::warn!(reason, queue = %delivery.queue.name(), kind = ?delivery.kind, "a message is a dead letter");
    loop {
        match step::bury(app, command::letter(&delivery), reason, origin).await {
            Ok(()) => return acknowledge(delivery).await,
            Err(error) => {
                tracing::warn!(%error, "a dead letter could not be filed yet");
                if app.stop.is_cancelled() {
                    return requeue(delivery).await;
                }
                database_is_back(app).await;
            }
        }
    }
}

/// Returns when a query succeeds, or when the process is asked to stop.
async fn database_is_back(app: &App) {
    while !app.stop.is_cancelled() {
        rest(app, PROBE_EVERY).await;
        if app.store.probe().await.is_ok() {
            return;
        }
    }
}
