//! Messages meet waits: both sides take the same locks first and read afterwards, so that neither can miss the other.

use super::origin::{Answer, Origin};
use super::{Error, Follow, Moved, Position, write_guarded};
use crate::app::App;
use crate::contract;
use crate::engine::{self, Command, Facts, Instance, InstanceId, Message};
use crate::store::messages::NewMessage;
use crate::store::{Transaction, bookmarks, inbox, instances, messages, outbox};

/// Waits one message is offered to, oldest first; the filters of all of them may refuse it.
const CANDIDATES_MAX: i64 = 100;
/// Kept messages one opening wait looks at, oldest first.
const KEPT_MAX: i64 = 100;

/// How a message ended.
#[derive(Debug)]
pub enum Delivered {
    /// It moved the instance that had waited longest.
    To(Box<Position>),
    /// Nobody waits for it yet: it is kept for its time to live.
    Kept,
    /// The same message was handled before.
    Known(Answer),
}

/// Opens the waits of a `receive`, or takes the oldest kept message that fits.
pub(super) async fn receive(
    app: &App,
    at: &Position,
    command: Command,
    wanted: &[(String, String)],
    follow: Follow,
) -> Result<Moved, Error> {
    let instance: &Instance = &at.instance;
    let definition = app.definition(&instance.definition, instance.version).await?;
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    bookmarks::lock_correlation(&mut transaction, wanted).await?;
    let messages = messages::kept(&mut transaction, wanted, KEPT_MAX).await?;
    let facts = Facts { messages, ..Facts::default() };
    match engine::step(&definition, instance, command, facts, &app.context(at.now)) {
        Ok(step) => write_guarded(app, transaction, (instance, step, at.now), None, follow).await,
        Err(refusal) => {
            transaction.rollback().await;
            Ok(Moved::Refused(refusal))
        }
    }
}

/// Gives a message to the branch that has waited longest for it, or keeps it.
///
/// # Errors
/// `Reused` if its id was used for another body.
pub async fn message(app: &App, command: contract::Message, origin: &Origin) -> Result<Delivered, Error> {
    let pair = [(command.name.clone(), command.key.clone())];
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    bookmarks::lock_correlation(&mut transaction, &pair).await?;
    if let Some(known) = inbox::find(&mut transaction, &origin.app_id, &origin.message_id).await? {
        transaction.rollback().await;
        return origin.again(known).map(Delivered::Known);
    }
    let waiting = bookmarks::waiting(&mut transaction, &command.name, &command.key, CANDIDATES_MAX).await?;
    for (id, bookmark) in waiting {
        let message =
            Message { name: command.name.clone(), key: command.key.clone(), data: command.data.clone(), kept: None };
        let Some(found) = offer(app, &mut transaction, id, Command::Deliver { bookmark, message }).await? else {
            continue;
        };
        let answer = Answer::of("delivered", Some(id));
        let (before, step, now) = found;
        let inbox = origin.inbox("message", &answer);
        let moved =
            write_guarded(app, transaction, (&before, step, now), Some((inbox, origin, &answer)), origin.follow);
        return match moved.await? {
            Moved::To(position) => Ok(Delivered::To(position)),
            // The correlation lock is held by us, the row lock too: only a repetition of this message can be in between.
            Moved::Elsewhere | Moved::Refused(_) => {
                Err(crate::store::Error::Busy("the message is being handled elsewhere".into()).into())
            }
        };
    }
    keep(app, transaction, command, origin).await
}

type Decision = (Instance, engine::Step, jiff::Timestamp);

/// Asks one waiting instance whether the message is for it; locks it only if it is.
async fn offer(
    app: &App,
    transaction: &mut Transaction,
    id: InstanceId,
    command: Command,
) -> Result<Option<Decision>, Error> {
    // Read without a lock first: candidates whose filter refuses must not be locked one after another (deadlocks).
    let Some(seen) = instances::find(transaction, id).await? else { return Ok(None) };
    let seen = seen.movable()?;
    let definition = app.definition(&seen.instance.definition, seen.instance.version).await?;
    if engine::step(&definition, &seen.instance, command.clone(), Facts::default(), &app.context(seen.now)).is_err() {
        return Ok(None);
    }
    let Some(locked) = instances::lock(transaction, id).await? else { return Ok(None) };
    app.clock.observe(locked.now);
    let context = app.context(locked.now);
    match engine::step(&definition, &locked.instance, command, Facts::default(), &context) {
        Ok(step) => Ok(Some((locked.instance, step, locked.now))),
        Err(_) => Ok(None),
    }
}

async fn keep(
    app: &App,
    mut transaction: Transaction,
    command: contract::Message,
    origin: &Origin,
) -> Result<Delivered, Error> {
    let answer = Answer::of("kept", None);
    if !inbox::insert(&mut transaction, &origin.inbox("message", &answer)).await? {
        transaction.rollback().await;
        return Err(crate::store::Error::Busy("the message is being handled elsewhere".into()).into());
    }
    let time_to_live =
        command.ttl.map_or(app.config.messages.ttl, |seconds| std::time::Duration::from_secs(u64::from(seconds)));
    let message = NewMessage {
        name: command.name,
        key: command.key,
        data: command.data,
        app_id: Some(origin.app_id.clone()),
        message_id: Some(origin.message_id.clone()),
    };
    messages::keep(&mut transaction, &message, time_to_live).await?;
    let replies: Vec<_> = origin.reply(app, &answer).into_iter().collect();
    outbox::push(&mut transaction, &replies).await?;
    transaction.commit().await?;
    app.hand_over(replies);
    Ok(Delivered::Kept)
}
