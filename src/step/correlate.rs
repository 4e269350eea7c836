//! Messages meet waits: both sides take the same locks first and read afterwards, so that neither can miss the other.

use std::collections::HashMap;

use super::origin::{Answer, Origin};
use super::{Error, Follow, Moved, Position, broadcast, write_guarded};
use crate::app::App;
use crate::contract;
use crate::engine::{self, Command, Effect, Facts, Instance, InstanceId, Message, Missed, Step};
use crate::store::bookmarks::Waiting;
use crate::store::instances::Loaded;
use crate::store::messages::NewMessage;
use crate::store::{Transaction, bookmarks, inbox, instances, messages, outbox};

/// Waits or kept messages read at once.
const PAGE: i64 = 100;
/// Pages of waits one message is offered to, the one that has waited longest first, until a filter lets it in: they are looked at
/// under the lock on its name and key, for which others wait.
const OFFERS_MAX: i64 = 100;
/// Pages of kept messages one opening wait looks at, the oldest first: likewise.
const LOOKS_MAX: i64 = 100;
/// Messages that are looked at when an instance goes on that was suspended: more than one wait each would be a flood.
const MISSED_MAX: i64 = 1_000;

/// How a message ended.
#[derive(Debug)]
pub enum Delivered {
    /// It moved the instance that had waited longest.
    To(Box<Position>),
    /// Nobody waits for it yet: it is kept for its time to live.
    Kept,
    /// It was sent to so many waits.
    Spread(usize),
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
    let mut seen = 0;
    for look in 1..=LOOKS_MAX {
        let messages = messages::kept(&mut transaction, wanted, seen, PAGE).await?;
        let newest = messages.last().and_then(|last| last.kept).filter(|_| messages.len() as i64 == PAGE);
        let facts = Facts { messages, ..Facts::default() };
        match engine::step(&definition, instance, command.clone(), facts, &app.context(at.now)) {
            // None of these fits, and there are more.
            Ok(step) if newest.is_some() && look < LOOKS_MAX && !takes(&step) => seen = newest.unwrap_or(seen),
            Ok(step) => return write_guarded(app, transaction, (instance, step, at.now), None, follow).await,
            Err(refusal) => {
                transaction.rollback().await;
                return Ok(Moved::Refused(refusal));
            }
        }
    }
    transaction.rollback().await;
    Ok(Moved::Elsewhere)
}

fn takes(step: &Step) -> bool {
    step.effects.iter().any(|effect| matches!(effect, Effect::TakeMessage(_)))
}

/// What came for an instance while it was suspended. Its row is locked.
pub(super) async fn missed(transaction: &mut Transaction, id: InstanceId) -> Result<Vec<Missed>, Error> {
    // Held already, but if it moved and was suspended once more since they were taken.
    let awaited = bookmarks::awaited(transaction, id).await?;
    bookmarks::lock_correlation(transaction, &awaited).await?;
    Ok(messages::missed(transaction, id, MISSED_MAX).await?)
}

/// Gives a message to the branch that has waited longest for it, or keeps it; or gives it to everybody who waits.
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
    if command.broadcast {
        return broadcast::spread(app, transaction, command, origin).await;
    }
    let mut last = Waiting::NOBODY;
    for _ in 0..OFFERS_MAX {
        let page = bookmarks::waiting(&mut transaction, &command.name, &command.key, last, PAGE).await?;
        if let Some((id, decision)) = offer(app, &mut transaction, &page, &command).await? {
            return give(app, transaction, id, decision, origin).await;
        }
        match page.last() {
            Some(seen) if page.len() as i64 == PAGE => last = *seen,
            Some(_) | None => break,
        }
    }
    keep(app, transaction, command, origin).await
}

type Decision = (Instance, Step, jiff::Timestamp);

/// Writes what a message moves.
async fn give(
    app: &App,
    transaction: Transaction,
    id: InstanceId,
    (before, step, now): Decision,
    origin: &Origin,
) -> Result<Delivered, Error> {
    let answer = Answer::of("delivered", Some(id));
    let inbox = origin.inbox("message", &answer);
    let outside = Some((inbox, origin, &answer));
    match write_guarded(app, transaction, (&before, step, now), outside, origin.follow).await? {
        Moved::To(position) => Ok(Delivered::To(position)),
        // The correlation lock is held by us, the row lock too: only a repetition of this message can be in between.
        Moved::Elsewhere | Moved::Refused(_) => {
            Err(crate::store::Error::Busy("the message is being handled elsewhere".into()).into())
        }
    }
}

/// Asks waiting instances in turn whether the message is for them; locks the first one that says so.
async fn offer(
    app: &App,
    transaction: &mut Transaction,
    page: &[Waiting],
    message: &contract::Message,
) -> Result<Option<(InstanceId, Decision)>, Error> {
    // Read without a lock first: candidates whose filter refuses must not be locked one after another (deadlocks).
    let ids: Vec<InstanceId> = page.iter().map(|waiting| waiting.instance).collect();
    let mut seen: HashMap<InstanceId, Loaded> = HashMap::new();
    for loaded in instances::find_each(transaction, &ids).await? {
        seen.insert(loaded.instance.id, loaded.movable()?);
    }
    for waiting in page {
        let Some(loaded) = seen.get(&waiting.instance) else { continue };
        if decide(app, loaded, waiting.number, message).await?.is_none() {
            continue;
        }
        let Some(locked) = instances::lock(transaction, waiting.instance).await? else { continue };
        app.clock.observe(locked.now);
        if let Some(step) = decide(app, &locked, waiting.number, message).await? {
            return Ok(Some((waiting.instance, (locked.instance, step, locked.now))));
        }
    }
    Ok(None)
}

async fn decide(app: &App, loaded: &Loaded, bookmark: i64, message: &contract::Message) -> Result<Option<Step>, Error> {
    let definition = app.definition(&loaded.instance.definition, loaded.instance.version).await?;
    let (name, key, data) = (message.name.clone(), message.key.clone(), message.data.clone());
    let command = Command::Deliver { bookmark, message: Message { name, key, data, kept: None } };
    Ok(engine::step(&definition, &loaded.instance, command, Facts::default(), &app.context(loaded.now)).ok())
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
        only: None,
    };
    messages::keep(&mut transaction, &message, time_to_live).await?;
    let replies: Vec<_> = origin.reply(app, &answer).into_iter().collect();
    outbox::push(&mut transaction, &replies).await?;
    transaction.commit().await?;
    app.publish(replies);
    Ok(Delivered::Kept)
}
