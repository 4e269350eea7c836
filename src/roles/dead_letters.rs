//! Moves the broker's dead deliveries into the table `dead_letters`, where operators can read and redrive them.

use crate::app::App;
use crate::broker::{Delivery, Queue};
use crate::command;
use crate::contract::Command;
use crate::engine::{BranchId, InstanceId};
use crate::roles::incoming;
use crate::store;

/// Dead deliveries prefetched at once.
const PREFETCH: u16 = 8;
/// The reason of a dead letter of the broker.
const REASON: &str = "the broker stopped redelivering it";

/// Stores dead letters until the process stops. On an error the dead letter stays in its queue.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut deliveries = app.broker.consume(Queue::Dead, PREFETCH);
    loop {
        let delivery = tokio::select! {
            delivery = deliveries.next() => delivery,
            () = app.stop.cancelled() => None,
        };
        let Some(delivery) = delivery else { break };
        if let Err(error) = store_one(app, &delivery).await {
            deliveries.cancel().await;
            return Err(store::Error::Unavailable(error.to_string()));
        }
        if let Err(error) = delivery.ack().await {
            tracing::debug!(%error, "an acknowledgement was lost; the dead letter will be stored twice");
        }
    }
    deliveries.cancel().await;
    Ok(())
}

async fn store_one(app: &App, delivery: &Delivery) -> Result<(), command::Error> {
    let why = delivery.headers.get("x-first-death-reason");
    let reason = why.map_or(REASON.to_owned(), |why| format!("{REASON} ({why})"));
    // The sweep must not write a step command that cannot be delivered again and again: its branch gets an incident.
    let received = incoming::read(delivery, app.config.limits.message_max).ok();
    let instance = received.as_ref().and_then(|received| incoming::instance(&received.command));
    if let Some(Command::Continue(at)) = received.map(|received| received.command) {
        match command::fail_undeliverable(
            app,
            InstanceId(at.instance),
            BranchId(at.branch),
            at.sequence,
            reason.clone(),
        )
        .await
        {
            Err(command::Error::Store(error @ store::Error::Bug(_))) => {
                // A retry does not help, and the dead letters behind this one must still be stored.
                tracing::error!(%error, instance = %at.instance, "the incident of a dead step command cannot be opened");
            }
            other => other?,
        }
    }
    let mut undelivered = incoming::undelivered(delivery, &reason, instance);
    undelivered.letter.headers.remove("x-first-death-reason");
    // It may be a request to an external worker, whose `reply_to` is Leveret itself.
    undelivered.reply_to = None;
    command::dead_letter(app, undelivered, None).await
}
