//! What an outcome does to the activity of a call: a result, another attempt, a probe, an incident, or an error.

use serde_json::{Value, json};

use crate::definition::{Http, OnUnknown, Work};

use super::super::admit::DispatchedCall;
use super::super::failure::{Cause, FailedWork, Incomplete};
use super::super::transition::{Halt, Transition};
use super::super::{EntryKind, Failure, Probing, Refusal, assign as values};
use super::answer::http_work;
use super::{CallEnd, Cut};

impl<'a> Transition<'a> {
    pub(in crate::engine) fn succeed(&mut self, call: DispatchedCall<'a>, result: Value) -> Result<(), Halt> {
        self.close_call(&call, CallEnd::Succeeded, Ok(&result));
        let outcome = self.complete(call.position, result, None);
        self.apply_outcome(call.position, outcome)
    }

    /// Continues with an accepted answer whose body was not kept, if the activity does not read the body. If it does, the work is
    /// done and its result is lost.
    pub(super) fn succeed_without_body(
        &mut self,
        call: DispatchedCall<'a>,
        response: Value,
        cut: Cut,
    ) -> Result<(), Halt> {
        let before = self.clone();
        self.close_call(&call, CallEnd::Succeeded, Ok(&response));
        let failed = match self.complete(call.position, response.clone(), None) {
            Err(Incomplete::FailedWork(failed)) => failed,
            outcome @ (Ok(()) | Err(Incomplete::Need(_) | Incomplete::Mismatch)) => {
                return self.apply_outcome(call.position, outcome);
            }
        };
        *self = before;
        let (status, why) = (&response["status"], cut.why());
        let needed = failed.failure.message;
        let message = format!("the answer (status {status}) {why}, and the activity needs the body: {needed}");
        self.handle_missing_body(call, Failure { code: cut.code().into(), message, data: response })
    }

    /// Only a harmless request ends as an error, which a person may answer with another call. Any other stays this call, whose
    /// idempotency key its target knows.
    fn handle_missing_body(&mut self, call: DispatchedCall<'a>, failure: Failure) -> Result<(), Halt> {
        let Some(http) = http_work(call.position) else { return Err(Refusal::Mismatch.into()) };
        match http.on_unknown() {
            OnUnknown::Retry if http.is_harmless() => {
                self.fail_call(call, failure, Cause::Error { retry_after_ms: None });
            }
            OnUnknown::Retry => {
                self.record_unknown(&call, &failure);
                self.leave_open(call, failure);
            }
            OnUnknown::Probe | OnUnknown::Suspend | OnUnknown::Fail => self.handle_unknown(call, failure)?,
        }
        Ok(())
    }

    /// Dispatches another attempt if a policy allows it; otherwise the activity fails.
    pub(super) fn fail_call(&mut self, call: DispatchedCall<'a>, failure: Failure, cause: Cause) {
        match self.next_attempt(call.position, &failure, cause) {
            Some(due_at) => self.dispatch_again(&call, failure, due_at),
            None => self.fail_for_good(call, failure),
        }
    }

    pub(in crate::engine) fn fail_for_good(&mut self, call: DispatchedCall<'a>, failure: Failure) {
        self.close_call(&call, CallEnd::Failed, Err(&failure));
        let mut details = values::brief(&failure);
        details.insert("attempt".into(), json!(self.branch(call.position).attempt));
        self.record(EntryKind::ActivityFailed, call.position, Value::Object(details));
        self.handle(call.position, FailedWork::from(failure));
    }

    /// It is unknown whether an attempt was executed: `on_unknown` decides. Where it is not written and a person would be asked, an
    /// `on_error` entry that names the code is the author's answer.
    pub(super) fn handle_unknown(&mut self, call: DispatchedCall<'a>, failure: Failure) -> Result<(), Halt> {
        let (written, on_unknown) = match &call.position.activity.work {
            Work::Http(http) => (http.on_unknown, http.on_unknown()),
            Work::Call(call) => (call.on_unknown, call.on_unknown()),
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
        match on_unknown {
            OnUnknown::Retry => self.fail_call(call, failure, Cause::Unknown),
            OnUnknown::Fail => self.fail_for_good(call, failure),
            OnUnknown::Suspend if written.is_none() && self.is_named(call.position, &failure) => {
                self.fail_for_good(call, failure);
            }
            OnUnknown::Suspend => self.leave_open(call, failure),
            OnUnknown::Probe => self.probe_again(call, Probing { failure, tries: 0 }),
        }
        Ok(())
    }

    /// The target has accepted the request and did not call back in time. It has answered, so this is an error and no unknown outcome.
    /// Another request could be work done twice: it is sent only where a request may be repeated, or where a policy names the code.
    pub(super) fn expire_callback(&mut self, call: DispatchedCall<'a>) {
        let failure = Failure::new("timeout", "the target accepted the request and did not call back in time");
        match http_work(call.position).map(Http::on_unknown) {
            Some(OnUnknown::Probe) => self.probe_again(call, Probing { failure, tries: 0 }),
            Some(OnUnknown::Retry) => self.fail_call(call, failure, Cause::Error { retry_after_ms: None }),
            Some(OnUnknown::Suspend | OnUnknown::Fail) | None => self.fail_call(call, failure, Cause::Accepted),
        }
    }
}
