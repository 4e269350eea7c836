//! Calls between two steps: an outcome moves its instance in the transaction that closes the call. While the instance is suspended
//! the outcome is kept, and replayed when the instance continues.

mod overdue;
mod proof;
mod send;

use serde_json::Value;

use super::committed::{Applied, Committed, Executed, Follow};
use super::execution::{Ended, Execution, Undone};
use super::once::{self, Answer, Origin};
use super::{Error, fail_point};
use crate::app::App;
use crate::contract::CallError;
use crate::engine::{
    Audit, CallCommand, CallId, CallOutcome, CallReport, Facts, Failure, InstanceId, Refusal, Resolution,
};
use crate::store::calls::{self, Place};
use crate::store::outbox::{self, OutboxRow};
use crate::store::{Transaction, Undo, inbox, instances};

pub use overdue::expire;
use proof::place;
pub(super) use send::opened;
pub use send::{AtOnce, Begin, AttemptToken, begin, send_to_external_worker};

/// Progress reports of one attempt: each is a row of the history.
const PROGRESS_MAX: i64 = 1_000;

/// The state of a call whose outcome a person has to find out.
const UNKNOWN: &str = "unknown";

/// What became of a report about a call.
#[derive(Debug)]
pub enum Reported {
    /// Its instance has taken a step.
    To(Box<Committed>),
    /// It is kept until the instance continues.
    Kept(InstanceId),
    /// The outcome of the call was unknown: it is kept for the person who has to find it out.
    Noted(InstanceId),
}

/// An attempt at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The call.
    pub id: CallId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// The dispatch number of the attempt.
    pub dispatch: u32,
}

impl Attempt {
    fn completed(self, outcome: CallOutcome) -> CallCommand {
        completed(self.bookmark, self.dispatch, outcome)
    }
}

fn completed(bookmark: i64, dispatch: u32, outcome: CallOutcome) -> CallCommand {
    CallCommand { bookmark, report: CallReport::Completed { dispatch, outcome } }
}

/// Completes a call with the outcome of an attempt that was made here, or that has expired. A late outcome, or one of a suspended
/// instance, is kept with the call.
pub async fn complete_attempt(app: &App, attempt: Attempt, outcome: CallOutcome) -> Result<Executed, Error> {
    complete_or_keep(app, attempt, outcome.clone(), async |transaction, refusal| {
        match refusal {
            Refusal::Suspended => calls::record(transaction, attempt.id, attempt.dispatch, &outcome).await?,
            _ => calls::note_late(transaction, attempt.id, attempt.dispatch, &outcome).await?,
        };
        Ok(())
    })
    .await
}

/// Completes a call; after a refusal `keep` writes what it wants in the same transaction, under the lock of the instance.
async fn complete_or_keep(
    app: &App,
    attempt: Attempt,
    outcome: CallOutcome,
    keep: impl AsyncFnOnce(&mut Transaction, &Refusal) -> Result<(), Error>,
) -> Result<Executed, Error> {
    let execution = Execution::internal(app, attempt.completed(outcome), Follow::Always);
    let lease = app.store.steps().await?;
    let ended = Transaction::run_locked(lease, attempt.instance, async |transaction, loaded| {
        match execution.under_lock(transaction, attempt.instance, loaded, Facts::default()).await {
            Err(Undo::Value(Ended::Not(Executed::Refused(refusal)))) => {
                keep(transaction, &refusal).await?;
                Ok(Ended::Not(Executed::Refused(refusal)))
            }
            other => other,
        }
    })
    .await;
    match ended {
        Ok(ended) => Ok(ended.publish(app)),
        // The instance was deleted since.
        Err(Error::NotFound(_)) => Ok(Executed::Refused(Refusal::Closed(attempt.bookmark))),
        Err(error) => Err(error),
    }
}

/// How the transaction of a report ended.
enum Handled {
    /// As a step, or not at all.
    Step(Ended),
    /// The outcome is kept, with these replies.
    Kept(Reported, Vec<OutboxRow>),
}

