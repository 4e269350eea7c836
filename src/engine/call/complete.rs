//! What becomes of a call when an attempt has ended: its result, another attempt, a probe, a person, or an error.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{OnUnknown, Work};
use crate::limits::backoff::next_delay;

use super::super::admit::{self, Stand};
use super::super::fault::{Cause, Fault};
use super::super::turn::Turn;
use super::super::{
    Bookmark, BookmarkKind, Effect, EntryKind, Failure, Phase, Probing, Refusal, Status, Step, Wait, WaitOn,
    assign as values, scope,
};
use super::answer::{accepts, asked, is_taken, is_told, refused, response};
use super::{CallChange, CallClosed, CallEnd, CallId, CallOutcome, CallPurpose};

/// Targets that want to be left alone for longer are asked again after this.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// An open call: where it is waited for, and under which number it was handed out last.
#[derive(Clone)]
pub(super) struct Held<'a> {
    pub(super) stand: Stand<'a>,
    pub(super) bookmark: i64,
    pub(super) dispatch: u32,
    pub(super) probing: Option<Probing>,
}

/// Goes on with the outcome of an attempt.
pub(in crate::engine) fn complete(
    mut turn: Turn<'_>,
    (bookmark, dispatch): (i64, u32),
    outcome: CallOutcome,
) -> Result<Step, Refusal> {
    complete_in(&mut turn, (bookmark, dispatch), outcome)?;
    Ok(turn.done())
}

/// The same, inside a decision.
pub(in crate::engine) fn complete_in(
    turn: &mut Turn<'_>,
    (bookmark, dispatch): (i64, u32),
    outcome: CallOutcome,
) -> Result<(), Refusal> {
    let (stand, known, probing) = admit::called(turn.definition, &turn.instance, bookmark)?;
    if known != dispatch {
        return Err(Refusal::Gone(bookmark));
    }
    let held = Held { stand, bookmark, dispatch, probing };
    // That its target has taken it moves nothing: the callback is kept until the instance goes on.
    if !is_taken(&held, &outcome) {
        admit::moving(&turn.instance)?;
    }
    match held.probing.clone() {
        None => turn.attempted(held, outcome),
        Some(_) if is_told(&outcome) => turn.attempted(held, outcome),
        Some(probing) => turn.probed(held, probing, outcome),
    }
}

/// Writes down what a worker says of its progress.
pub(in crate::engine) fn progress(
    mut turn: Turn<'_>,
    (bookmark, dispatch): (i64, u32),
    progress: &Value,
) -> Result<Step, Refusal> {
    let (stand, known, _) = admit::called(turn.definition, &turn.instance, bookmark)?;
    if known != dispatch {
        return Err(Refusal::Gone(bookmark));
    }
    let call = CallId::of(turn.instance.id, bookmark);
    turn.record(EntryKind::CallProgressed, stand, json!({ "call": call, "progress": values::bounded(progress) }));
    Ok(turn.done())
}

impl<'a> Turn<'a> {
    fn attempted(&mut self, held: Held<'a>, outcome: CallOutcome) -> Result<(), Refusal> {
        match outcome {
            CallOutcome::Answered { status, headers, body, cut, retry_after_ms } => {
                let is_good = asked(held.stand).is_some_and(|http| accepts(&http.accept, status));
                let callback = asked(held.stand).is_some_and(|http| http.callback);
                let response = response(status, headers, body, cut);
                match (is_good, callback) {
                    (true, false) => match cut {
                        None => self.succeed(held, response),
                        Some(cut) => self.succeed_without_body(held, response, cut),
                    },
                    (true, true) => {
                        self.change(&held, CallChange::Await { response });
                        Ok(())
                    }
                    (false, _) => self.fail_call(held, refused(status, response), Cause::Error { retry_after_ms }),
                }
            }
            CallOutcome::Done { result } => self.succeed(held, result),
            CallOutcome::Failed { failure } => self.fail_call(held, failure, Cause::Error { retry_after_ms: None }),
            CallOutcome::Unknown { failure } => self.lose(held, failure),
        }
    }

