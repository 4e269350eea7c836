//! Calls between two steps: handed out, heard of, and settled. An outcome moves its instance in the transaction that closes the
//! call; while the instance is suspended it is kept, and replayed when the instance goes on.

mod overdue;
mod proof;
mod send;

use serde_json::Value;

use super::origin::{self, Answer, Origin};
use super::{Decided, Error, Moved, Outside, Position, control, decide, fail_point, write_locked};
use crate::app::App;
use crate::contract::CallError;
use crate::definition::Definition;
use crate::engine::{
    self, CallId, CallOutcome, Command, Context, Facts, Failure, InstanceId, Need, Refusal, Resolution, Step,
};
use crate::store::calls::{self, Place};
use crate::store::outbox::OutboxRow;
use crate::store::{Transaction, bookmarks, inbox, instances, outbox};
use crate::telemetry;

pub use overdue::expire;
use proof::{place, with_place};
pub(super) use send::opened;
pub use send::{AtOnce, Begin, Token, begin, send_to_external_worker};

/// How often a worker may tell of its progress in one attempt: each time is a row of the history.
const PROGRESS_MAX: i64 = 1_000;

/// The state of a call whose lost attempt a person has to find out about.
const UNKNOWN: &str = "unknown";

/// What became of something that was said about a call.
#[derive(Debug)]
pub enum Told {
    /// Its instance has moved.
    To(Box<Position>),
    /// It is kept until the instance goes on.
    Kept(InstanceId),
    /// Nobody knew any more what had become of the call: it is kept for the person who has to find out.
    Noted(InstanceId),
    /// The same command was handled before.
    Known(Answer),
}

/// Which attempt at which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The call.
    pub id: CallId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// The number it was handed out under.
    pub dispatch: u32,
}

/// Goes on with the outcome of an attempt that was made here, or that was given up.
///
/// # Errors
/// As for any statement; nothing was recorded then.
pub async fn complete_attempt(app: &App, attempt: Attempt, outcome: CallOutcome) -> Result<Moved, Error> {
    let Attempt { id, instance, bookmark, dispatch } = attempt;
    let (transaction, loaded) = Transaction::begin_locked(app.store.steps().await?, instance).await?;
    let command = Command::CompleteCall { bookmark, dispatch, outcome: outcome.clone() };
    match decide(app, transaction, (instance, loaded), command, None).await {
        Ok(Decided::Moved(moved)) => Ok(moved),
        Ok(Decided::Refused(mut transaction, refusal)) => {
            let kept = match refusal {
                Refusal::Suspended => calls::record(&mut transaction, id, dispatch, &outcome).await,
                _ => calls::note_late(&mut transaction, id, dispatch, &outcome).await,
            };
            match kept {
                Ok(_) => transaction.commit().await?,
                Err(error) => return Err(error.into()),
            }
            Ok(Moved::Refused(refusal))
        }
        // The instance was deleted since.
        Err(Error::NotFound(_)) => Ok(Moved::Refused(Refusal::Gone(bookmark))),
        Err(error) => Err(error),
    }
}

/// Takes the steps that an outcome leads to and that need nothing but the instance in the same transaction: of several calls in
/// a row, each is opened by the commit that closes the one before.
pub(super) fn go_on(app: &App, definition: &Definition, mut step: Step, context: &Context<'_>) -> Step {
    for _ in 1..app.config.worker.steps_per_delivery_max {
        let Some(branch) = step.instance.ready_branch() else { break };
        let command = Command::Continue { branch: branch.id, sequence: branch.sequence };
        if engine::needs(definition, &step.instance, &command, context) != Need::Nothing {
            break;
        }
        let Ok(next) = engine::step(definition, &step.instance, command, Facts::default(), context) else { break };
        telemetry::count_step_within(next.kind);
        step.effects.extend(next.effects);
        step.instance = next.instance;
    }
    step
}

