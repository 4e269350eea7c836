//! What becomes of a call when an attempt has ended: its result, another attempt, a probe, a person, or an error.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{OnUnknown, Work};
use crate::limits::backoff::next_delay;

use super::super::admit::{self, Position};
use super::super::failure::{Cause, FailedWork};
use super::super::transition::{Halt, Transition};
use super::super::{
    Bookmark, BookmarkKind, Effect, EntryKind, Failure, Phase, Probing, Refusal, Status, Step, Wait, WaitOn,
    assign as values, scope,
};
use super::answer::{accepts, http_work, is_accepted, reports_outcome, refused, response};
use super::{CallChange, CallClosed, CallEnd, CallId, CallOutcome, CallPurpose};

/// Targets that want to be left alone for longer are asked again after this.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// An open call: where it is waited for, and under which number it was handed out last.
#[derive(Clone)]
pub(super) struct DispatchedCall<'a> {
    pub(super) position: Position<'a>,
    pub(super) bookmark: i64,
    pub(super) dispatch: u32,
    pub(super) probing: Option<Probing>,
}

/// Goes on with the outcome of an attempt.
pub(in crate::engine) fn complete(
    mut transition: Transition<'_>,
    bookmark: i64,
    dispatch: u32,
    outcome: CallOutcome,
) -> Result<Step, Halt> {
    complete_in(&mut transition, bookmark, dispatch, outcome)?;
    Ok(transition.done())
}

/// The same, inside a decision.
pub(in crate::engine) fn complete_in(
    transition: &mut Transition<'_>,
    bookmark: i64,
    dispatch: u32,
    outcome: CallOutcome,
) -> Result<(), Halt> {
    let (position, known, probing) = admit::call_for_outcome(transition.definition, &transition.instance, bookmark)?;
    if known != dispatch {
        return Err(Refusal::Closed(bookmark).into());
    }
    let call = DispatchedCall { position, bookmark, dispatch, probing };
    // That its target has taken it moves nothing: the callback is kept until the instance goes on.
    if !is_accepted(&call, &outcome) {
        admit::require_not_suspended(&transition.instance)?;
    }
    match call.probing.clone() {
        None => transition.attempted(call, outcome),
        Some(_) if reports_outcome(&outcome) => transition.attempted(call, outcome),
        Some(probing) => transition.probed(call, probing, outcome),
    }
}

/// Writes down what a worker says of its progress.
pub(in crate::engine) fn progress(
    mut transition: Transition<'_>,
    bookmark: i64,
    dispatch: u32,
    progress: &Value,
) -> Result<Step, Halt> {
    let (position, known, _) = admit::call_for_outcome(transition.definition, &transition.instance, bookmark)?;
    if known != dispatch {
        return Err(Refusal::Closed(bookmark).into());
    }
    let call = CallId::of(transition.instance.id, bookmark);
    transition.record(
        EntryKind::CallProgressed,
        position,
        json!({ "call": call, "progress": values::bounded(progress) }),
    );
    Ok(transition.done())
}

impl<'a> Transition<'a> {
    fn attempted(&mut self, call: DispatchedCall<'a>, outcome: CallOutcome) -> Result<(), Halt> {
        match outcome {
            CallOutcome::Answered { status, headers, body, cut, retry_after_ms } => {
                let is_good = http_work(call.position).is_some_and(|http| accepts(&http.accept, status));
                let callback = http_work(call.position).is_some_and(|http| http.callback);
                let response = response(status, headers, body, cut);
                match (is_good, callback) {
                    (true, false) => match cut {
                        None => self.succeed(call, response),
                        Some(cut) => self.succeed_without_body(call, response, cut),
                    },
                    (true, true) => {
                        self.change(&call, CallChange::Await { response });
                        Ok(())
                    }
                    (false, _) => self.fail_call(call, refused(status, response), Cause::Error { retry_after_ms }),
                }
            }
            CallOutcome::Done { result } => self.succeed(call, result),
            CallOutcome::Failed { failure } => self.fail_call(call, failure, Cause::Error { retry_after_ms: None }),
            CallOutcome::Unknown { failure } => self.handle_unknown(call, failure),
        }
    }

