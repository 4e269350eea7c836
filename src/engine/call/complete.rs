//! Reports about a call: the outcome of an attempt or a probe, and progress.

use serde_json::{Value, json};

use super::super::admit::{self, DispatchedCall};
use super::super::failure::Cause;
use super::super::transition::{Halt, Transition};
use super::super::{EntryKind, Failure, Probing, Refusal, Step, assign as values};
use super::answer::{accepts, announces_callback, http_work, is_reported, refused, response};
use super::{CallId, CallOutcome};

/// Continues with the outcome of an attempt.
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
    let call = current(transition, bookmark, dispatch)?;
    let http = http_work(call.position).filter(|_| call.probing.is_none());
    // An accepted request changes only the call, even of a suspended instance; the later callback is kept until it continues.
    if !announces_callback(http, &outcome) {
        admit::require_not_suspended(&transition.instance)?;
    }
    match call.probing.clone() {
        Some(probing) if !is_reported(&outcome) => transition.probed(call, probing, outcome),
        Some(_) | None => transition.attempted(call, outcome),
    }
}

/// Leaves a call to a person, because what follows the end of its attempt ends every process that executes it. Nothing of the definition is
/// evaluated here: it may be the reason.
pub(in crate::engine) fn abandon(
    mut transition: Transition<'_>,
    bookmark: i64,
    dispatch: u32,
    why: String,
) -> Result<Step, Halt> {
    let call = current(&transition, bookmark, dispatch)?;
    admit::require_not_suspended(&transition.instance)?;
    let failure = Failure::new("worker.gave_up", why);
    transition.record_unknown(&call, &failure);
    transition.leave_open(call, failure);
    Ok(transition.done())
}

/// Records the progress that an external worker reports.
pub(in crate::engine) fn progress(
    mut transition: Transition<'_>,
    bookmark: i64,
    dispatch: u32,
    progress: &Value,
) -> Result<Step, Halt> {
    let position = current(&transition, bookmark, dispatch)?.position;
    let call = CallId::of(transition.instance.id, bookmark);
    let details = json!({ "call": call, "progress": values::bounded(progress) });
    transition.record(EntryKind::CallProgressed, position, details);
    Ok(transition.done())
}

/// The open call, if this dispatch number is its current one.
fn current<'a>(transition: &Transition<'a>, bookmark: i64, dispatch: u32) -> Result<DispatchedCall<'a>, Refusal> {
    let call = admit::call_for_outcome(transition.definition, &transition.instance, bookmark)?;
    if call.dispatch == dispatch { Ok(call) } else { Err(Refusal::Closed(bookmark)) }
}

impl<'a> Transition<'a> {
    fn attempted(&mut self, call: DispatchedCall<'a>, outcome: CallOutcome) -> Result<(), Halt> {
        match outcome {
            CallOutcome::Answered { status, headers, body, cut, retry_after_ms } => {
                let http = http_work(call.position);
                let is_accepted = http.is_some_and(|http| accepts(&http.accept, status));
                let calls_back = http.is_some_and(|http| http.callback);
                let response = response(status, headers, body, cut);
                if !is_accepted {
                    self.fail_call(call, refused(status, response), Cause::Error { retry_after_ms });
                } else if calls_back {
                    self.expect_callback(&call, response);
                } else {
                    return match cut {
                        None => self.succeed(call, response),
                        Some(cut) => self.succeed_without_body(call, response, cut),
                    };
                }
                Ok(())
            }
            CallOutcome::Done { result } => self.succeed(call, result),
            CallOutcome::Failed { failure } => {
                self.fail_call(call, failure, Cause::Error { retry_after_ms: None });
                Ok(())
            }
            CallOutcome::Unknown { .. } if call.accepted => {
                self.expire_callback(call);
                Ok(())
            }
            CallOutcome::Unknown { failure } => self.handle_unknown(call, failure),
        }
    }

    /// The outcome of a probe: whether the last attempt was executed.
    fn probed(&mut self, call: DispatchedCall<'a>, probing: Probing, outcome: CallOutcome) -> Result<(), Halt> {
        let probe = http_work(call.position).and_then(|http| http.probe.as_deref()).ok_or(Refusal::Mismatch)?;
        let response = match outcome {
            CallOutcome::Answered { status, headers, body, cut, .. } if accepts(&probe.accept, status) => {
                response(status, headers, body, cut)
            }
            CallOutcome::Answered { .. }
            | CallOutcome::Done { .. }
            | CallOutcome::Failed { .. }
            | CallOutcome::Unknown { .. } => {
                self.probe_again(call, probing);
                return Ok(());
            }
        };
        let was_executed = self.scope(call.position).result(&response).holds(&probe.done);
        match was_executed {
            Ok(true) => return self.succeed(call, response),
            // A target that has accepted the request may still be working on it.
            Ok(false) if call.accepted => self.fail_call(call, probing.failure, Cause::Accepted),
            // The probe proved that nothing was done: another attempt is safe, whatever the method.
            Ok(false) => self.fail_call(call, probing.failure, Cause::Unknown),
            Err(failure) => {
                let message = format!("{}; and its probe cannot tell: {}", probing.failure.message, failure.message);
                self.give_up(call, Failure { message, ..probing.failure });
            }
        }
        Ok(())
    }
}