/// Completes a call with the token of its attempt: a worker's reply, or a callback.
///
/// # Errors
/// `NotFound` if there is no such call, `Refused` if the token proves nothing (any more).
pub async fn complete(
    app: &App,
    id: CallId,
    (token, outcome): (&str, CallOutcome),
    origin: &Origin,
) -> Result<Told, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Told::Known(answer));
    }
    let (mut transaction, place) = match with_place(app, id, token).await? {
        Ok(found) => found,
        Err(error) => return origin::meanwhile(app, origin, error).await.map(Told::Known),
    };
    if place.state == UNKNOWN {
        return note(app, transaction, (id, place), outcome, origin).await;
    }
    let (instance, dispatch) = (place.instance, place.dispatch);
    let answer = Answer { call: Some(id), ..Answer::of("completed", Some(instance)) };
    let command = Command::CompleteCall { bookmark: place.bookmark, dispatch, outcome: outcome.clone() };
    let inbox = origin.inbox("call.complete", &answer);
    let loaded = instances::lock(&mut *transaction, instance).await?;
    match decide(app, transaction, (instance, loaded), command, Some((inbox, origin, &answer))).await? {
        Decided::Moved(moved) => told(app, moved, origin).await,
        Decided::Refused(transaction, Refusal::Suspended) => {
            keep(app, *transaction, (id, place), outcome, origin).await
        }
        refused @ Decided::Refused(..) => told(app, refused.end().await, origin).await,
    }
}

/// Keeps an outcome until its instance goes on, and tells its sender so.
async fn keep(
    app: &App,
    mut transaction: Transaction,
    (id, place): (CallId, Place),
    outcome: CallOutcome,
    origin: &Origin,
) -> Result<Told, Error> {
    let answer = Answer { call: Some(id), ..Answer::of("kept", Some(place.instance)) };
    let is_new = inbox::insert(&mut transaction, &origin.inbox("call.complete", &answer)).await?;
    let kept = is_new && calls::record(&mut transaction, id, place.dispatch, &outcome).await?;
    put_down(app, transaction, kept, (origin, &answer), Told::Kept(place.instance)).await
}

/// Keeps an outcome for the person who has to find it out, and tells its sender so.
async fn note(
    app: &App,
    mut transaction: Transaction,
    (id, place): (CallId, Place),
    outcome: CallOutcome,
    origin: &Origin,
) -> Result<Told, Error> {
    let reason = Some("the attempt was given up, and a person has to find out what became of it: this is kept".into());
    let answer = Answer { call: Some(id), reason, ..Answer::of("noted", Some(place.instance)) };
    let is_new = inbox::insert(&mut transaction, &origin.inbox("call.complete", &answer)).await?;
    // It was given a number of its own when it was given up.
    let lost = place.dispatch.saturating_sub(1);
    let kept = is_new && calls::note_late(&mut transaction, id, lost, &outcome).await?;
    put_down(app, transaction, kept, (origin, &answer), Told::Noted(place.instance)).await
}

/// Commits what was kept, with the answer to its sender; if nothing was, the call has moved since it was looked at.
async fn put_down(
    app: &App,
    mut transaction: Transaction,
    kept: bool,
    (origin, answer): (&Origin, &Answer),
    told: Told,
) -> Result<Told, Error> {
    if !kept {
        transaction.rollback().await;
        let late = Error::Refused("the attempt is no longer under way".into());
        return origin::meanwhile(app, origin, late).await.map(Told::Known);
    }
    let replies: Vec<OutboxRow> = origin.reply(app, answer).into_iter().collect();
    outbox::push(&mut transaction, &replies).await?;
    fail_point("step::before_commit");
    transaction.commit().await?;
    fail_point("step::after_commit");
    app.publish(replies);
    Ok(told)
}

/// Writes down that a worker lives.
///
/// # Errors
/// As for [`complete`].
pub async fn beat(app: &App, id: CallId, token: &str) -> Result<(), Error> {
    let mut conn = app.store.background().await?;
    let place = place(&mut conn, id, token).await?;
    match calls::beat(&mut conn, id, place.dispatch).await? {
        true => Ok(()),
        false => Err(Error::Late("the attempt is no longer under way".into())),
    }
}