    pub(super) fn succeed(&mut self, held: Held<'a>, result: Value) -> Result<(), Refusal> {
        self.close(&held, CallEnd::Succeeded, (Some(&result), None));
        self.take_wait(held.stand, held.bookmark);
        self.awaken(held.stand);
        let outcome = self.complete(held.stand, result, None);
        self.catch_stop(held.stand, outcome)
    }

    /// Another attempt if a policy allows it, else an error of the activity.
    pub(super) fn fail_call(&mut self, held: Held<'a>, failure: Failure, cause: Cause) -> Result<(), Refusal> {
        match self.next_attempt(held.stand, &failure, cause) {
            Some(due_at) => self.again(&held, failure, due_at),
            None => self.fail_for_good(held, failure),
        }
        Ok(())
    }

    pub(super) fn fail_for_good(&mut self, held: Held<'a>, failure: Failure) {
        self.close(&held, CallEnd::Failed, (None, Some(&failure)));
        self.take_wait(held.stand, held.bookmark);
        self.awaken(held.stand);
        let mut details = values::brief(&failure);
        details.insert("attempt".into(), json!(self.branch(held.stand).attempt));
        self.record(EntryKind::ActivityFailed, held.stand, Value::Object(details));
        self.handle(held.stand, Fault::from(failure));
    }

    /// Hands a call out for another attempt.
    pub(super) fn again(&mut self, held: &Held<'a>, failure: Failure, due_at: Timestamp) {
        let branch = self.branch_mut(held.stand);
        let attempt = branch.attempt;
        branch.attempt = attempt.saturating_add(1);
        let mut details = values::brief(&failure);
        details.insert("attempt".into(), json!(attempt));
        details.insert("due_at".into(), json!(due_at));
        self.record(EntryKind::ActivityRetryScheduled, held.stand, Value::Object(details));
        let dispatch = held.dispatch.saturating_add(1);
        let attempt = attempt.saturating_add(1);
        let until = self.until(held.stand);
        self.change(
            held,
            CallChange::Again { attempt, dispatch, due_at, until, purpose: CallPurpose::Attempt, failure },
        );
        self.hold_call(held, WaitOn::Call { dispatch, probing: None });
    }

    /// Nobody knows whether an attempt was carried out.
    pub(super) fn lose(&mut self, held: Held<'a>, failure: Failure) -> Result<(), Refusal> {
        let way = match &held.stand.activity.work {
            Work::Http(http) => http.on_unknown(),
            Work::Call(call) => call.on_unknown(),
            Work::Set(_)
            | Work::Switch(_)
            | Work::Run { .. }
            | Work::Emit { .. }
            | Work::Wait(_)
            | Work::Receive(_)
            | Work::Raise { .. }
            | Work::End(_)
            | Work::Task(_) => return Err(Refusal::Missing),
        };
        self.record_unknown(&held, &failure);
        match way {
            OnUnknown::Retry => self.fail_call(held, failure, Cause::Unknown),
            OnUnknown::Fail => {
                self.fail_for_good(held, failure);
                Ok(())
            }
            OnUnknown::Suspend => {
                self.leave_open(held, failure);
                Ok(())
            }
            OnUnknown::Probe => {
                self.probe_again(held, Probing { failure, tries: 0 });
                Ok(())
            }
        }
    }

    pub(super) fn record_unknown(&mut self, held: &Held<'a>, failure: &Failure) {
        let mut details = values::brief(failure);
        details.insert("call".into(), json!(CallId::of(self.instance.id, held.bookmark)));
        details.insert("attempt".into(), json!(self.branch(held.stand).attempt));
        self.record(EntryKind::CallUnknown, held.stand, Value::Object(details));
    }