    pub(super) fn succeed(&mut self, call: DispatchedCall<'a>, result: Value) -> Result<(), Halt> {
        self.close(&call, CallEnd::Succeeded, Some(&result), None);
        self.take_wait(call.position, call.bookmark);
        self.awaken(call.position);
        let outcome = self.complete(call.position, result, None);
        self.apply_outcome(call.position, outcome)
    }

    /// Another attempt if a policy allows it, else an error of the activity.
    pub(super) fn fail_call(&mut self, call: DispatchedCall<'a>, failure: Failure, cause: Cause) -> Result<(), Halt> {
        match self.next_attempt(call.position, &failure, cause) {
            Some(due_at) => self.dispatch_again(&call, failure, due_at),
            None => self.fail_for_good(call, failure),
        }
        Ok(())
    }

    pub(super) fn fail_for_good(&mut self, call: DispatchedCall<'a>, failure: Failure) {
        self.close(&call, CallEnd::Failed, None, Some(&failure));
        self.take_wait(call.position, call.bookmark);
        self.awaken(call.position);
        let mut details = values::brief(&failure);
        details.insert("attempt".into(), json!(self.branch(call.position).attempt));
        self.record(EntryKind::ActivityFailed, call.position, Value::Object(details));
        self.handle(call.position, FailedWork::from(failure));
    }

    /// Hands a call out for another attempt.
    pub(super) fn dispatch_again(&mut self, call: &DispatchedCall<'a>, failure: Failure, due_at: Timestamp) {
        let branch = self.branch_mut(call.position);
        let attempt = branch.attempt;
        branch.attempt = attempt.saturating_add(1);
        let mut details = values::brief(&failure);
        details.insert("attempt".into(), json!(attempt));
        details.insert("due_at".into(), json!(due_at));
        self.record(EntryKind::ActivityRetryScheduled, call.position, Value::Object(details));
        let dispatch = call.dispatch.saturating_add(1);
        let attempt = attempt.saturating_add(1);
        let until = self.until(call.position);
        self.change(
            call,
            CallChange::Again { attempt, dispatch, due_at, until, purpose: CallPurpose::Attempt, failure },
        );
        self.wait_for_call(call, WaitOn::Call { dispatch, probing: None });
    }

    /// Nobody knows whether an attempt was carried out.
    pub(super) fn handle_unknown(&mut self, call: DispatchedCall<'a>, failure: Failure) -> Result<(), Halt> {
        let route = match &call.position.activity.work {
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
            | Work::Task(_) => return Err(Refusal::Mismatch.into()),
        };
        self.record_unknown(&call, &failure);
        match route {
            OnUnknown::Retry => self.fail_call(call, failure, Cause::Unknown),
            OnUnknown::Fail => {
                self.fail_for_good(call, failure);
                Ok(())
            }
            OnUnknown::Suspend => {
                self.leave_open(call, failure);
                Ok(())
            }
            OnUnknown::Probe => {
                self.probe_again(call, Probing { failure, tries: 0 });
                Ok(())
            }
        }
    }

    pub(super) fn record_unknown(&mut self, call: &DispatchedCall<'a>, failure: &Failure) {
        let mut details = values::brief(failure);
        details.insert("call".into(), json!(CallId::of(self.instance.id, call.bookmark)));
        details.insert("attempt".into(), json!(self.branch(call.position).attempt));
        self.record(EntryKind::CallUnknown, call.position, Value::Object(details));
    }