/// Writes down how far a worker is.
///
/// # Errors
/// As for [`complete`].
pub async fn progress(app: &App, id: CallId, (token, progress): (&str, Value), origin: &Origin) -> Result<Told, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Told::Known(answer));
    }
    let (mut transaction, place) = match with_place(app, id, token).await? {
        Ok(found) => found,
        Err(error) => return origin::meanwhile(app, origin, error).await.map(Told::Known),
    };
    // Its instance's row comes first in the order of locks.
    let loaded = instances::lock(&mut *transaction, place.instance).await?;
    if !calls::tell_progress(&mut transaction, id, place.dispatch, &progress, PROGRESS_MAX).await? {
        let now = calls::find(&mut transaction, id).await?;
        transaction.rollback().await;
        let why = match now.is_some_and(|now| now.state == "running" && now.dispatch == place.dispatch) {
            true => Error::Refused(format!("the attempt has told of its progress {PROGRESS_MAX} times")),
            false => Error::Late("the attempt is no longer under way".into()),
        };
        return origin::meanwhile(app, origin, why).await.map(Told::Known);
    }
    let answer = Answer { call: Some(id), ..Answer::of("noted", Some(place.instance)) };
    let command = Command::Progress { bookmark: place.bookmark, dispatch: place.dispatch, progress };
    let inbox = origin.inbox("call.progress", &answer);
    let outside: Outside<'_> = Some((inbox, origin, &answer));
    let moved = decide(app, transaction, (place.instance, loaded), command, outside).await?.end().await;
    told(app, moved, origin).await
}

/// Goes on with what a person found out about a call.
///
/// # Errors
/// `NotFound` if there is no such call, `Refused` with the engine's reason.
pub async fn resolve(
    app: &App,
    id: CallId,
    resolution: Resolution,
    reason: Option<String>,
    origin: &Origin,
) -> Result<Told, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Told::Known(answer));
    }
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let Some(place) = calls::find(&mut transaction, id).await? else {
        transaction.rollback().await;
        return Err(Error::NotFound(format!("there is no call {id}")));
    };
    // Before its row: messages lock in this order too.
    let awaited = bookmarks::awaited(&mut transaction, place.instance).await?;
    bookmarks::lock_correlation(&mut transaction, &awaited).await?;
    let by = Some(origin.app_id.clone());
    let command = Command::Resolve { bookmark: place.bookmark, resolution, by, reason };
    debug_assert!(control::looks_back(&command), "what was missed is replayed");
    let answer = Answer { call: Some(id), ..Answer::of("resolved", Some(place.instance)) };
    let inbox = origin.inbox("call.resolve", &answer);
    let outside: Outside<'_> = Some((inbox, origin, &answer));
    let moved = write_locked(app, transaction, place.instance, command, outside).await?;
    match moved {
        Moved::Refused(Refusal::Gone(_)) => {
            let ended = Error::Refused(format!("the call has ended as {}", place.state));
            origin::meanwhile(app, origin, ended).await.map(Told::Known)
        }
        moved => told(app, moved, origin).await,
    }
}

async fn told(app: &App, moved: Moved, origin: &Origin) -> Result<Told, Error> {
    let refused = |refusal: Refusal| Error::Refused(refusal.to_string());
    let known = origin::moved(app, origin, moved, (refused, "the instance is being moved elsewhere")).await?;
    Ok(known.map_or_else(Told::Known, Told::To))
}

/// The outcome a worker or a callback tells of.
pub fn outcome(result: Value, error: Option<CallError>) -> Result<CallOutcome, String> {
    if error.is_some() && !result.is_null() {
        return Err("it has a `result` and an `error`: which of them is it?".into());
    }
    match error {
        None => Ok(CallOutcome::Done { result }),
        Some(CallError { code, message, data }) => {
            if !crate::definition::codes::is_code(&code) {
                return Err(format!(
                    "`{}` is no error code: dotted words of letters, digits, `_` and `-`",
                    shorten(&code)
                ));
            }
            let message = if message.is_empty() { format!("the worker failed with {code}") } else { message };
            Ok(CallOutcome::Failed { failure: Failure { code: format!("worker.{code}"), message, data } })
        }
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}