    /// The target was asked whether an attempt was carried out.
    fn probed(&mut self, held: Held<'a>, probing: Probing, outcome: CallOutcome) -> Result<(), Refusal> {
        let probe = asked(held.stand).and_then(|http| http.probe.as_deref());
        let Some(probe) = probe else { return Err(Refusal::Missing) };
        let CallOutcome::Answered { status, headers, body, cut, .. } = outcome else {
            self.probe_again(held, probing);
            return Ok(());
        };
        if !accepts(&probe.accept, status) {
            self.probe_again(held, probing);
            return Ok(());
        }
        let response = response(status, headers, body, cut);
        let told = self.sight(held.stand).result(&response).holds(&probe.done);
        match told {
            Ok(true) => self.succeed(held, response),
            // It is certain now that nothing was done: another attempt is safe, whatever the method.
            Ok(false) => self.fail_call(held, probing.failure, Cause::Unknown),
            Err(failure) => {
                let message = format!("{}; and its probe cannot tell: {}", probing.failure.message, failure.message);
                self.leave_open(held, Failure { message, ..probing.failure });
                Ok(())
            }
        }
    }

    /// Asks the target, as often as it would be tried; then a person is asked.
    fn probe_again(&mut self, held: Held<'a>, probing: Probing) {
        let policy = self.context.retry;
        let tries = probing.tries.saturating_add(1);
        let delay = next_delay(policy.base, policy.max, policy.factor, policy.jitter, tries, self.context.chance);
        let due_at = scope::later(self.context.now, delay).filter(|_| tries <= policy.attempts);
        let Some(due_at) = due_at else { return self.leave_open(held, probing.failure) };
        let dispatch = held.dispatch.saturating_add(1);
        let attempt = self.branch(held.stand).attempt;
        let failure = probing.failure.clone();
        let until = self.until(held.stand);
        self.change(
            &held,
            CallChange::Again { attempt, dispatch, due_at, until, purpose: CallPurpose::Probe, failure },
        );
        self.hold_call(&held, WaitOn::Call { dispatch, probing: Some(Probing { tries, ..probing }) });
    }

    /// Leaves a call open until a person has found out what became of it.
    pub(super) fn leave_open(&mut self, held: Held<'a>, failure: Failure) {
        let dispatch = held.dispatch.saturating_add(1);
        self.change(&held, CallChange::Unknown { dispatch, failure: failure.clone() });
        let call = CallId::of(self.instance.id, held.bookmark);
        let mut error = values::brief(&failure);
        error.insert("call".into(), json!(call));
        error.insert("unknown".into(), json!(true));
        let error = Value::Object(error);
        self.instance.status = Status::Suspended;
        self.record(EntryKind::IncidentOpened, held.stand, error.clone());
        let bookmark = Bookmark { details: error.clone(), ..self.bookmark(held.stand, BookmarkKind::Intervention) };
        let person = self.open_wait(bookmark, WaitOn::Intervention { failure, result: None });
        let call = Wait { bookmark: held.bookmark, on: WaitOn::Call { dispatch, probing: None } };
        self.branch_mut(held.stand).phase = Phase::Waiting(vec![call, person]);
        let data =
            Map::from_iter([("activity".to_owned(), json!(held.stand.activity.id)), ("error".to_owned(), error)]);
        self.announce("suspended", data);
    }

    fn change(&mut self, held: &Held<'a>, change: CallChange) {
        let id = CallId::of(self.instance.id, held.bookmark);
        self.push(Effect::ChangeCall { id, dispatch: held.dispatch, change });
    }

    pub(super) fn close(
        &mut self,
        held: &Held<'a>,
        end: CallEnd,
        (result, failure): (Option<&Value>, Option<&Failure>),
    ) {
        let id = CallId::of(self.instance.id, held.bookmark);
        let closed = CallClosed { end, result: result.cloned(), failure: failure.cloned() };
        self.push(Effect::CloseCall { id, closed });
    }

    fn hold_call(&mut self, held: &Held<'a>, on: WaitOn) {
        self.branch_mut(held.stand).phase = Phase::Waiting(vec![Wait { bookmark: held.bookmark, on }]);
    }
}

/// When a target that wants to be left alone may be asked again.
pub(in crate::engine) fn left_alone_until(now: Timestamp, retry_after_ms: Option<u64>) -> Option<Timestamp> {
    let millis = retry_after_ms?.min(RETRY_AFTER_MAX_MS);
    scope::later(now, std::time::Duration::from_millis(millis))
}
