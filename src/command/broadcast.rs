//! Broadcasts: one command for each open wait, written in one transaction. A broadcast is never kept.

use super::Error;
use super::committed::{Executed, Follow};
use super::execution::Execution;
use super::message::{self, HandledMessage};
use super::once::{Answer, Origin};
use super::publish::step_command;
use crate::app::App;
use crate::contract;
use crate::engine::{InstanceId, Internal, Message, Refusal, Sender, Status};
use crate::store::bookmarks::Waiting;
use crate::store::outbox::OutboxRow;
use crate::store::{Transaction, Undo, bookmarks, inbox, instances, messages, outbox};

/// Waits that are read, and commands that are written, in one statement.
const PAGE: i64 = 500;
/// The most waits of one broadcast, because all commands are written in one transaction.
const RECEIVERS_MAX: usize = 10_000;
/// The most bytes of all commands of one broadcast, which are held in memory and in the outbox.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Writes a command for every wait that is open now. The lock on the message's name and key is held.
pub(super) async fn write(
    app: &App,
    transaction: &mut Transaction,
    command: &contract::Message,
    origin: &Origin,
) -> Result<HandledMessage, Undo<HandledMessage, Error>> {
    let mut rows = copies(app, transaction, command, origin).await?;
    let receivers = rows.len();
    let answer = Answer { receivers: Some(receivers), ..Answer::of("broadcast", None) };
    if !inbox::insert(transaction, &origin.inbox("message", &answer)).await? {
        return Err(Undo::Error(message::busy()));
    }
    rows.extend(origin.reply(app, &answer));
    for batch in rows.chunks(PAGE as usize) {
        outbox::push(transaction, batch).await?;
    }
    super::fail_point("step::before_commit");
    Ok(HandledMessage::Broadcast(receivers, rows))
}

async fn copies(
    app: &App,
    transaction: &mut Transaction,
    command: &contract::Message,
    origin: &Origin,
) -> Result<Vec<OutboxRow>, Error> {
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, Waiting::NOBODY);
    loop {
        let page = bookmarks::waiting(transaction, &command.name, &command.key, last, PAGE).await?;
        let ids: Vec<InstanceId> = page.iter().map(|waiting| waiting.instance).collect();
        let step_queues = instances::step_queues(transaction, &ids).await?;
        for waiting in &page {
            let Some(step_queue) = step_queues.get(&waiting.instance) else { continue };
            let body = contract::Deliver {
                instance: waiting.instance.0,
                bookmark: waiting.number,
                name: command.name.clone(),
                key: command.key.clone(),
                data: command.data.clone(),
                sender: Some(origin.app_id.clone()),
                user_id: origin.user_id.clone(),
            };
            let row = step_command(app, step_queue, "deliver", &body, None)?.with_instance(waiting.instance);
            bytes += row.body.len();
            rows.push(row);
            if rows.len() > RECEIVERS_MAX || bytes > BYTES_MAX {
                return Err(Error::Refused(format!(
                    "the broadcast has more than {RECEIVERS_MAX} waits, or more than {BYTES_MAX} bytes for all of them: use several keys"
                )));
            }
        }
        match page.last() {
            Some(seen) if page.len() as i64 == PAGE => last = *seen,
            Some(_) | None => return Ok(rows),
        }
    }
}

/// Delivers a copy of a broadcast to one wait. A suspended instance gets it when it continues; a closed wait, or one whose filter
/// does not hold, does not get it.
pub async fn deliver(app: &App, copy: &contract::Deliver) -> Result<Executed, Error> {
    let id = InstanceId(copy.instance);
    let sender = copy.sender.clone().map(|app_id| Sender { app_id, user_id: copy.user_id.clone() });
    let (name, key, data) = (copy.name.clone(), copy.key.clone(), copy.data.clone());
    let message = Message { name, key, data, kept: None, sender };
    let command = Internal::Deliver { bookmark: copy.bookmark, message: message.clone() };
    match Execution::internal(app, command, Follow::IfNeeded).locked(id).await {
        Err(Error::NotFound(_)) => Ok(Executed::Refused(Refusal::Closed(copy.bookmark))),
        Ok(Executed::Refused(Refusal::Suspended)) => keep_for(app, id, copy.bookmark, &message).await,
        other => other,
    }
}

/// Keeps a copy for one suspended instance only.
async fn keep_for(app: &App, id: InstanceId, bookmark: i64, message: &Message) -> Result<Executed, Error> {
    Transaction::run(app.store.steps().await?, async |transaction| {
        bookmarks::lock_correlation(transaction, &[(message.name.clone(), message.key.clone())]).await?;
        // `resume` takes that lock first: if the instance is still suspended, `resume` will read this message.
        let found = instances::find(transaction, id).await?;
        if found.is_none_or(|loaded| loaded.instance.status != Status::Suspended) {
            return Err(Undo::Value(Executed::Conflict));
        }
        messages::keep_for(transaction, id, bookmark, message, app.config.messages.ttl).await?;
        Ok(Executed::Refused(Refusal::Suspended))
    })
    .await
}
