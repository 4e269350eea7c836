//! The handling of an error: another attempt, `on_error`, an incident, or the end of the instance.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{OnError, OnFailure, Retries, Work, codes};
use crate::limits::backoff::next_delay;
use crate::seeded::{self, Bug};

use super::admit::Position;
use super::ending::Ending;
use super::transition::{Halt, Transition};
use super::{
    Audit, Bookmark, BookmarkKind, EntryKind, Failure, Need, Phase, Refusal, Status, TimerKind, WaitOn, assign, scope,
};

/// A `Retry-After` above one hour is cut to it.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// An error of an activity.
pub(super) struct FailedWork {
    pub(super) failure: Failure,
    /// The result of the work, if only `output` or `next` failed.
    pub(super) result: Option<Value>,
}

impl From<Failure> for FailedWork {
    fn from(failure: Failure) -> Self {
        Self { failure, result: None }
    }
}

/// The reason for another attempt.
pub(super) enum Cause {
    /// An error.
    Error {
        /// `Retry-After` of the target, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The outcome of the last attempt is unknown, and the attempt may be repeated.
    Unknown,
    /// The target has accepted the last attempt, which may not be repeated unless a policy names the code.
    Accepted,
}

/// Why an activity did not complete.
pub(super) enum Incomplete {
    /// It failed.
    FailedWork(FailedWork),
    /// A fact is missing.
    Need(Need),
    /// The definition does not fit the instance.
    Mismatch,
}

impl From<Failure> for Incomplete {
    fn from(failure: Failure) -> Self {
        Self::FailedWork(failure.into())
    }
}

impl From<Need> for Incomplete {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

impl From<FailedWork> for Incomplete {
    fn from(failed: FailedWork) -> Self {
        Self::FailedWork(failed)
    }
}

impl<'a> Transition<'a> {
    /// Handles an error as the definition says.
    pub(super) fn apply_outcome(
        &mut self,
        position: Position<'a>,
        outcome: Result<(), Incomplete>,
    ) -> Result<(), Halt> {
        match outcome {
            Ok(()) => {}
            Err(Incomplete::Need(need)) => return Err(need.into()),
            Err(Incomplete::Mismatch) => return Err(Refusal::Mismatch.into()),
            Err(Incomplete::FailedWork(failed)) => self.fail(position, failed),
        }
        Ok(())
    }

    fn fail(&mut self, position: Position<'a>, failed: FailedWork) {
        // If the work is done, it is not repeated.
        let due_at = match &failed.result {
            None => self.next_attempt(position, &failed.failure, Cause::Error { retry_after_ms: None }),
            Some(_) => None,
        };
        if let Some(due_at) = due_at {
            return self.pause(position, &failed.failure, due_at);
        }
        let mut details = assign::brief(&failed.failure);
        details.insert("attempt".into(), json!(self.branch(position).attempt));
        details.extend(self.take_assigned().map(|assigned| ("assigned".into(), assigned)));
        self.record(EntryKind::ActivityFailed, position, Value::Object(details));
        self.handle(position, failed);
    }

    /// When the next attempt is due, if a policy allows one. The policy counts the failure.
    pub(super) fn next_attempt(
        &mut self,
        position: Position<'a>,
        failure: &Failure,
        cause: Cause,
    ) -> Option<Timestamp> {
        // Work that only changes the instance would fail again in the same way.
        let retried = matches!(position.activity.work, Work::Run { .. } | Work::Http(_) | Work::Call(_));
        let policies = match &position.activity.retry {
            Retries::Default if retried => std::slice::from_ref(self.context.retry),
            Retries::Policies(policies) if retried => policies.as_slice(),
            Retries::Default | Retries::Policies(_) | Retries::None => return None,
        };
        let code = &failure.code;
        let (at, policy) = policies.iter().enumerate().find(|(_, policy)| match (policy.codes.is_empty(), &cause) {
            (true, Cause::Error { .. }) => codes::is_retried(code),
            (true, Cause::Unknown) => true,
            (true, Cause::Accepted) => false,
            (false, _) => codes::any_matches(&policy.codes, code),
        })?;
        let (now, chance) = (self.context.now, self.context.chance);
        let branch = self.branch_mut(position);
        let count = branch.failures.entry(at).or_insert(0);
        *count = if seeded::is(Bug::RetryWithoutAttemptCount) { 1 } else { count.saturating_add(1) };
        let failures = *count;
        let tried_at = *branch.tried_at.get_or_insert(now);
        let delay = next_delay(policy.base, policy.max, policy.factor, policy.jitter, failures, chance);
        let due_at = scope::later(now, delay)?;
        let due_at = match cause {
            Cause::Error { retry_after_ms } => {
                retry_not_before(now, retry_after_ms).map_or(due_at, |at| at.max(due_at))
            }
            Cause::Unknown | Cause::Accepted => due_at,
        };
        let in_time =
            policy.within.is_none_or(|within| scope::later(tried_at, within).is_none_or(|last| due_at <= last));
        (failures < policy.attempts && in_time).then_some(due_at)
    }

