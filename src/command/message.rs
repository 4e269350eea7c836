//! Messages: each is delivered to a wait or kept. Messages and waits take the same locks before they read, so that neither can miss
//! the other.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::committed::{Applied, Committed, Executed};
use super::execution::{Ended, Execution};
use super::once::{Answer, Origin};
use super::{Error, broadcast, effort, kept};
use crate::app::App;
use crate::contract;
use crate::engine::{Command, Decision, Facts, Instance, InstanceId, Internal, Message, Step};
use crate::store::bookmarks::Waiting;
use crate::store::instances::Loaded;
use crate::store::messages::NewMessage;
use crate::store::outbox::{self, OutboxRow};
use crate::store::{self, Transaction, Undo, bookmarks, inbox, instances, messages};

/// Waits of one page.
const PAGE: i64 = 100;
/// Pages of waits that one message is offered to, the oldest wait first, until a filter holds. They are read under the lock on its
/// name and key, for which other messages wait.
const OFFERS_MAX: i64 = 100;

/// What became of a message.
#[derive(Debug)]
pub enum Delivered {
    /// It was delivered to the oldest wait whose filter holds.
    To(Box<Committed>),
    /// No instance waits for it yet: it is kept for its time to live.
    Kept,
    /// A broadcast: this number of commands was written, one for each open wait.
    Broadcast(usize),
}

/// How the transaction of a message ended.
pub(super) enum HandledMessage {
    /// The same message was handled before.
    Before(Answer),
    /// A wait took it.
    Delivered(Ended),
    /// It is kept; these replies are published.
    Kept(Vec<OutboxRow>),
    /// A broadcast: this number of commands, with these rows.
    Broadcast(usize, Vec<OutboxRow>),
}

/// Delivers a message to the oldest wait whose filter holds, or keeps it; a broadcast is delivered to every wait.
///
/// # Errors
/// `Reused` if its id was used for another body.
pub async fn message(app: &App, command: contract::Message, origin: &Origin) -> Result<Applied<Delivered>, Error> {
    check_ttl(app, &command)?;
    let handled =
        Transaction::run(app.store.steps().await?, async |transaction| handle(app, transaction, command, origin).await)
            .await?;
    match handled {
        HandledMessage::Before(answer) => Ok(Applied::Repeated(answer)),
        HandledMessage::Delivered(ended) => match ended.publish(app) {
            Executed::Committed(committed) => Ok(Applied::New(Delivered::To(committed))),
            Executed::Conflict | Executed::Refused(_) => Err(busy()),
        },
        HandledMessage::Kept(rows) => {
            app.publish(rows);
            Ok(Applied::New(Delivered::Kept))
        }
        HandledMessage::Broadcast(receivers, rows) => {
            super::fail_point("step::after_commit");
            app.publish(rows);
            Ok(Applied::New(Delivered::Broadcast(receivers)))
        }
    }
}

fn check_ttl(app: &App, command: &contract::Message) -> Result<(), Error> {
    let (ttl, max) = (command.ttl.unwrap_or(0), app.config.messages.ttl_max);
    if Duration::from_secs(u64::from(ttl)) <= max {
        return Ok(());
    }
    let max = max.as_secs();
    let why = format!(
        "`ttl` is {ttl} seconds; at most {max} are allowed (`messages.ttl_max`): send the message later, or a shorter `ttl`"
    );
    Err(Error::Invalid { why, problems: Vec::new() })
}

async fn handle(
    app: &App,
    transaction: &mut Transaction,
    command: contract::Message,
    origin: &Origin,
) -> Result<HandledMessage, Undo<HandledMessage, Error>> {
    bookmarks::lock_correlation(transaction, &[(command.name.clone(), command.key.clone())]).await?;
    if let Some(known) = inbox::find(transaction, &origin.app_id, &origin.message_id).await? {
        return Err(Undo::Value(HandledMessage::Before(origin.repeated(known)?)));
    }
    if command.broadcast {
        return broadcast::write(app, transaction, &command, origin).await;
    }
    match find_receiver(app, transaction, &command).await? {
        Some(receiver) => deliver_to(app, transaction, receiver, origin).await,
        None => keep(app, transaction, command, origin).await,
    }
}

/// A wait that takes the message; its instance is locked.
struct Receiver {
    before: Instance,
    now: Timestamp,
    command: Command,
    step: Step,
}

