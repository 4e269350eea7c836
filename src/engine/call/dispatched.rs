//! A call that is open: its next attempt, its next probe, its end, and the incident of an unknown outcome.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::limits::backoff::next_delay;

use super::super::admit::DispatchedCall;
use super::super::failure::FailedWork;
use super::super::transition::Transition;
use super::super::{Effect, EntryKind, Failure, Phase, Probing, Wait, WaitOn, assign as values, scope};
use super::{CallChange, CallClosed, CallEnd, CallId, CallPurpose};

impl<'a> Transition<'a> {
    /// Dispatches a call for another attempt.
    pub(in crate::engine) fn dispatch_again(&mut self, call: &DispatchedCall<'a>, failure: Failure, due_at: Timestamp) {
        let branch = self.branch_mut(call.position);
        let failed = branch.attempt;
        let attempt = failed.saturating_add(1);
        branch.attempt = attempt;
        let mut details = values::brief(&failure);
        details.insert("attempt".into(), json!(failed));
        details.insert("due_at".into(), json!(due_at));
        self.record(EntryKind::ActivityRetryScheduled, call.position, Value::Object(details));
        let dispatch = call.dispatch.saturating_add(1);
        let until = self.until(call.position);
        let purpose = CallPurpose::Attempt;
        self.change_call(call, CallChange::Again { attempt, dispatch, due_at, until, purpose, failure });
        self.wait_for_call(call, WaitOn::Call { dispatch, probing: None, accepted: false });
    }

    /// Dispatches a probe, up to `retry.attempts` times; after the last one a person is asked, or the callback's timeout counts.
    pub(super) fn probe_again(&mut self, call: DispatchedCall<'a>, probing: Probing) {
        let policy = self.context.retry;
        let tries = probing.tries.saturating_add(1);
        let delay = next_delay(policy.base, policy.max, policy.factor, policy.jitter, tries, self.context.chance);
        let due_at = scope::later(self.context.now, delay).filter(|_| tries <= policy.attempts);
        let Some(due_at) = due_at else { return self.give_up(call, probing.failure) };
        let dispatch = call.dispatch.saturating_add(1);
        let attempt = self.branch(call.position).attempt;
        let failure = probing.failure.clone();
        let until = self.until(call.position);
        let purpose = CallPurpose::Probe;
        self.change_call(&call, CallChange::Again { attempt, dispatch, due_at, until, purpose, failure });
        let (probing, accepted) = (Some(Probing { tries, ..probing }), call.accepted);
        self.wait_for_call(&call, WaitOn::Call { dispatch, probing, accepted });
    }

    /// Remembers that the target has accepted the request and will call back.
    pub(super) fn expect_callback(&mut self, call: &DispatchedCall<'a>, response: Value) {
        self.change_call(call, CallChange::Await { response });
        if let Phase::Waiting(waits) = &mut self.branch_mut(call.position).phase {
            for wait in waits.iter_mut().filter(|wait| wait.bookmark == call.bookmark) {
                wait.on = WaitOn::Call { dispatch: call.dispatch, probing: call.probing.clone(), accepted: true };
            }
        }
    }

    /// Ends the search for the outcome: a person has to go on, except after the timeout of a callback, which is an error.
    pub(super) fn give_up(&mut self, call: DispatchedCall<'a>, failure: Failure) {
        match call.accepted {
            true => self.fail_for_good(call, failure),
            false => self.leave_open(call, failure),
        }
    }

    /// Leaves a call open, with an incident, until a person resolves it.
    pub(super) fn leave_open(&mut self, call: DispatchedCall<'a>, failure: Failure) {
        let dispatch = call.dispatch.saturating_add(1);
        self.change_call(&call, CallChange::Unknown { dispatch, failure: failure.clone() });
        let more = Map::from_iter([
            ("call".to_owned(), json!(CallId::of(self.instance.id, call.bookmark))),
            ("unknown".to_owned(), json!(true)),
        ]);
        let person = self.open_incident(call.position, FailedWork::from(failure), more);
        let on = WaitOn::Call { dispatch, probing: None, accepted: false };
        let dispatched = Wait { bookmark: call.bookmark, due_at: None, on };
        self.branch_mut(call.position).phase = Phase::Waiting(vec![dispatched, person]);
    }

    pub(super) fn record_unknown(&mut self, call: &DispatchedCall<'a>, failure: &Failure) {
        let mut details = values::brief(failure);
        details.insert("call".into(), json!(CallId::of(self.instance.id, call.bookmark)));
        details.insert("attempt".into(), json!(self.branch(call.position).attempt));
        self.record(EntryKind::CallUnknown, call.position, Value::Object(details));
    }

    fn change_call(&mut self, call: &DispatchedCall<'a>, change: CallChange) {
        let id = CallId::of(self.instance.id, call.bookmark);
        self.push(Effect::ChangeCall { id, dispatch: call.dispatch, change });
    }

    /// Closes a call, and makes its branch ready.
    pub(super) fn close_call(&mut self, call: &DispatchedCall<'a>, end: CallEnd, outcome: Result<&Value, &Failure>) {
        let id = CallId::of(self.instance.id, call.bookmark);
        let closed = CallClosed { end, result: outcome.ok().cloned(), failure: outcome.err().cloned() };
        self.push(Effect::CloseCall { id, closed });
        self.take_wait(call.position, call.bookmark);
        self.awaken(call.position);
    }

    fn wait_for_call(&mut self, call: &DispatchedCall<'a>, on: WaitOn) {
        self.branch_mut(call.position).phase = Phase::Waiting(vec![Wait { bookmark: call.bookmark, due_at: None, on }]);
    }
}
