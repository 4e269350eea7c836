//! Answers over HTTP: which are good ones, what they are as results and as errors, and those whose body could not be kept.

use serde_json::{Map, Value, json};

use crate::definition::{Http, OnUnknown, Statuses, Work, codes};

use super::super::admit::Position;
use super::super::failure::{Cause, Incomplete};
use super::super::transition::{Halt, Transition};
use super::super::{Failure, Refusal, assign as values};
use super::complete::DispatchedCall;
use super::{CallEnd, CallOutcome, Cut};

/// Of an answer that is an error, `error.data.body` keeps this many bytes.
const ERROR_BODY_MAX: usize = 16 * 1024;

pub(super) fn http_work(position: Position<'_>) -> Option<&Http> {
    match &position.activity.work {
        Work::Http(http) => Some(http),
        Work::Set(_)
        | Work::Switch(_)
        | Work::Run { .. }
        | Work::Emit { .. }
        | Work::Wait(_)
        | Work::Receive(_)
        | Work::Raise { .. }
        | Work::End(_)
        | Work::Task(_)
        | Work::Call(_) => None,
    }
}

/// Whether whoever was asked tells the outcome by itself: then no probe is needed to find it out.
pub(super) fn reports_outcome(outcome: &CallOutcome) -> bool {
    match outcome {
        CallOutcome::Done { .. } => true,
        CallOutcome::Failed { failure } => codes::matches("worker", &failure.code),
        CallOutcome::Answered { .. } | CallOutcome::Unknown { .. } => false,
    }
}

/// Whether an answer only says that the target has taken it and will call back.
pub(super) fn is_accepted(call: &DispatchedCall<'_>, outcome: &CallOutcome) -> bool {
    let Some(http) = http_work(call.position).filter(|http| http.callback && call.probing.is_none()) else { return false };
    match outcome {
        CallOutcome::Answered { status, .. } => accepts(&http.accept, *status),
        CallOutcome::Done { .. } | CallOutcome::Failed { .. } | CallOutcome::Unknown { .. } => false,
    }
}

pub(super) fn accepts(statuses: &[Statuses], status: u16) -> bool {
    (200..300).contains(&status) || statuses.iter().any(|some| (some.from..=some.to).contains(&status))
}

/// The error of an answer that is no good one.
pub(super) fn refused(status: u16, mut response: Value) -> Failure {
    let bytes = values::size(&response["body"]);
    if bytes > ERROR_BODY_MAX {
        response["body"] = json!({ "cut": bytes });
    }
    Failure { code: format!("http.{status}"), message: format!("the target answered {status}"), data: response }
}

/// What an activity sees of an answer. A body that was not kept is no member of it, so that nobody takes anything else for it.
pub(super) fn response(status: u16, headers: Map<String, Value>, body: Value, cut: Option<Cut>) -> Value {
    match cut {
        None => json!({ "status": status, "headers": headers, "body": body }),
        Some(cut) => json!({ "status": status, "headers": headers, "cut": cut.code() }),
    }
}

impl<'a> Transition<'a> {
    /// Goes on with a good answer whose body was not kept, if the activity does without. Else the work is done, and what came
    /// of it is unknown.
    pub(super) fn succeed_without_body(
        &mut self,
        call: DispatchedCall<'a>,
        response: Value,
        cut: Cut,
    ) -> Result<(), Halt> {
        let before = self.clone();
        self.close(&call, CallEnd::Succeeded, Some(&response), None);
        self.take_wait(call.position, call.bookmark);
        self.awaken(call.position);
        let failed = match self.complete(call.position, response.clone(), None) {
            Err(Incomplete::FailedWork(failed)) => failed,
            outcome @ (Ok(()) | Err(Incomplete::Need(_) | Incomplete::Mismatch)) => {
                return self.apply_outcome(call.position, outcome);
            }
        };
        *self = before;
        let (status, why) = (&response["status"], cut.why());
        let needed = failed.failure.message;
        let message = format!("the answer (status {status}) {why}, and the activity needs what it says: {needed}");
        self.handle_missing_body(call, Failure { code: cut.code().into(), message, data: response })
    }

    /// Only what can be repeated without harm ends as an error, which a person may answer with another call. All else stays
    /// this call, whose key its target knows.
    fn handle_missing_body(&mut self, call: DispatchedCall<'a>, failure: Failure) -> Result<(), Halt> {
        let Some(http) = http_work(call.position) else { return Err(Refusal::Mismatch.into()) };
        match http.on_unknown() {
            OnUnknown::Retry if http.is_harmless() => {
                self.fail_call(call, failure, Cause::Error { retry_after_ms: None })
            }
            OnUnknown::Retry => {
                self.record_unknown(&call, &failure);
                self.leave_open(call, failure);
                Ok(())
            }
            OnUnknown::Probe | OnUnknown::Suspend | OnUnknown::Fail => self.handle_unknown(call, failure),
        }
    }
}