async fn find_receiver(
    app: &App,
    transaction: &mut Transaction,
    message: &contract::Message,
) -> Result<Option<Receiver>, Error> {
    let mut last = Waiting::NOBODY;
    for _ in 0..OFFERS_MAX {
        let page = bookmarks::waiting(transaction, &message.name, &message.key, last, PAGE).await?;
        if let Some(receiver) = offer(app, transaction, &page, message).await? {
            return Ok(Some(receiver));
        }
        match page.last() {
            Some(seen) if page.len() as i64 == PAGE => last = *seen,
            Some(_) | None => break,
        }
    }
    Ok(None)
}

/// Offers the message to waits in turn, and locks the instance of the first that takes it.
async fn offer(
    app: &App,
    transaction: &mut Transaction,
    page: &[Waiting],
    message: &contract::Message,
) -> Result<Option<Receiver>, Error> {
    // Read without a lock first: if each candidate were locked in turn, two messages could deadlock.
    let ids: Vec<InstanceId> = page.iter().map(|waiting| waiting.instance).collect();
    let mut seen: HashMap<InstanceId, Loaded> = HashMap::new();
    for loaded in instances::find_each(transaction, &ids).await? {
        seen.insert(loaded.instance.id, loaded.movable()?);
    }
    for waiting in page {
        let Some(loaded) = seen.get(&waiting.instance) else { continue };
        let command = deliver_command(waiting.number, message);
        if decide(app, loaded, &command).await?.is_none() {
            // The filters of a page may each take some milliseconds.
            tokio::task::yield_now().await;
            continue;
        }
        let Some(locked) = instances::lock(transaction, waiting.instance).await? else { continue };
        app.clock.observe(locked.now);
        if let Some(step) = decide(app, &locked, &command).await? {
            return Ok(Some(Receiver { before: locked.instance, now: locked.now, command, step }));
        }
    }
    Ok(None)
}

pub(super) fn deliver_command(bookmark: i64, message: &contract::Message) -> Command {
    let (name, key, data) = (message.name.clone(), message.key.clone(), message.data.clone());
    Internal::Deliver { bookmark, message: Message { name, key, data, kept: None, sender: None } }.into()
}

pub(super) async fn decide(app: &App, loaded: &Loaded, command: &Command) -> Result<Option<Step>, Error> {
    let definition = app.definition(&loaded.instance.definition, loaded.instance.version).await?;
    match effort::decide(app, &definition, &loaded.instance, command, Facts::default(), loaded.now).await? {
        Decision::Commit(step) => Ok(Some(step)),
        Decision::Refuse(_) | Decision::Need(_) => Ok(None),
    }
}

async fn deliver_to(
    app: &App,
    transaction: &mut Transaction,
    receiver: Receiver,
    origin: &Origin,
) -> Result<HandledMessage, Undo<HandledMessage, Error>> {
    let Receiver { before, now, command, step } = receiver;
    let answer = Answer::of("delivered", Some(before.id));
    let execution = Execution::from_outside(app, command, origin, "message", answer);
    match execution.write(transaction, &before, step, now).await {
        Ok(ended) => Ok(HandledMessage::Delivered(ended)),
        // The correlation and the row are locked here, so only a repetition of this message can be in between.
        Err(Undo::Value(_)) => Err(Undo::Error(busy())),
        Err(Undo::Error(error)) => Err(Undo::Error(error)),
    }
}

async fn keep(
    app: &App,
    transaction: &mut Transaction,
    command: contract::Message,
    origin: &Origin,
) -> Result<HandledMessage, Undo<HandledMessage, Error>> {
    let answer = Answer::of("kept", None);
    if !inbox::insert(transaction, &origin.inbox("message", &answer)).await? {
        return Err(Undo::Error(busy()));
    }
    let limits = &app.config.messages;
    let time_to_live = command.ttl.map_or(limits.ttl, |seconds| Duration::from_secs(u64::from(seconds)));
    let message = NewMessage {
        name: command.name,
        key: command.key,
        data: command.data,
        app_id: Some(origin.app_id.clone()),
        message_id: Some(origin.message_id.clone()),
        user_id: origin.user_id.clone(),
        only: None,
    };
    if !kept::has_room(app, transaction, &origin.app_id).await? {
        return Err(Undo::Error(kept::sender_is_full(&origin.app_id, limits.per_sender_max)));
    }
    if messages::keep(transaction, &message, time_to_live, limits.per_key_max).await?.is_none() {
        return Err(Undo::Error(kept::key_is_full(&message, limits.per_key_max)));
    }
    let replies: Vec<_> = origin.reply(app, &answer).into_iter().collect();
    outbox::push(transaction, &replies).await?;
    Ok(HandledMessage::Kept(replies))
}

pub(super) fn busy() -> Error {
    store::Error::Busy("the message is being handled by another process".into()).into()
}