/// Completes a call with the token of its attempt: the reply of an external worker, or a callback.
///
/// # Errors
/// `NotFound` if there is no such call, `Refused` or `Late` if the token is not, or no longer, that of a running attempt.
pub async fn complete(
    app: &App,
    id: CallId,
    token: &str,
    outcome: CallOutcome,
    origin: &Origin,
) -> Result<Applied<Reported>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let handled = Transaction::run(app.store.steps().await?, async |transaction| {
        let place = place(transaction, id, token).await?;
        if place.state == UNKNOWN {
            return note(app, transaction, id, &place, &outcome, origin).await;
        }
        let answer = Answer { call: Some(id), ..Answer::of("completed", Some(place.instance)) };
        let command = completed(place.bookmark, place.dispatch, outcome.clone());
        let execution = Execution::from_outside(app, command, origin, "call.complete", answer);
        match execution.in_transaction(transaction, place.instance).await {
            Ok(ended) => Ok(Handled::Step(ended)),
            Err(Undo::Value(Ended::Not(Executed::Refused(Refusal::Suspended)))) => {
                keep(app, transaction, id, &place, &outcome, origin).await
            }
            Err(Undo::Value(ended)) => Err(Undo::Value(Handled::Step(ended))),
            Err(Undo::Error(error)) => Err(Undo::Error(error)),
        }
    })
    .await;
    match handled {
        Ok(Handled::Step(ended)) => applied(app, origin, Ok(ended)).await,
        Ok(Handled::Kept(reported, replies)) => {
            fail_point("step::after_commit");
            app.publish(replies);
            Ok(Applied::New(reported))
        }
        Err(error) => applied(app, origin, Err(error)).await,
    }
}

/// Keeps an outcome until its instance continues.
async fn keep(
    app: &App,
    transaction: &mut Transaction,
    id: CallId,
    place: &Place,
    outcome: &CallOutcome,
    origin: &Origin,
) -> Result<Handled, Undo<Handled, Error>> {
    let answer = Answer { call: Some(id), ..Answer::of("kept", Some(place.instance)) };
    let is_new = inbox::insert(transaction, &origin.inbox("call.complete", &answer)).await?;
    if !is_new || !calls::record(transaction, id, place.dispatch, outcome).await? {
        return Err(Undo::Error(over()));
    }
    Ok(Handled::Kept(Reported::Kept(place.instance), replies(app, transaction, origin, &answer).await?))
}

/// Keeps an outcome for the person who has to find it out.
async fn note(
    app: &App,
    transaction: &mut Transaction,
    id: CallId,
    place: &Place,
    outcome: &CallOutcome,
    origin: &Origin,
) -> Result<Handled, Undo<Handled, Error>> {
    let reason = "the attempt has expired and a person has to find out its outcome: this report is kept for them";
    let answer = Answer { call: Some(id), reason: Some(reason.into()), ..Answer::of("noted", Some(place.instance)) };
    let is_new = inbox::insert(transaction, &origin.inbox("call.complete", &answer)).await?;
    // The call got a new dispatch number when the attempt expired.
    let expired = place.dispatch.saturating_sub(1);
    if !is_new || !calls::note_late(transaction, id, expired, outcome).await? {
        return Err(Undo::Error(over()));
    }
    Ok(Handled::Kept(Reported::Noted(place.instance), replies(app, transaction, origin, &answer).await?))
}

async fn replies(
    app: &App,
    transaction: &mut Transaction,
    origin: &Origin,
    answer: &Answer,
) -> Result<Vec<OutboxRow>, Error> {
    let replies: Vec<OutboxRow> = origin.reply(app, answer).into_iter().collect();
    outbox::push(transaction, &replies).await?;
    fail_point("step::before_commit");
    Ok(replies)
}

fn over() -> Error {
    Error::Refused("the attempt is no longer running".into())
}

/// Records a heartbeat of an external worker.
///
/// # Errors
/// As for [`complete`].
pub async fn beat(app: &App, id: CallId, token: &str) -> Result<(), Error> {
    let mut conn = app.store.background().await?;
    let place = place(&mut conn, id, token).await?;
    match calls::beat(&mut conn, id, place.dispatch).await? {
        true => Ok(()),
        false => Err(Error::Late("the attempt is no longer running".into())),
    }
}

