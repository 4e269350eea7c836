//! Ends a delivery: acknowledges it, delays it, puts it off, returns it, or stores it as a dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::backlog::LAST;
use super::bounce;
use crate::app::{App, sleep_or_stop};
use crate::broker::{Delivery, Exchange, OUTBOX_ROW, OWN, Outgoing, Queue, Sent};
use crate::command::{self, Error, Origin, Undelivered};
use crate::engine::InstanceId;
use crate::roles::incoming::{
    self,
    door::{Door, HAS_PLACE},
};
use crate::store::outbox::{self, Claimable, OutboxRow};
use crate::store::session::Access;
use crate::store::{self, Transaction, Undo};

/// The pause before a delivery is returned that could not be sent on.
const RETURN_AFTER: Duration = Duration::from_secs(1);
/// The pause between two probes of the database.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// Whether a delivery was begun: RabbitMQ counts how often one that was begun is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Its command was executed, at least in part.
    Yes,
    /// It was only looked at.
    No,
}

pub(super) async fn acknowledge(delivery: Delivery) {
    command::fail_point("worker::before_ack");
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "an acknowledgement was lost; the delivery will be redelivered without effect");
    }
    command::fail_point("worker::after_ack");
}

/// Sends a step command to a delay queue, waits for the confirm, and acknowledges it. It may be lost from then on: only for commands
/// that the role `timers` writes again.
pub(super) async fn later(app: &App, delivery: Delivery, due_at: Timestamp, begun: Begun) {
    match send_again(app, Outgoing { due_at: Some(due_at), ..again(app, &delivery) }).await {
        Ok(()) => acknowledge(delivery).await,
        Err(problem) => return_later(app, delivery, begun, "a delay queue", &problem).await,
    }
}

/// Sends a command to the end of its queue, waits for the confirm, and acknowledges it. Gives it back if that was not possible.
pub(super) async fn put_last(app: &App, delivery: Delivery) -> Option<Delivery> {
    let last = Outgoing { priority: Some(LAST), ..again(app, &delivery) };
    if let Err(problem) = send_again(app, last).await {
        tracing::debug!(problem, "a command could not be sent to the end of its queue; executing it");
        return Some(delivery);
    }
    acknowledge(delivery).await;
    None
}

/// The same message once more. It has no priority, and what it waits for is up to the caller.
fn again(app: &App, delivery: &Delivery) -> Outgoing {
    let (exchange, routing_key) = address(delivery);
    Outgoing {
        id: app.new_id(),
        exchange,
        routing_key,
        kind: delivery.kind.clone().unwrap_or_default(),
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        headers: own_headers(app, delivery),
        body: delivery.body.clone(),
        due_at: None,
        reply_to: delivery.reply_to.clone(),
        correlation_id: delivery.correlation_id.clone(),
        priority: None,
    }
}

