//! Moves the broker's dead deliveries into the table `dead_letters`, where operators can read and redrive them.

use std::time::Duration;

use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Queue};
use crate::command;
use crate::contract::Command;
use crate::engine::{BranchId, InstanceId};
use crate::fault::Class;
use crate::roles::incoming;
use crate::store;

/// Dead deliveries prefetched at once.
const PREFETCH: u16 = 8;
/// The reason of a dead letter of the broker.
const REASON: &str = "the broker stopped redelivering it";
/// The pause before another try at a dead letter that could not be stored.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Stores dead letters until the process stops. One that cannot be stored is kept until it can: given back again and again, it would
/// exceed the delivery limit of its queue.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut deliveries = app.broker.consume(Queue::Dead, PREFETCH);
    loop {
        let delivery = tokio::select! {
            delivery = deliveries.next() => delivery,
            () = app.stop.cancelled() => None,
        };
        let Some(delivery) = delivery else { break };
        store_or_return(app, delivery).await;
    }
    deliveries.cancel().await;
    Ok(())
}

/// Stores one and acknowledges it; returns it to its queue if the process stops before.
async fn store_or_return(app: &App, delivery: Delivery) {
    while let Err(error) = store_one(app, &delivery).await {
        tracing::warn!(%error, "a dead letter of the broker could not be stored; retrying");
        sleep_or_stop(app, RETRY_AFTER).await;
        if app.stop.is_cancelled() {
            if let Err(error) = delivery.requeue().await {
                tracing::debug!(%error, "the connection was lost, which returns the dead letter");
            }
            return;
        }
    }
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "an acknowledgement was lost; the dead letter will be stored twice");
    }
}

/// Whether a request to an external worker has expired in its queue, because no worker took it, or one returned it again and again. Its
/// attempt has ended at the same time, and says so itself.
fn is_expired_request(app: &App, delivery: &Delivery) -> bool {
    let death = |what: &str| delivery.headers.get(&format!("x-first-death-{what}"));
    let queues = Queue::Work(String::new()).physical(&app.config.broker.prefix);
    death("reason").is_some_and(|reason| reason == "expired")
        && death("queue").is_some_and(|queue| queue.starts_with(&queues))
}

/// Whether it was given up in a queue of steps: elsewhere a `continue` is not one of Leveret.
fn is_of_steps(app: &App, delivery: &Delivery) -> bool {
    let queues = Queue::Steps(String::new()).physical(&app.config.broker.prefix);
    delivery.headers.get("x-first-death-queue").is_some_and(|queue| queue.starts_with(&queues))
}

async fn store_one(app: &App, delivery: &Delivery) -> Result<(), command::Error> {
    if is_expired_request(app, delivery) {
        tracing::debug!(call = delivery.correlation_id, "a request was in its queue until its deadline");
        return Ok(());
    }
    let why = delivery.headers.get("x-first-death-reason");
    let reason = why.map_or(REASON.to_owned(), |why| format!("{REASON} ({why})"));
    // The sweep must not write a step command that cannot be delivered again and again: its branch gets an incident.
    let command = incoming::read_dead(delivery, &app.config).ok();
    let instance = command.as_ref().and_then(incoming::instance);
    if is_of_steps(app, delivery)
        && let Some(Command::Continue(at)) = command
    {
        match command::fail_undeliverable(
            app,
            InstanceId(at.instance),
            BranchId(at.branch),
            at.sequence,
            reason.clone(),
        )
        .await
        {
            Err(error) if error.class() == Class::Bug => {
                // A retry does not help, and the dead letters behind this one must still be stored.
                tracing::error!(%error, instance = %at.instance, "the incident of a dead step command cannot be opened");
            }
            other => other?,
        }
    }
    let mut undelivered = incoming::undelivered(delivery, &reason, instance, &app.config);
    undelivered.letter.headers.remove("x-first-death-reason");
    // It may be a request to an external worker, whose `reply_to` is Leveret itself.
    undelivered.reply_to = None;
    command::dead_letter(app, undelivered, None).await
}
