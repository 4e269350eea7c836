//! Outcomes from outside: the reply of an external worker, and a callback.

use serde_json::Value;

use super::super::committed::{Applied, Executed};
use super::super::execution::{Ended, Execution};
use super::super::once::{self, Answer, Origin};
use super::super::{Error, fail_point};
use super::proof::place;
use super::{Reported, applied, completed};
use crate::app::App;
use crate::contract::CallError;
use crate::engine::{CallId, CallOutcome, Failure, Refusal};
use crate::store::calls::{self, Place};
use crate::store::outbox::{self, OutboxRow};
use crate::store::{Transaction, Undo, inbox};

/// The state of a call whose outcome a person has to find out.
const UNKNOWN: &str = "unknown";

/// How the transaction of a report ended.
enum HandledReport {
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
            Ok(ended) => Ok(HandledReport::Step(ended)),
            Err(Undo::Value(Ended::Not(Executed::Refused(Refusal::Suspended)))) => {
                keep(app, transaction, id, &place, &outcome, origin).await
            }
            Err(Undo::Value(ended)) => Err(Undo::Value(HandledReport::Step(ended))),
            Err(Undo::Error(error)) => Err(Undo::Error(error)),
        }
    })
    .await;
    match handled {
        Ok(HandledReport::Step(ended)) => applied(app, origin, Ok(ended)).await,
        Ok(HandledReport::Kept(reported, replies)) => {
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
) -> Result<HandledReport, Undo<HandledReport, Error>> {
    let answer = Answer { call: Some(id), ..Answer::of("kept", Some(place.instance)) };
    let is_new = inbox::insert(transaction, &origin.inbox("call.complete", &answer)).await?;
    if !is_new || !calls::record(transaction, id, place.dispatch, outcome).await? {
        return Err(Undo::Error(over()));
    }
    Ok(HandledReport::Kept(Reported::Kept(place.instance), replies(app, transaction, origin, &answer).await?))
}

/// Keeps an outcome for the person who has to find it out.
async fn note(
    app: &App,
    transaction: &mut Transaction,
    id: CallId,
    place: &Place,
    outcome: &CallOutcome,
    origin: &Origin,
) -> Result<HandledReport, Undo<HandledReport, Error>> {
    let reason = "the attempt has expired and a person has to find out its outcome: this report is kept for them";
    let answer = Answer { call: Some(id), reason: Some(reason.into()), ..Answer::of("noted", Some(place.instance)) };
    let is_new = inbox::insert(transaction, &origin.inbox("call.complete", &answer)).await?;
    // The call got a new dispatch number when the attempt expired.
    let expired = place.dispatch.saturating_sub(1);
    if !is_new || !calls::note_late(transaction, id, expired, outcome).await? {
        return Err(Undo::Error(over()));
    }
    Ok(HandledReport::Kept(Reported::Noted(place.instance), replies(app, transaction, origin, &answer).await?))
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