/// # Errors
/// Why it was not confirmed.
async fn send_again(app: &App, message: Outgoing) -> Result<(), String> {
    match app.broker.publish(vec![message]).await.map(|sent| sent.into_iter().next()) {
        Ok(Some(Sent::Confirmed)) => Ok(()),
        Ok(Some(Sent::Returned(reason))) => Err(reason),
        Ok(Some(Sent::Refused)) => Err("a queue refused it".into()),
        Ok(None) => Err("no answer".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a command to the outbox, to be published again after a pause, and acknowledges it: it is in the database before it leaves its
/// queue, and a relay publishes it again.
pub(super) async fn put_off(app: &App, delivery: Delivery, pause: Duration) {
    put_off_with(app, delivery, pause, None).await;
}

/// The same for a start that waits for its place among limited ones. `mark` says that it has it then.
pub(super) async fn put_off_with(app: &App, delivery: Delivery, pause: Duration, mark: Option<&str>) {
    let (exchange, routing_key) = address(&delivery);
    let kind = delivery.kind.clone().unwrap_or_default();
    let row = OutboxRow {
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        reply_to: delivery.reply_to.clone(),
        correlation_id: delivery.correlation_id.clone(),
        // PostgreSQL cannot store the others.
        headers: own_headers(app, &delivery)
            .into_iter()
            .filter(|(name, value)| !has_nul(name) && !has_nul(value))
            .chain(mark.map(|mark| (mark.to_owned(), "1".to_owned())))
            .collect(),
        ..OutboxRow::new(app.new_id(), exchange, routing_key.replace('\0', ""), kind, delivery.body.clone())
    }
    .with_claimable(Claimable::After(pause));
    let before: Vec<Uuid> = Door::outbox_row(&delivery, &app.config.broker.prefix).into_iter().collect();
    let written = async {
        Transaction::run(app.store.background().await?, async |transaction| {
            outbox::push(transaction, std::slice::from_ref(&row)).await?;
            // The new row takes the place of the one that it came from.
            outbox::delete(transaction, &before).await?;
            Ok::<_, Undo<(), store::Error>>(())
        })
        .await
    };
    match written.await {
        Ok(()) => {
            command::fail_point("worker::put_off");
            acknowledge(delivery).await;
        }
        Err(error) => return_later(app, delivery, Begun::Yes, "the outbox", &error.to_string()).await,
    }
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// Where a delivered command is published again.
fn address(delivery: &Delivery) -> (Exchange, String) {
    match &delivery.queue {
        // Sent again, it is one of all others.
        Queue::Commands | Queue::Urgent => (Exchange::Forwarded, delivery.routing_key.clone()),
        Queue::Steps(queue) => (Exchange::Steps, queue.clone()),
        Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => (Exchange::Dead, String::new()),
    }
}

/// The headers of a delivery without those of the broker. A command from outside keeps the door it came through.
fn own_headers(app: &App, delivery: &Delivery) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<_, _> =
        delivery.headers.clone().into_iter().filter(|(name, _)| !is_set_by_broker(name)).collect();
    match &delivery.queue {
        Queue::Commands | Queue::Urgent => {
            let prefix = &app.config.broker.prefix;
            let (row, has_place) = (Door::outbox_row(delivery, prefix), Door::has_place(delivery, prefix));
            headers
                .retain(|name, _| name == bounce::HEADER || (name == HAS_PLACE && has_place) || !name.starts_with(OWN));
            headers.extend(row.map(|row| (OUTBOX_ROW.into(), row.to_string())));
            Door::of(delivery, &app.config.broker.prefix).keep(headers)
        }
        Queue::Steps(_) | Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => headers,
    }
}

/// Returns a delivery that could not be sent on, once the broker is connected and after a pause, so that there is no hot loop.
async fn return_later(app: &App, delivery: Delivery, begun: Begun, to: &str, problem: &str) {
    tracing::debug!(problem, "a command could not be sent to {to}; returning it");
    sleep_or_stop(app, RETURN_AFTER).await;
    tokio::select! {
        () = app.broker.connected() => {}
        () = app.stop.cancelled() => {}
    }
    give_back(delivery, begun).await;
}

/// Whether the broker has set a header on the last way of a message. Published again, it would count for the next way.
fn is_set_by_broker(header: &str) -> bool {
    ["x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"]
        .iter()
        .any(|own| header.starts_with(own))
}

pub(super) async fn give_back(delivery: Delivery, begun: Begun) {
    let given_back = match begun {
        Begun::Yes => delivery.give_back().await,
        Begun::No => delivery.requeue().await,
    };
    if let Err(error) = given_back {
        tracing::debug!(%error, "the connection was lost, which returns the delivery");
    }
}

/// Why a delivery becomes a dead letter, and what is known of it.
pub(super) struct Undeliverable<'a> {
    pub(super) reason: &'a str,
    pub(super) origin: Option<&'a Origin>,
    pub(super) instance: Option<InstanceId>,
    /// Under which its crashes are counted.
    pub(super) suspect: Option<[u8; 32]>,
}

impl<'a> Undeliverable<'a> {
    /// Nothing is known but the reason.
    pub(super) fn because(reason: &'a str) -> Self {
        Self { reason, origin: None, instance: None, suspect: None }
    }
}

/// Stores a delivery as a dead letter with its reason, and acknowledges it. Waits for the database as long as necessary.
pub(super) async fn dead_letter(app: &App, delivery: Delivery, undeliverable: Undeliverable<'_>) {
    let Undeliverable { reason, mut origin, instance, suspect } = undeliverable;
    tracing::warn!(reason, queue = %delivery.queue.name(), kind = delivery.kind.as_deref(), "storing a message as a dead letter");
    loop {
        let undelivered = incoming::undelivered(&delivery, reason, instance, &app.config);
        match command::dead_letter(app, Undelivered { suspect, ..undelivered }, origin).await {
            Ok(()) => return acknowledge(delivery).await,
            // The answer cannot be written; the dead letter without an answer can.
            Err(Error::Store(store::Error::Bug(error))) if origin.is_some() => {
                tracing::error!(error, "the sender of a dead letter cannot be answered");
                origin = None;
            }
            Err(error) => {
                tracing::warn!(%error, "a dead letter could not be stored; retrying");
                if app.stop.is_cancelled() {
                    return give_back(delivery, Begun::No).await;
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
        if app.store.probe().await.is_ok_and(|probe| probe.access == Access::Writable) {
            return;
        }
    }
}