    fn pause(&mut self, position: Position<'a>, failure: &Failure, due_at: Timestamp) {
        let branch = self.branch_mut(position);
        let attempt = branch.attempt;
        branch.attempt = attempt.saturating_add(1);
        let mut details = assign::brief(failure);
        details.insert("attempt".into(), json!(attempt));
        details.insert("due_at".into(), json!(due_at));
        self.record(EntryKind::ActivityRetryScheduled, position, Value::Object(details));
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(position, BookmarkKind::Timer) };
        let wait = self.open_wait(bookmark, WaitOn::Timer(TimerKind::Retry));
        self.branch_mut(position).phase = Phase::Waiting(vec![wait]);
    }

    /// Applies the `on_error` of the activity, then that of the definition, then `on_failure`.
    pub(super) fn handle(&mut self, position: Position<'a>, failed: FailedWork) {
        let definition = self.definition;
        let entries = position.activity.on_error.iter().chain(&definition.on_error);
        self.handle_by(position, failed, entries);
    }

    /// The same for the timeout of the whole instance, without the `on_error` of the activity.
    pub(super) fn handle_expiry(&mut self, position: Position<'a>, failure: Failure) {
        let definition = self.definition;
        self.handle_by(position, failure.into(), definition.on_error.iter());
    }

    fn handle_by(&mut self, position: Position<'a>, failed: FailedWork, entries: impl Iterator<Item = &'a OnError>) {
        self.context.budget.reserve_for_handler();
        match self.catch(position, &failed, entries) {
            Ok(true) => {}
            Ok(false) => self.apply_on_failure(position, failed),
            // An error of the handling itself is not handled again, so that handling ends.
            Err(mut failure) => {
                failure.message = format!("while handling `{}`: {}", failed.failure.code, failure.message);
                failure.data = json!({ "error": assign::brief(&failed.failure) });
                self.apply_on_failure(position, FailedWork { failure, result: failed.result });
            }
        }
    }

    /// Whether an `on_error` entry of the activity names the full code of a failure and its condition holds.
    pub(super) fn is_named(&self, position: Position<'a>, failure: &Failure) -> bool {
        let error = self.readable_error(position, failure);
        let scope = self.scope(position).error(&error);
        let names = |entry: &OnError| entry.codes.contains(&failure.code);
        position.activity.on_error.iter().any(|entry| names(entry) && scope.allows(entry.when.as_ref()) == Ok(true))
    }

    /// A failure as expressions read it.
    fn readable_error(&self, position: Position<'a>, failure: &Failure) -> Value {
        let Failure { code, message, data } = failure;
        json!({ "code": code, "message": message, "data": data, "attempt": self.branch(position).attempt })
    }

    fn catch(
        &mut self,
        position: Position<'a>,
        failed: &FailedWork,
        entries: impl Iterator<Item = &'a OnError>,
    ) -> Result<bool, Failure> {
        let code = &failed.failure.code;
        let error = self.readable_error(position, &failed.failure);
        for entry in entries {
            let scope = self.scope(position).error(&error);
            if !codes::any_matches(&entry.codes, code) || !scope.allows(entry.when.as_ref())? {
                continue;
            }
            let values = scope.values(&entry.output)?;
            let before = self.assign(values)?;
            let route = match &entry.to {
                Some(target) => self.target(target),
                None => {
                    self.next_route(position, &position.activity.next, failed.result.as_ref().unwrap_or(&Value::Null))
                }
            };
            let route = match route {
                Ok(route) => route,
                Err(failure) => {
                    self.unassign(before);
                    return Err(failure);
                }
            };
            let mut details = Map::new();
            details.insert("code".into(), json!(code));
            details.extend(self.take_assigned().map(|assigned| ("assigned".into(), assigned)));
            details.extend(self.explicit_next(position, &route).map(|to| ("next".into(), json!(to))));
            self.record(EntryKind::ErrorCaught, position, Value::Object(details));
            self.go_to(position, route);
            return Ok(true);
        }
        Ok(false)
    }

    fn apply_on_failure(&mut self, position: Position<'a>, failed: FailedWork) {
        match self.definition.on_failure {
            OnFailure::Suspend => self.incident(position, failed),
            OnFailure::Fail => {
                self.notify(position, &failed.failure, None);
                self.end(Ending::Failed(failed.failure));
            }
        }
    }

    /// Continues an instance that was suspended by a failure.
    pub(super) fn reopen_after_retry(&mut self, audit: Audit) {
        self.instance.status = Status::Running;
        let details = audit.details();
        let mut entry = details.clone();
        entry.extend(self.take_assigned().map(|assigned| ("assigned".into(), assigned)));
        self.record_whole(EntryKind::IncidentRetried, assign::details(entry));
        self.announce("resumed", details);
    }
}

/// The earliest time of another attempt, by the `Retry-After` of the target.
fn retry_not_before(now: Timestamp, retry_after_ms: Option<u64>) -> Option<Timestamp> {
    let millis = retry_after_ms?.min(RETRY_AFTER_MAX_MS);
    scope::later(now, std::time::Duration::from_millis(millis))
}
