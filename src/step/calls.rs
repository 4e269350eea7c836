//! Calls between two steps: handed out, heard of, and settled. An outcome moves its instance in the transaction that closes the
//! call; while the instance is suspended it is kept, and replayed when the instance goes on.

mod send;

use serde_json::Value;

use super::origin::{self, Answer, Origin};
use super::{Decided, Error, Moved, Outside, Position, decide, fail_point, steer, write_locked};
use crate::app::App;
use crate::contract::CallError;
use crate::definition::Definition;
use crate::engine::{
    self, CallId, CallKind, CallOutcome, Command, Context, Facts, Failure, InstanceId, Need, Refusal, Resolution, Step,
};
use crate::store::calls::{self, Overdue, Place};
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, bookmarks, inbox, instances, outbox};
use crate::telemetry;

pub(super) use send::opened;
pub use send::{AtOnce, Begin, Token, begin, hand_to_worker};

/// How often a worker may tell of its progress in one attempt: each time is a row of the history.
const PROGRESS_MAX: i64 = 1_000;

/// What became of something that was said about a call.
#[derive(Debug)]
pub enum Told {
    /// Its instance has moved.
    To(Box<Position>),
    /// It is kept until the instance goes on.
    Kept(InstanceId),
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
    pub run: u32,
}

/// Goes on with the outcome of an attempt that was made here, or that was given up.
///
/// # Errors
/// As for any statement; nothing was recorded then.
pub async fn settle(app: &App, attempt: Attempt, outcome: CallOutcome) -> Result<Moved, Error> {
    let Attempt { id, instance, bookmark, run } = attempt;
    let (transaction, loaded) = Transaction::begin_locked(app.store.steps().await?, instance).await?;
    let command = Command::Settle { bookmark, run, outcome: outcome.clone() };
    match decide(app, transaction, (instance, loaded), command, None).await {
        Ok(Decided::Moved(moved)) => Ok(moved),
        Ok(Decided::Refused(mut transaction, refusal)) => {
            let kept = match refusal {
                Refusal::Suspended => calls::record(&mut transaction, id, run, &outcome).await,
                _ => calls::note_late(&mut transaction, id, run, &outcome).await.map(|()| false),
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
    for _ in 1..app.config.worker.stride_max {
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

/// Gives up an attempt of which nothing was heard in time.
///
/// # Errors
/// As for any statement.
pub async fn expire(app: &App, overdue: Overdue) -> Result<Moved, Error> {
    let Overdue { id, instance, bookmark, run, kind, expired } = overdue;
    let failure = match (kind, expired) {
        (CallKind::Work, false) => Failure::new("worker.unavailable", "the worker missed a heartbeat"),
        (CallKind::Work, true) => Failure::new("timeout", "the worker did not answer in time"),
        (CallKind::Http, _) => {
            Failure::new("timeout", "nothing was heard of the attempt in time; whoever made it may have died over it")
        }
    };
    settle(app, Attempt { id, instance, bookmark, run }, CallOutcome::Unknown { failure }).await
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
    let (instance, run) = (place.instance, place.run);
    let answer = Answer { call: Some(id), ..Answer::of("settled", Some(instance)) };
    let command = Command::Settle { bookmark: place.bookmark, run, outcome: outcome.clone() };
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
    if !is_new || !calls::record(&mut transaction, id, place.run, &outcome).await? {
        transaction.rollback().await;
        let late = Error::Refused("the attempt is no longer under way".into());
        return origin::meanwhile(app, origin, late).await.map(Told::Known);
    }
    let replies: Vec<OutboxRow> = origin.reply(app, &answer).into_iter().collect();
    outbox::push(&mut transaction, &replies).await?;
    fail_point("step::before_commit");
    transaction.commit().await?;
    fail_point("step::after_commit");
    app.hand_over(replies);
    Ok(Told::Kept(place.instance))
}

/// Writes down that a worker lives.
///
/// # Errors
/// As for [`complete`].
pub async fn beat(app: &App, id: CallId, token: &str) -> Result<(), Error> {
    let mut conn = app.store.duties().await?;
    let place = place(&mut conn, id, token).await?;
    match calls::beat(&mut conn, id, place.run).await? {
        true => Ok(()),
        false => Err(Error::Refused("the attempt is no longer under way".into())),
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
    if !calls::tell_progress(&mut transaction, (id, place.run), &progress, PROGRESS_MAX).await? {
        transaction.rollback().await;
        let why = format!("the attempt is no longer under way, or has told of its progress {PROGRESS_MAX} times");
        return origin::meanwhile(app, origin, Error::Refused(why)).await.map(Told::Known);
    }
    let answer = Answer { call: Some(id), ..Answer::of("noted", Some(place.instance)) };
    let command = Command::Progress { bookmark: place.bookmark, run: place.run, progress };
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
    debug_assert!(steer::looks_back(&command), "what was missed is replayed");
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

/// A transaction, and in it where a call stands; or why the token proves nothing.
async fn with_place(app: &App, id: CallId, token: &str) -> Result<Result<(Transaction, Place), Error>, Error> {
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    match place(&mut transaction, id, token).await {
        Ok(place) => Ok(Ok((transaction, place))),
        Err(error) => {
            transaction.rollback().await;
            Ok(Err(error))
        }
    }
}

/// Where a call stands, if the token is that of the attempt that runs.
async fn place(conn: &mut store::Connection, id: CallId, token: &str) -> Result<Place, Error> {
    let Some(place) = calls::find(conn, id).await? else {
        return Err(Error::NotFound(format!("there is no call {id}")));
    };
    if place.token_hash.as_deref() == Some(send::hash(token).as_slice()) {
        return Ok(place);
    }
    let run = token.split_once('-').and_then(|(run, _)| run.parse::<u32>().ok());
    let why = match (place.state.as_str(), run) {
        ("succeeded" | "failed" | "cancelled", _) => format!("the call has ended as {}: it is too late", place.state),
        ("settled" | "unknown", _) => "the attempt has ended: it is too late".to_owned(),
        (_, Some(run)) if run < place.run => {
            format!("the token is that of an earlier attempt: it is too late, attempt {} has the call", place.attempt)
        }
        (_, _) => "the token is not that of the attempt that runs".to_owned(),
    };
    Err(Error::Refused(why))
}

/// The outcome a worker or a callback tells of.
pub fn outcome(result: Value, error: Option<CallError>) -> Result<CallOutcome, String> {
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