/// Records a progress report of an external worker.
///
/// # Errors
/// As for [`complete`].
pub async fn progress(
    app: &App,
    id: CallId,
    token: &str,
    progress: Value,
    origin: &Origin,
) -> Result<Applied<Reported>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let ended: Result<Ended, Error> = Transaction::run(app.store.steps().await?, async |transaction| {
        let place = place(transaction, id, token).await?;
        // The instance is locked before the call: every transaction takes its locks in this order.
        let loaded = instances::lock(&mut **transaction, place.instance).await?;
        if !calls::tell_progress(transaction, (id, place.dispatch), &progress, PROGRESS_MAX).await? {
            let now = calls::find(transaction, id).await?;
            let is_running = now.is_some_and(|now| now.state == "running" && now.dispatch == place.dispatch);
            return Err(Undo::Error(match is_running {
                true => Error::Refused(format!("the attempt has reported its progress {PROGRESS_MAX} times")),
                false => Error::Late("the attempt is no longer running".into()),
            }));
        }
        let answer = Answer { call: Some(id), ..Answer::of("noted", Some(place.instance)) };
        let report = CallReport::Progress { dispatch: place.dispatch, progress: progress.clone() };
        let command = CallCommand { bookmark: place.bookmark, report };
        let execution = Execution::from_outside(app, command, origin, "call.progress", answer);
        execution.under_lock(transaction, place.instance, loaded, Facts::default()).await
    })
    .await;
    applied(app, origin, ended).await
}

/// Completes a call with what a person has found out.
///
/// # Errors
/// `NotFound` if there is no such call, `Refused` with the engine's reason.
pub async fn resolve(
    app: &App,
    id: CallId,
    resolution: Resolution,
    reason: Option<String>,
    origin: &Origin,
) -> Result<Applied<Reported>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let ended: Result<Ended, Error> = Transaction::run(app.store.steps().await?, async |transaction| {
        let Some(place) = calls::find(transaction, id).await? else {
            return Err(Undo::Error(Error::NotFound(format!("there is no call {id}"))));
        };
        let audit = Audit { by: Some(origin.app_id.clone()), reason };
        let command = CallCommand { bookmark: place.bookmark, report: CallReport::Resolved { resolution, audit } };
        let answer = Answer { call: Some(id), ..Answer::of("resolved", Some(place.instance)) };
        let execution = Execution::from_outside(app, command, origin, "call.resolve", answer);
        execution.in_transaction(transaction, place.instance).await.map_err(|undone| ended_already(undone, &place))
    })
    .await;
    applied(app, origin, ended).await
}

/// The reason why a call that is no longer open cannot be resolved.
fn ended_already(undone: Undone, place: &Place) -> Undone {
    match undone {
        Undo::Value(Ended::Not(Executed::Refused(Refusal::Closed(_)))) => {
            Undo::Error(Error::Refused(format!("the call has ended as {}", place.state)))
        }
        other => other,
    }
}

async fn applied(app: &App, origin: &Origin, ended: Result<Ended, Error>) -> Result<Applied<Reported>, Error> {
    let refused = |refusal: Refusal| Error::Refused(refusal.to_string());
    let applied =
        once::applied(app, origin, ended, refused, "the instance is being changed by another process").await?;
    Ok(applied.map(Reported::To))
}

/// The outcome that an external worker or a callback reports.
pub fn outcome(result: Value, error: Option<CallError>) -> Result<CallOutcome, String> {
    if error.is_some() && !result.is_null() {
        return Err("send `result` or `error`, not both".into());
    }
    match error {
        None => Ok(CallOutcome::Done { result }),
        Some(CallError { code, message, data }) => {
            if !crate::definition::codes::is_code(&code) {
                let code = shorten(&code);
                return Err(format!(
                    "`{code}` is not a valid error code: use dotted words of letters, digits, `_` and `-`"
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