    /// The target was asked whether an attempt was carried out.
    fn probed(&mut self, call: DispatchedCall<'a>, probing: Probing, outcome: CallOutcome) -> Result<(), Halt> {
        let probe = http_work(call.position).and_then(|http| http.probe.as_deref());
        let Some(probe) = probe else { return Err(Refusal::Mismatch.into()) };
        let CallOutcome::Answered { status, headers, body, cut, .. } = outcome else {
            self.probe_again(call, probing);
            return Ok(());
        };
        if !accepts(&probe.accept, status) {
            self.probe_again(call, probing);
            return Ok(());
        }
        let response = response(status, headers, body, cut);
        let told = self.scope(call.position).result(&response).holds(&probe.done);
        match told {
            Ok(true) => self.succeed(call, response),
            // It is certain now that nothing was done: another attempt is safe, whatever the method.
            Ok(false) => self.fail_call(call, probing.failure, Cause::Unknown),
            Err(failure) => {
                let message = format!("{}; and its probe cannot tell: {}", probing.failure.message, failure.message);
                self.leave_open(call, Failure { message, ..probing.failure });
                Ok(())
            }
        }
    }

    /// Asks the target, as often as it would be tried; then a person is asked.
    fn probe_again(&mut self, call: DispatchedCall<'a>, probing: Probing) {
        let policy = self.context.retry;
        let tries = probing.tries.saturating_add(1);
        let delay = next_delay(policy.base, policy.max, policy.factor, policy.jitter, tries, self.context.chance);
        let due_at = scope::later(self.context.now, delay).filter(|_| tries <= policy.attempts);
        let Some(due_at) = due_at else { return self.leave_open(call, probing.failure) };
        let dispatch = call.dispatch.saturating_add(1);
        let attempt = self.branch(call.position).attempt;
        let failure = probing.failure.clone();
        let until = self.until(call.position);
        self.change(
            &call,
            CallChange::Again { attempt, dispatch, due_at, until, purpose: CallPurpose::Probe, failure },
        );
        self.wait_for_call(&call, WaitOn::Call { dispatch, probing: Some(Probing { tries, ..probing }) });
    }

    /// Leaves a call open until a person has found out what became of it.
    pub(super) fn leave_open(&mut self, call: DispatchedCall<'a>, failure: Failure) {
        let dispatch = call.dispatch.saturating_add(1);
        self.change(&call, CallChange::Unknown { dispatch, failure: failure.clone() });
        let mut error = values::brief(&failure);
        error.insert("call".into(), json!(CallId::of(self.instance.id, call.bookmark)));
        error.insert("unknown".into(), json!(true));
        let error = Value::Object(error);
        self.instance.status = Status::Suspended;
        self.record(EntryKind::IncidentOpened, call.position, error.clone());
        let bookmark = Bookmark { details: error.clone(), ..self.bookmark(call.position, BookmarkKind::Intervention) };
        let person = self.open_wait(bookmark, WaitOn::Intervention { failure, result: None });
        let dispatched = Wait { bookmark: call.bookmark, due_at: None, on: WaitOn::Call { dispatch, probing: None } };
        self.branch_mut(call.position).phase = Phase::Waiting(vec![dispatched, person]);
        let data =
            Map::from_iter([("activity".to_owned(), json!(call.position.activity.id)), ("error".to_owned(), error)]);
        self.announce("suspended", data);
    }

    fn change(&mut self, call: &DispatchedCall<'a>, change: CallChange) {
        let id = CallId::of(self.instance.id, call.bookmark);
        self.push(Effect::ChangeCall { id, dispatch: call.dispatch, change });
    }

    pub(super) fn close(
        &mut self,
        call: &DispatchedCall<'a>,
        end: CallEnd,
        result: Option<&Value>,
        failure: Option<&Failure>,
    ) {
        let id = CallId::of(self.instance.id, call.bookmark);
        let closed = CallClosed { end, result: result.cloned(), failure: failure.cloned() };
        self.push(Effect::CloseCall { id, closed });
    }

    fn wait_for_call(&mut self, call: &DispatchedCall<'a>, on: WaitOn) {
        self.branch_mut(call.position).phase = Phase::Waiting(vec![Wait { bookmark: call.bookmark, due_at: None, on }]);
    }
}

/// When a target that wants to be left alone may be asked again.
pub(in crate::engine) fn left_alone_until(now: Timestamp, retry_after_ms: Option<u64>) -> Option<Timestamp> {
    let millis = retry_after_ms?.min(RETRY_AFTER_MAX_MS);
    scope::later(now, std::time::Duration::from_millis(millis))
}
