//! One message for everybody who waits: one command for each wait, in the transaction that handles it, and never kept.

use super::correlate::Delivered;
use super::origin::{Answer, Origin};
use super::{Error, Moved, lock_and_write, step_command};
use crate::app::App;
use crate::contract;
use crate::engine::{Command, InstanceId, Message, Refusal, Status};
use crate::store::bookmarks::Waiting;
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, bookmarks, inbox, instances, messages, outbox};

/// Waits read, and commands written, at once.
const PAGE: i64 = 500;
/// Waits one broadcast reaches; for more, its sender is told to use narrower keys. All of them are one transaction.
const RECEIVERS_MAX: usize = 10_000;
/// Bytes all the commands of one broadcast have together, for they are held in memory and in the outbox.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Writes a command for every wait that is open now. The lock on the message's name and key is held.
pub(super) async fn spread(
    app: &App,
    mut transaction: Transaction,
    command: contract::Message,
    origin: &Origin,
) -> Result<Delivered, Error> {
    let rows = match copies(app, &mut transaction, &command).await {
        Ok(rows) => rows,
        Err(error) => {
            transaction.rollback().await;
            return Err(error);
        }
    };
    let answer = Answer { receivers: Some(rows.len()), ..Answer::of("broadcast", None) };
    if !inbox::insert(&mut transaction, &origin.inbox("message", &answer)).await? {
        transaction.rollback().await;
        return Err(store::Error::Busy("the message is being handled elsewhere".into()).into());
    }
    let replies: Vec<_> = origin.reply(app, &answer).into_iter().collect();
    for batch in rows.chunks(PAGE as usize).chain([replies.as_slice()]) {
        outbox::push(&mut transaction, batch).await?;
    }
    super::fail_point("step::before_commit");
    transaction.commit().await?;
    super::fail_point("step::after_commit");
    let receivers = rows.len();
    app.publish(rows);
    app.publish(replies);
    Ok(Delivered::Spread(receivers))
}

async fn copies(
    app: &App,
    transaction: &mut Transaction,
    command: &contract::Message,
) -> Result<Vec<OutboxRow>, Error> {
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, Waiting::NOBODY);
    loop {
        let page = bookmarks::waiting(transaction, (&command.name, &command.key), last, PAGE).await?;
        let ids: Vec<InstanceId> = page.iter().map(|waiting| waiting.instance).collect();
        let queues = instances::queues(transaction, &ids).await?;
        for waiting in &page {
            let Some(queue) = queues.get(&waiting.instance) else { continue };
            let body = contract::Deliver {
                instance: waiting.instance.0,
                bookmark: waiting.number,
                name: command.name.clone(),
                key: command.key.clone(),
                data: command.data.clone(),
            };
            let row = step_command(app, queue, "deliver", &body, None)?.with_instance(waiting.instance);
            bytes += row.body.len();
            rows.push(row);
            if rows.len() > RECEIVERS_MAX || bytes > BYTES_MAX {
                return Err(Error::Refused(format!(
                    "more than {RECEIVERS_MAX} waits, or {BYTES_MAX} bytes for all of them: spread the waits over several keys"
                )));
            }
        }
        match page.last() {
            Some(seen) if page.len() as i64 == PAGE => last = *seen,
            Some(_) | None => return Ok(rows),
        }
    }
}

/// Gives its copy of a broadcast to one wait. What is suspended is told when it goes on; what waits no more, or does not want
/// it, is not told.
pub async fn deliver(app: &App, copy: &contract::Deliver) -> Result<Moved, Error> {
    let id = InstanceId(copy.instance);
    let message = Message { name: copy.name.clone(), key: copy.key.clone(), data: copy.data.clone(), kept: None };
    let command = Command::Deliver { bookmark: copy.bookmark, message: message.clone() };
    match lock_and_write(app, id, command).await {
        Err(Error::NotFound(_)) => Ok(Moved::Refused(Refusal::Gone(copy.bookmark))),
        Ok(Moved::Refused(Refusal::Suspended)) => keep_for(app, (id, copy.bookmark), &message).await,
        other => other,
    }
}

/// Keeps a copy for an instance that is suspended, and for nobody else.
async fn keep_for(app: &App, (id, bookmark): (InstanceId, i64), message: &Message) -> Result<Moved, Error> {
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    bookmarks::lock_correlation(&mut transaction, &[(message.name.clone(), message.key.clone())]).await?;
    // Whoever lets it go on takes that lock first: suspended still, it will look for this message.
    let found = instances::find(&mut transaction, id).await?;
    if found.is_none_or(|loaded| loaded.instance.status != Status::Suspended) {
        transaction.rollback().await;
        return Ok(Moved::Elsewhere);
    }
    messages::keep_for(&mut transaction, (id, bookmark), message, app.config.messages.ttl).await?;
    transaction.commit().await?;
    Ok(Moved::Refused(Refusal::Suspended))
}
