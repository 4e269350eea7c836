//! What the broker is told of a delivery: done, later, back to the queue, or filed with its reason.

use std::time::Duration;

use jiff::Timestamp;

use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Exchange, Outgoing, Queue, Sent};
use crate::engine::InstanceId;
use crate::roles::command;
use crate::step::{self, Error, Origin, Undelivered};
use crate::store;

/// The pause before a delivery goes back that could not be sent down the ladder.
const LATER: Duration = Duration::from_secs(1);
/// The pause between two looks whether the database is back.
const PROBE_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn acknowledge(delivery: Delivery) {
    step::fail_point("worker::before_ack");
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "an acknowledgement was lost; the delivery comes again and finds its work done");
    }
    step::fail_point("worker::after_ack");
}

/// Sends a command down the ladder, confirmed, and acknowledges it.
pub(super) async fn later(app: &App, delivery: Delivery, due_at: Timestamp) {
    let (exchange, routing_key) = match &delivery.queue {
        Queue::Commands => (Exchange::Commands, delivery.routing_key.clone()),
        Queue::Steps(queue) => (Exchange::Steps, queue.clone()),
        Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => (Exchange::Dead, String::new()),
    };
    let outgoing = Outgoing {
        id: app.new_id(),
        exchange,
        routing_key,
        kind: delivery.kind.clone().unwrap_or_default(),
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        headers: delivery.headers.clone().into_iter().filter(|(name, _)| !is_brokers_own(name)).collect(),
        body: delivery.body.clone(),
        due_at: Some(due_at),
        reply_to: delivery.reply_to.clone(),
        correlation_id: delivery.correlation_id.clone(),
    };
    let failure = match app.broker.publish(vec![outgoing]).await.map(|sent| sent.into_iter().next()) {
        Ok(Some(Sent::Confirmed)) => return acknowledge(delivery).await,
        Ok(Some(Sent::Returned(reason))) => reason,
        Ok(Some(Sent::Refused)) => "a queue refused it".into(),
        Ok(None) => "no answer".into(),
        Err(error) => error.to_string(),
    };
    // Not confirmed: the delivery is kept, and goes back once the broker is there again, but not in a hot loop.
    tracing::debug!(failure, "a command could not be sent down the ladder; the delivery will come again");
    sleep_or_stop(app, LATER).await;
    tokio::select! {
        () = app.broker.connected() => {}
        () = app.stop.cancelled() => {}
    }
    requeue(delivery).await;
}

/// Headers that tell of a message's last journey: sent along, they would be taken for those of the next.
fn is_brokers_own(header: &str) -> bool {
    ["x-first-death-", "x-last-death-", "x-delivery-count"].iter().any(|own| header.starts_with(own))
}

async fn requeue(delivery: Delivery) {
    if let Err(error) = delivery.requeue().await {
        tracing::debug!(%error, "the delivery went with its connection");
    }
}

/// Files a delivery with its reason, however long the database is away, and acknowledges it.
pub(super) async fn dead_letter(
    app: &App,
    delivery: Delivery,
    reason: &str,
    (mut origin, instance): (Option<&Origin>, Option<InstanceId>),
) {
    tracing::warn!(reason, queue = %delivery.queue.name(), kind = delivery.kind.as_deref(), "a message is a dead letter");
    loop {
        let letter = Undelivered { instance, ..command::letter(&delivery) };
        match step::dead_letter(app, letter, reason, origin).await {
            Ok(()) => return acknowledge(delivery).await,
            // Not even its answer can be written: without it the letter can.
            Err(Error::Store(store::Error::Bug(error))) if origin.is_some() => {
                tracing::error!(error, "the sender of a dead letter cannot be answered");
                origin = None;
            }
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
pub(super) async fn database_is_back(app: &App) {
    while !app.stop.is_cancelled() {
        sleep_or_stop(app, PROBE_EVERY).await;
        if app.store.probe().await.is_ok() {
            return;
        }
    }
}
